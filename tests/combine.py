"""Writes a CTestTestfile.cmake of several builds' tests, so that one ctest run covers them all.

combine.py OUT --group NAME JSON LABEL PREFIX ...

JSON is what "ctest --show-only=json-v1" said in a build; of its tests those with LABEL are taken, or
those without for "!LABEL". They are named NAME/<test>, and their command is run through PREFIX.
"""

import argparse
import json
import os
import shlex
import sys


def quote(text):
    """A CMake bracket argument."""
    equals = "="
    while "]%s]" % equals in text:
        equals += "="
    return "[%s[%s]%s]" % (equals, text, equals)


def as_text(value):
    return ";".join(value) if isinstance(value, list) else (
        str(value).upper() if isinstance(value, bool) else str(value))


def test_lines(group, test, prefix):
    name = "%s/%s" % (group, test["name"])
    yield "add_test(%s %s)" % (quote(name), " ".join(map(quote, prefix + test["command"])))
    for entry in test.get("properties", []):
        value = entry["value"]
        if entry["name"] == "DEPENDS":
            value = ["%s/%s" % (group, other) for other in value]
        if entry["name"] == "LABELS":
            value = value + [group]
        yield "set_tests_properties(%s PROPERTIES %s %s)" % (
            quote(name), entry["name"], quote(as_text(value)))


def labels(test):
    for entry in test.get("properties", []):
        if entry["name"] == "LABELS":
            return entry["value"]
    return []


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--group", nargs=4, action="append", default=[])
    arguments = parser.parse_args()

    lines = []
    for group, json_file, label, prefix in arguments.group:
        with open(json_file, encoding="utf-8") as file:
            tests = json.load(file)["tests"]
        taken = [test for test in tests if (label.strip("!") in labels(test)) != label.startswith("!")]
        if not taken:
            sys.exit("combine.py: no test in group %s" % group)
        for test in taken:
            if "command" not in test:
                sys.exit("combine.py: %s was not built" % test["name"])
            lines += test_lines(group, test, shlex.split(prefix))
    os.makedirs(arguments.out, exist_ok=True)
    with open(os.path.join(arguments.out, "CTestTestfile.cmake"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


main()
