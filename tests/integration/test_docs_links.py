"""Links in README.md and docs/ lead to files and headings that are there."""

import os
import re

from support.commands import pages
from support.server import REPO

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def text_of(path):
    with open(os.path.join(REPO, path), encoding="utf-8") as file:
        return file.read()


def anchors(path):
    """As GitHub and the like make them of headings."""
    headings = re.findall(r"(?m)^#+ (.*)$", text_of(path))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page, text):
    found = []
    for target in LINK.findall(text):
        if re.match("[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not os.path.exists(os.path.join(REPO, file)):
            found.append("%s: no file %s" % (page, target))
        elif anchor and anchor not in anchors(file):
            found.append("%s: no heading %s" % (page, target))
    return found


def test_links():
    found = [problem for page in pages() for problem in broken(page, text_of(page))]
    assert not found, "\n".join(found)


def test_every_page_is_in_the_readme():
    readme = text_of("README.md")
    missing = [page for page in pages() if page != "README.md" and "(%s)" % page not in readme]
    assert not missing, missing


def test_broken_links_are_noticed():
    """The control."""
    assert broken("docs/x.md", "[a](nothing.md) [b](operations.md#nothing) [c](operations.md#backup) [d](https://example.com/)") == [
        "docs/x.md: no file nothing.md", "docs/x.md: no heading operations.md#nothing"]
