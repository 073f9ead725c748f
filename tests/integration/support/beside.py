"""What tests of plugins beside lbox, and of its limits, have in common: clients, messages, a user's files.

$LBOX_TEST_DRIVER runs the same tests against one of Dovecot's own drivers (maildir, sdbox, mdbox): what a
plugin does there is the measure of what it has to do beside lbox.
"""

import os
import re
import time

from .wire import Imap, Lmtp, Pop3

DRIVER = os.environ.get("LBOX_TEST_DRIVER") or "lbox"
DATE = "01-Feb-2003 04:05:06 +0000"
_WORDS = b"lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore".split()


def imap(server, user):
    return Imap(port=server.imap_port, user=user, password=server.password(user))


def pop3(server, user):
    return Pop3(port=server.pop3_port, user=user, password=server.password(user))


def lmtp(server):
    return Lmtp(port=server.lmtp_port)


def plugin(text_23, text_24):
    """Config.extra: the inside of 2.3's plugin block, and 2.4's own settings."""
    return {"2.3": "plugin {\n%s\n}\n" % text_23, "2.4": text_24}


def message(name, size=0, lines=(), header=()):
    """An ordinary message with these body lines (str), then filled up with words to exactly `size` bytes (CRLF)."""
    head = ["From: Ann <ann@example.org>", "To: alice@example.com", "Subject: %s" % name,
            "Message-ID: <%s@beside.lbox.example>" % re.sub(r"\W+", ".", name), "Date: Sat, 1 Feb 2003 04:05:06 +0000", *header]
    data = "\r\n".join(head + ["", *lines, ""]).encode()
    if size:
        assert size >= len(data) + 2 or size == len(data), "%d bytes are too few for %r" % (size, name)
        data += filling(size - len(data))
    return data


def filling(size):
    """Exactly `size` bytes of text in lines of at most 78 and their CRLF; no two lines of the first 10,000 or so are alike."""
    out, number = bytearray(), 0
    while len(out) < size:
        number += 1
        line = b"%d " % number
        while len(line) < 66:
            line += _WORDS[(number * 7 + len(line) * 5) % len(_WORDS)] + b" "
        out += line.rstrip() + b"\r\n"
    if len(out) > size:
        del out[size:]
        out[-2:] = b"\r\n" if size >= 2 else b""
    return bytes(out)


def incompressible(size, seed):
    """The same as base64 of bytes that no compression makes smaller (but by the quarter that base64 costs)."""
    import base64
    import random
    text = base64.b64encode(random.Random(seed).randbytes(size * 3 // 4))
    lines = [text[i:i + 76] for i in range(0, len(text), 76)]
    return b"\r\n".join(lines)[:size - 2] + b"\r\n"


def uid_of(answer):
    """The UID that an APPEND, COPY or MOVE answer tells (the last of several)."""
    codes = [answer.code] + [match.group(1) for match in (re.match(rb"\* OK \[([^\]]*)\]", raw) for raw in answer.untagged) if match]
    words = next(code.split() for code in codes if code.startswith((b"APPENDUID", b"COPYUID")))
    return int(re.split(rb"[:,]", words[-1])[-1])


def file_of(server, user, path, text):
    """Writes a file in the user's home as the mail uid would."""
    home = server.user_home(user)
    target = os.path.join(home, path)
    missing, folder = [target], os.path.dirname(target)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    for one in missing:
        os.chown(one, server.config.mail_uid, server.config.mail_uid)
    return target


def files_below(folder):
    return sorted(os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)


def files_with(folder, wanted):
    """Names of the files below a folder that contain these bytes."""
    found = []
    for path in files_below(folder):
        with open(path, "rb") as file:
            if wanted in file.read():
                found.append(os.path.basename(path))
    return found


def is_index_file(path):
    return os.path.basename(path).startswith(("dovecot.index", "dovecot.list.index"))


def delete_index_files(server, user):
    """Deletes every index file of the user, once no process has a mailbox open any more."""
    until(lambda: not server.pids("imap", "pop3", "doveadm"), "mail processes do not end")
    files = [path for path in files_below(server.user_home(user)) if is_index_file(path)]
    assert files, "no index files found to delete"
    for path in files:
        os.unlink(path)


def until(condition, complaint, timeout=60):
    """Waits until condition() is true and returns what it returned."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)
