"""The report as data (JSON) and as text."""

import json
import os
import platform
import shutil
import subprocess
import time

from .statistics import Ratio, best_of, median, spread


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
            "debian": _first_line("/etc/debian_version"), "load": os.getloadavg()[0]}


def commit(folder):
    if shutil.which("git") is None:
        return "unknown"
    done = subprocess.run(["git", "-C", folder, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _first_line(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().strip()
    except OSError:
        return ""


def make(bench, operations, figures, counts, disk, memory, series, command, repo):
    """The whole report as plain data."""
    rows = []
    for op in operations:
        seconds = {name: values for name, values in figures[op.name].items() if values and values[0] is not None}
        row = {"name": op.name, "text": op.text, "limit": op.limit,
               "formats": {name: {"median": median(values), "spread": spread(values), "seconds": values} for name, values in seconds.items()}}
        peers = [name for name in seconds if name != "lbox"]
        if "lbox" in seconds and peers:
            against = best_of(seconds, peers) if op.against == "best" else op.against
            if against in seconds:
                ratio = Ratio(seconds["lbox"], seconds[against])
                row.update(against=against, ratio=ratio.median, low=ratio.low, high=ratio.high,
                           met=None if op.limit is None else ratio.meets(op.limit))
        rows.append(row)
    return {"command": command, "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "commit": commit(repo), "dovecot": series,
            "scale": bench.scale.__dict__, "machine": machine(), "operations": rows, "counts": counts, "disk": disk, "memory": memory}


def as_json(report):
    return json.dumps(report, indent=1)


def as_text(report):
    scale = report["scale"]
    lines = ["lbox against Dovecot's own formats: wall clock, as a ratio (below 1: lbox is faster)",
             "%s; Dovecot %s, commit %s, %s, %s cores, load %.1f; scale %s: mailbox of %d; %d repeats" % (
                 report["date"], report["dovecot"], report["commit"], report["machine"]["cpu"], report["machine"]["cores"],
                 report["machine"]["load"], scale["name"], scale["mailbox"], report["repeats"]), ""]
    table = [["operation", "ratio", "95 % interval", "against", "reach", ""] + ["%s (s)" % name for name in report["formats"]] + ["noise"]]
    for row in report["operations"]:
        cells = [row["text"]]
        if "ratio" in row:
            cells += ["%.2f" % row["ratio"], "%.2f-%.2f" % (row["low"], row["high"]), row["against"],
                      "" if row["limit"] is None else "%.2f" % row["limit"], {True: "met", False: "not met", None: ""}[row["met"]]]
        else:
            cells += [""] * 5
        cells += ["%.3f" % row["formats"][name]["median"] if name in row["formats"] else "-" for name in report["formats"]]
        noise = max((entry["spread"] for entry in row["formats"].values()), default=0)
        table.append(cells + ["%.0f %%" % (100 * noise)])
    lines += _aligned(table)
    for title, data in (("Counts for each LMTP delivery", report["counts"]), ("Disk, bytes", report["disk"]),
                        ("Memory of an imap process, %d messages, bytes" % scale["memory"], report["memory"])):
        if data:
            names = list(data)
            figures = list(data[names[0]])
            lines += ["", title] + _aligned([[""] + names] + [[f] + ["%.1f" % data[n][f] if data[n][f] % 1 else "%d" % data[n][f] for n in names]
                                                            for f in figures])
    return "\n".join(lines) + "\n"


def _aligned(table):
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    result = ["  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]).rstrip() for row in table]
    return [result[0], "-" * len(result[0])] + result[1:]
