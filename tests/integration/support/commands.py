"""The commands that README.md and docs/ tell the reader to type."""

import dataclasses
import glob
import os
import re
import shutil

from .server import REPO

# First words of prose, configuration and pictures that are also names of programs.
NO_COMMAND = re.compile(r"^(service|test)\s|\s\{$|\s=\s|-->|--\+--")
OURS = re.compile(r"^(packaging|tests|bench|build)/[\w./-]+$")
INLINE = re.compile(r"`((?:doveadm|packaging/|tests/run|bench/\w|systemctl|adduser|apt|mdb_|gdb|strace|chown|promtool|rsync|cp|rm) ?[^`]*)`")


@dataclasses.dataclass(frozen=True)
class Command:
    page: str
    line: int
    text: str  # without its comment
    inline: bool  # in the middle of a sentence: may be no more than a name

    def __str__(self):
        return "%s:%d: %s" % (self.page, self.line, self.text)


def pages():
    return ["README.md"] + sorted("docs/" + os.path.basename(path) for path in glob.glob(REPO + "/docs/*.md"))


def commands():
    found = []
    for page in pages():
        if page == "docs/format.md":
            continue  # bytes and an example message
        with open(os.path.join(REPO, page), encoding="utf-8") as file:
            lines = file.read().splitlines()
        for number, line in enumerate(lines, 1):
            if re.match(r" {4}", line) and (_in_block(lines, number - 1)):
                text = re.sub(r"\s+#\s.*$", "", line).strip()
                if _is_command(text):
                    found.append(Command(page, number, text, False))
            else:
                found += [Command(page, number, match.group(1).strip(), True) for match in INLINE.finditer(line)]
    return found


def _in_block(lines, at):
    """An indented line after an empty one (or another of a block), deeper than the list item that it may belong to."""
    indent = len(lines[at]) - len(lines[at].lstrip())
    while at > 0 and lines[at].strip() and len(lines[at]) - len(lines[at].lstrip()) >= 4:
        at -= 1
    if lines[at].strip():
        return False  # continues a paragraph
    item = next((line for line in reversed(lines[:at]) if re.match(r"\s*(\*|-|\d+\.) |\S", line)), "")
    depth = len(re.match(r"\s*(?:(?:\*|-|\d+\.) +)?", item).group()) if re.match(r"\s*(\*|-|\d+\.) ", item) else 0
    return indent >= depth + 4 or depth == 0 or indent > depth


def _is_command(text):
    if NO_COMMAND.search(text):
        return False
    words = [word for word in text.split() if not re.match(r"^[A-Z_]+=", word)]
    first = words[0] if words else ""
    return bool(OURS.match(first)) or first == "..." or shutil.which(first) is not None or first in KNOWN


# Not necessarily installed where the tests run.
KNOWN = ("doveadm", "doveconf", "dovecot", "apt", "apt-get", "systemctl", "curl", "rsync", "adduser", "cmake", "promtool", "psql", "postconf", "dpkg",
         "cd", "ulimit", "smartctl", "ssh", "exim", "exim4", "sievec", "docker", "podman")
