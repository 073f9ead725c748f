"""Parsing of IMAP answers kept as bytes, literals included (RFC 9051 section 9)."""

import re

_LITERAL = re.compile(rb"~?\{(\d+)\+?\}\r\n")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"', re.S)
_ATOM = re.compile(rb"(?:[^\s()\[\"{]|\[[^\]]*\])+")
_INTERESTING = re.compile(rb'[()]|"(?:[^"\\]|\\.)*"|~?\{(\d+)\+?\}\r\n', re.S)
_FETCH = re.compile(rb"\* (\d+) FETCH \(", re.I)


def skip(raw, at):
    """The position after the value (atom, string, literal or parenthesised list) that starts at `at`."""
    byte = raw[at:at + 1]
    if byte == b"(":
        depth = 0
        while True:
            match = _INTERESTING.search(raw, at)
            if match is None:
                raise ValueError("unbalanced parenthesis in %r" % raw[:200])
            at = match.end()
            if match.group(1) is not None:
                at += int(match.group(1))
            elif match.group() == b"(":
                depth += 1
            elif match.group() == b")":
                depth -= 1
                if depth == 0:
                    return at
    match = _LITERAL.match(raw, at)
    if match:
        return match.end() + int(match.group(1))
    match = (_QUOTED if byte == b'"' else _ATOM).match(raw, at)
    if match is None:
        raise ValueError("no IMAP value at %d: %r" % (at, raw[at:at + 80]))
    return match.end()


def parse_fetch(raw):
    """(sequence number, {b"UID": raw value, b"BODY[]": raw value, ...}) of one untagged FETCH.

    None for another answer. Raw values are exactly the bytes sent; see string() and value() for their contents.
    """
    match = _FETCH.match(raw)
    if match is None:
        return None
    items = {}
    at = match.end()
    while raw[at:at + 1] != b")":
        end = skip(raw, at)
        key = raw[at:end].upper()
        at = end + 1
        end = skip(raw, at)
        items[key] = raw[at:end]
        at = end + (raw[end:end + 1] == b" ")
    return int(match.group(1)), items


def string(raw):
    """The contents of a quoted string or literal; an atom as it is; None for NIL."""
    if raw == b"NIL":
        return None
    if raw[:1] == b'"':
        return re.sub(rb"\\(.)", rb"\1", raw[1:-1], flags=re.S)
    match = _LITERAL.match(raw)
    return raw[match.end():] if match else raw


def value(raw):
    """Nested lists for parentheses, string() for the rest."""
    if raw[:1] != b"(":
        return string(raw)
    result, at = [], 1
    while raw[at:at + 1] != b")":
        if raw[at:at + 1] == b" ":
            at += 1
            continue
        end = skip(raw, at)
        result.append(value(raw[at:end]))
        at = end
    return result


def quote(text):
    """An astring for a command: quoted. Not for bytes that need a literal (CR, LF, NUL, 8 bit)."""
    data = text if isinstance(text, bytes) else text.encode()
    return b'"' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def uid_set(uids):
    """A compact sequence set, b"1:3,7"."""
    runs = []
    for uid in sorted(uids):
        if runs and runs[-1][1] == uid - 1:
            runs[-1][1] = uid
        else:
            runs.append([uid, uid])
    return b",".join(b"%d" % a if a == b else b"%d:%d" % (a, b) for a, b in runs)
