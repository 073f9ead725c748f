"""Examples of docs/, for tests that have servers read them."""

import os

from .server import REPO


def read(name):
    """A page of docs/, or README.md."""
    with open(os.path.join(REPO, "" if name == "README.md" else "docs", name), encoding="utf-8") as file:
        return file.read()


def block_after(name, marker):
    """The first indented block behind the marker, in a file of docs/."""
    text = read(name)
    assert marker in text, marker
    lines = text[text.index(marker):].splitlines()[1:]
    begin = next(number for number, line in enumerate(lines) if line.startswith("    "))
    block = []
    for line in lines[begin:]:
        if line and not line.startswith("    "):
            break
        block.append(line[4:])
    return "\n".join(block).rstrip() + "\n"
