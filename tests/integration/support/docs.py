"""Examples of docs/, for tests that have servers read them."""

import os

from .server import REPO


def block_after(name, marker):
    """The first indented block behind the marker, in a file of docs/."""
    with open(os.path.join(REPO, "docs", name), encoding="utf-8") as file:
        text = file.read()
    assert marker in text, marker
    lines = text[text.index(marker):].splitlines()[1:]
    begin = next(number for number, line in enumerate(lines) if line.startswith("    "))
    block = []
    for line in lines[begin:]:
        if line and not line.startswith("    "):
            break
        block.append(line[4:])
    return "\n".join(block).rstrip() + "\n"
