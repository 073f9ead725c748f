"""bench/compare, after everything is built."""

import argparse
import os
import shlex
import sys

REPO = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(REPO, "tests", "integration"))

from support.server import SERIES  # noqa: E402

from . import counts, report  # noqa: E402
from . import work_deliver  # noqa: E402,F401  the operations note themselves, in this order
from . import work_read  # noqa: E402,F401
from . import work_change  # noqa: E402,F401
from .corpus import Corpus, MaildirCorpus  # noqa: E402
from .formats import FORMATS, Format  # noqa: E402
from .report_html import as_html  # noqa: E402
from .run import OPERATIONS, SCALES, Bench  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="bench/compare", description="lbox against Maildir, sdbox, mdbox")
    parser.add_argument("--scale", choices=SCALES, default="medium")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--only", help="names of operations, with commas")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--maildir", help="take the messages from this Maildir")
    parser.add_argument("--output", default="bench-result")
    parser.add_argument("--list", action="store_true", help="the names of the operations")
    options = parser.parse_args()
    if options.list:
        for op in OPERATIONS:
            print("%-22s %s" % (op.name, op.text))
        for name, what in (("counts", "flushes, system calls, bytes written"), ("disk", "allocated disk"), ("memory", "memory of an imap process")):
            print("%-22s not timed: %s" % (name, what))
        return
    names = options.formats.split(",")
    unknown = [name for name in names if name not in FORMATS]
    wanted = options.only.split(",") if options.only else [op.name for op in OPERATIONS]
    unknown += [name for name in wanted if name not in [op.name for op in OPERATIONS] + ["counts", "disk", "memory"]]
    if unknown:
        parser.error("unknown: " + ", ".join(unknown))
    operations = [op for op in OPERATIONS if op.name in wanted]
    scale = SCALES[options.scale]
    corpus = MaildirCorpus(options.maildir) if options.maildir else Corpus()
    repeats = options.repeats or scale.repeats
    counted = {}
    if counts.available() and (not options.only or "counts" in wanted):
        for name in names:
            print("counting calls of a delivery: %s" % name, file=sys.stderr, flush=True)
            counted[name] = counts.count_deliveries(name, corpus)
    formats = [Format(name) for name in names]
    try:
        for fmt in formats:
            fmt.start()
        bench = Bench(formats, corpus, scale)
        figures = bench.run(operations, repeats)
        disk = counts.count_disk(bench) if not options.only or "disk" in wanted else {}
        memory = counts.count_memory(bench) if not options.only or "memory" in wanted else {}
        for fmt in formats:
            fmt.server.assert_log_clean()
        made = report.make(bench, operations, figures, counted, disk, memory, SERIES, "bench/compare " + shlex.join(sys.argv[1:]), REPO)
    finally:
        for fmt in formats:
            fmt.stop()
    made.update(repeats=repeats, formats=names)
    text = report.as_text(made)
    os.makedirs(options.output, exist_ok=True)
    for name, content in (("report.txt", text), ("report.json", report.as_json(made)), ("report.html", as_html(made))):
        with open(os.path.join(options.output, name), "w", encoding="utf-8") as file:
            file.write(content)
    print(text + "\nwritten to %s/report.{txt,json,html}" % options.output)


main()
