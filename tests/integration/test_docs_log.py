"""docs/log.md: every error and warning that the sources can log is explained there, and what is explained can be logged."""

import os
import re

from support.log_lines import FOLDERS, GAP, log_lines
from support.server import REPO

# Said by the system, by what is put together from more than one place, or by helpers that the collection does not see.
ELSEWHERE = ("No space left on device", "Disk quota exceeded", "Permission denied", "Operation not permitted", "Input/output error",
             "Structure needs cleaning", "Read-only file system", "Too many open files", "No such file or directory")
# Nothing but a place for a reason that has its own row, or a log line's frame.
FRAMES = re.compile(r"^(lbox: |hosting: |; run: doveadm lbox verify -u |[\W\0])*$")


def explained():
    with open(os.path.join(REPO, "docs", "log.md"), encoding="utf-8") as file:
        text = file.read()
    begin = text.index("## lbox")
    never = text.index("## Never seen")
    cells = [row.split(" | ")[0] for row in text[begin:never].splitlines() if row.startswith("| `")]
    return [pattern for cell in cells + [text[never:]] for pattern in re.findall(r"`([^`]+)`", cell)]


def matches(pattern, text):
    pieces = [re.escape(piece) for piece in pattern.split("…")]
    return re.search(".*?".join(pieces), text, re.DOTALL)


def test_every_line_is_explained():
    patterns = explained()
    lines = log_lines()
    assert len(lines) > 150, "the collection finds too little"
    missing = ["%s: %s" % (line.where, line.text.replace(GAP, "…")) for line in lines
               if not FRAMES.match(line.text) and not any(matches(pattern, line.text) for pattern in patterns)]
    assert not missing, "docs/log.md does not explain:\n" + "\n".join(missing)


def test_nothing_else_is_explained():
    """Also what stands in a literal of the sources, but in no call that the collection knows."""
    sources = ""
    for folder in FOLDERS:
        for name in os.listdir(os.path.join(REPO, folder)):
            with open(os.path.join(REPO, folder, name), encoding="utf-8") as file:
                sources += re.sub(r'"\s*\n\s*"', "", file.read())
    stale = [pattern for pattern in explained() if pattern not in ELSEWHERE
             and not any(matches(pattern, line.text) for line in log_lines())
             and not all(piece in sources for piece in pattern.split("…") if piece)]
    assert not stale, "docs/log.md explains what nothing logs: %s" % stale


def test_a_new_line_is_noticed():
    assert not any(matches(pattern, "the moon is blue for " + GAP + " nights") for pattern in explained())
