"""What the sources can log for an operator, collected from them: each text with a gap for what is filled in.

    for line in log_lines():
        line.where, line.text    # "storage/index.cc:41", "\0 was replaced by another store while it was in use"
"""

import dataclasses
import functools
import os
import re

from .server import REPO

FOLDERS = ("plugin", "storage", "quota")
GAP = "\0"  # stands for whatever is filled in
# Answers to whoever called doveadm or a program with arguments, and who reads them there.
ANSWERS = re.compile(r"^(plugin/doveadm-|plugin/migrate-(?!enter)|plugin/auth-hosting-series|quota/(policy_edit|web_options|size|money|growth_query|usage_queries|usage_admin)\.)")
# A call, and which of its arguments is the text: a number, or None for the first with letters in it.
CALLS = {
    r"\b[ei]_(?:error|warning|fatal|panic)": None,
    r"\b(?:mail_storage|mailbox|mail|mailbox_list)_set_critical": None,
    r"\bStatus": 1,
    r"\breturn ": 1,  # {Code::kX, text}
    r"\blog_?": None,
    r"\bNote": None,
    r"\bLogSometimes": None,
    r"\boptions_?\.(?:log|outage)": None,
}
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
FORMAT = re.compile(r"%(?:%|[-+ #0]*[\d*]*(?:\.[\d*]+)?(?:hh|h|ll|l|z|j)?[a-zA-Z])")
ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


@dataclasses.dataclass(frozen=True)
class Line:
    where: str
    text: str


@functools.cache
def log_lines():
    found = {}
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(REPO, folder))):
            path = "%s/%s" % (folder, name)
            if re.search(r"\.(cc|c|h)$", name) and not ANSWERS.match(path):
                with open(os.path.join(REPO, path), encoding="utf-8") as file:
                    for line in _lines_of(path, file.read()):
                        found.setdefault(line.text, line)
    return list(found.values())


def _lines_of(path, source):
    source = re.sub(r"(?m)^[ \t]*//.*$", "", source)
    source = re.sub(r'\bPRI[a-z]?\w+', '""', source)  # formats of fixed width
    for call, argument in CALLS.items():
        for match in re.finditer("(?:%s)([({])" % call, source):
            arguments = _arguments(source, match.end())
            if argument == 1 and not re.match(r"\s*(lbox::)?Code::k|\s*[a-z.]+code\(\)", arguments[0]):
                continue  # no Status made of code and text
            if argument is None:
                arguments = [text for text in arguments if '"' in text][:1]
            else:
                arguments = arguments[1:2]
            for text in arguments:
                text = _template(text, "%" in text and "_" in call)
                if re.search("[A-Za-z]{3}", text.replace(GAP, "")):
                    yield Line("%s:%d" % (path, source.count("\n", 0, match.start()) + 1), text)


def _arguments(source, at):
    """What lies between the opening bracket before `at` and its end, split at its commas."""
    arguments, begin, depth, text = [], at, 0, False
    while True:
        char = source[at]
        if text:
            at += char == "\\"
            text = char != '"'
        elif char == '"':
            text = True
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            if depth == 0:
                return arguments + [source[begin:at]]
            depth -= 1
        elif char == "," and depth == 0:
            arguments.append(source[begin:at])
            begin = at + 1
        at += 1


def _template(expression, is_format):
    """The literals of an expression that makes a text, with gaps between them."""
    expression = re.sub(r'"\s+"', "", expression.strip())
    text, end = "", 0
    for match in LITERAL.finditer(expression):
        text += GAP if expression[end:match.start()].strip(" \n+") else ""
        literal = re.sub(r"\\(.)", lambda m: ESCAPES.get(m.group(1), ""), match.group(1))
        text += FORMAT.sub(lambda m: "%" if m.group() == "%%" else GAP, literal) if is_format else literal
        end = match.end()
    text += GAP if expression[end:].strip(" \n+") else ""
    return re.sub(GAP + "+", GAP, text)
