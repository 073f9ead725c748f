"""bench/scale, after everything is built: runs Google Benchmark's programs, and shows how each operation's time grows with the size.

Repetitions are run in another order each time (--benchmark_enable_random_interleaving), so that what else the machine does falls on all
sizes alike; the median of them is shown. Scanning and rebuilding are per message.
"""

import argparse
import html
import json
import math
import os
import re
import subprocess
import sys

PROGRAMS = ("storage_bench", "quota_bench")
PER_MESSAGE = ("Scan", "Rebuild")
_NAME = re.compile(r"^(?:Run/)?(\w+)/(\w+):(\d+)\b")
_TO_US = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2733; max-width: 1080px; margin: 32px auto; padding: 0 20px }
table { border-collapse: collapse } td, th { padding: 3px 10px; text-align: right; border-bottom: 1px solid #dde3ea }
td:first-child, th:first-child { text-align: left } svg { margin: 0 24px 20px 0 } text { font: 12px system-ui, sans-serif; fill: #1d2733 }
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 320, 190, 56, 24


def growth(benchmarks):
    """{operation: {size: microseconds}} of Google Benchmark's JSON entries; of repetitions, the median."""
    result = {}
    for entry in benchmarks:
        match = _NAME.match(entry["name"])
        if not match or entry.get("aggregate_name", "median") != "median":
            continue
        operation, size = match.group(1), int(match.group(3))
        time = entry["real_time"] * _TO_US[entry["time_unit"]]
        if operation in PER_MESSAGE:
            time /= size
            operation += " (per message)"
        result.setdefault(operation, {})[size] = time
    return dict(sorted(result.items()))  # they come in the order in which they were run


def as_text(figures):
    sizes = sorted({size for times in figures.values() for size in times})
    rows = [["microseconds"] + [_size(size) for size in sizes] + ["largest / smallest"]]
    for operation, times in figures.items():
        rows.append([operation] + [_time(times[size]) if size in times else "" for size in sizes] + ["%.2f" % grown(times)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0])] + lines[1:]) + "\n"


def grown(times):
    """The time at the largest size as a multiple of that at the smallest."""
    return times[max(times)] / times[min(times)]


def as_html(figures):
    plots = "".join(_plot(operation, times) for operation, times in figures.items())
    return ("<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>lbox: growth with size</title><style>%s</style></head><body>"
            "<h1>How times grow with size</h1><p>Both axes are logarithmic. A level line: the operation takes as long in a large mailbox "
            "(or with many accounts) as in a small one.</p>%s<pre>%s</pre></body></html>" % (_STYLE, plots, html.escape(as_text(figures))))


def _plot(operation, times):
    """One operation: its times over at least three decades of microseconds, so that plots can be compared."""
    sizes = sorted(times)
    low = math.floor(math.log10(min(times.values())))
    high = max(low + 3, math.ceil(math.log10(max(times.values()))))
    first, last = math.log10(sizes[0]), math.log10(max(sizes[-1], sizes[0] * 10))

    def x(size):
        return _LEFT + (math.log10(size) - first) / (last - first) * (_WIDTH - _LEFT - 40)

    def y(time):
        return 24 + (high - math.log10(time)) / (high - low) * (_HEIGHT - 24 - _BOTTOM)

    out = ['<svg width="%d" height="%d"><text x="%d" y="14" font-weight="bold">%s</text>' % (_WIDTH, _HEIGHT, _LEFT, html.escape(operation))]
    for decade in range(low, high + 1):
        out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#dde3ea"/><text x="%d" y="%.1f" text-anchor="end">%s</text>' % (
            _LEFT, _WIDTH - 30, y(10.0**decade), y(10.0**decade), _LEFT - 6, y(10.0**decade) + 4, _unit(10.0**decade)))
    out.append('<polyline fill="none" stroke="#2467b3" stroke-width="2" points="%s"/>' % " ".join(
        "%.1f,%.1f" % (x(size), y(times[size])) for size in sizes))
    for size in sizes:
        out.append('<circle cx="%.1f" cy="%.1f" r="3.5" fill="#2467b3"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (
            x(size), y(times[size]), x(size), _HEIGHT - 6, _size(size)))
    return "".join(out) + "</svg>"


def _size(size):
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if size % unit == 0:
            return "%d%s" % (size // unit, name)
    return str(size)


def _time(time):
    return "%.3g" % time if time < 1000 else "%.0f" % time


def _unit(time):
    return "%g us" % time if time < 1e3 else "%g ms" % (time / 1e3) if time < 1e6 else "%g s" % (time / 1e6)


def run(build, options, extra):
    benchmarks = []
    for program in PROGRAMS:
        path = os.path.join(options.output, program + ".json")
        if os.path.exists(path):
            os.unlink(path)
        command = [os.path.join(build, "bench", program), "--benchmark_out=" + path, "--benchmark_out_format=json",
                   "--benchmark_repetitions=%d" % options.repeats, "--benchmark_enable_random_interleaving=true",
                   "--benchmark_report_aggregates_only=true", "--benchmark_filter=" + options.filter]
        subprocess.run(command + extra, check=True, stdout=sys.stderr)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            os.unlink(path)
            benchmarks += json.loads(text)["benchmarks"] if text.strip() else []
    return benchmarks


def main():
    parser = argparse.ArgumentParser(prog="bench/scale", description="how the times of the store's and the ledger's operations grow")
    parser.add_argument("--output", default="bench-result")
    parser.add_argument("--filter", default=".", help="regular expression of benchmarks' names")
    parser.add_argument("--repeats", type=int, default=5)
    options, extra = parser.parse_known_args()
    os.makedirs(options.output, exist_ok=True)
    figures = growth(run(os.environ["LBOX_BUILD"], options, extra))
    if not figures:
        raise SystemExit("bench/scale: no benchmark matches %r" % options.filter)
    text = as_text(figures)
    for name, content in (("scale.txt", text), ("scale.json", json.dumps(figures, indent=1)), ("scale.html", as_html(figures))):
        with open(os.path.join(options.output, name), "w", encoding="utf-8") as file:
            file.write(content)
    print(text + "\nwritten to %s/scale.{txt,json,html}" % options.output)


if __name__ == "__main__":
    main()
