"""Bringing the same messages to a server by LMTP, by IMAP APPEND and by doveadm import.

Each function takes a compare.Side and (name, bytes) messages, and returns what the server said to each:
a list of (name, answer bytes); None names what was said to all of them. Flags, keywords and dates of messages
follow from their number in the list.
"""

import os
import re
import shutil
import time

from .message_kit import MONTHS
from .readings import tagged

FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")
MAILDIR_LETTERS = dict(zip(FLAGS, "SRFTD"))
KEYWORDS = ("Work", "$Forwarded", "later", "a.b-c_d")
PIPELINED = 20  # APPENDs on their way at once


def flags_of(number):
    """Every combination of some flags comes up, and every fourth message has a keyword or two."""
    flags = [flag for bit, flag in enumerate(FLAGS) if number >> bit & 1 and number % 3]
    return flags + [k for bit, k in enumerate(KEYWORDS) if number % 4 == 1 and number >> (bit + 2) & 1]


def received_of(number):
    """Seconds since 1970: from 1996 on, in no order."""
    return 820_454_400 + number * 104_729_333 % 890_000_000


def by_lmtp(side, messages, sender=""):
    side.delivered = (int(time.time()), None)
    answers = []
    with side.lmtp() as lmtp:
        for name, data in messages:
            (reply,) = lmtp.try_deliver(side.user, data, sender)
            # The session id that it names is the delivery's own.
            answers.append((name, re.sub(rb"<%s> \S+ Saved" % side.user.encode(), b"<user> ID Saved", reply.raw)))
    side.delivered = (side.delivered[0], int(time.time()) + 1)
    return answers


def by_append(side, messages, flags_of=flags_of, received_of=received_of):
    answers, sent = [], []

    def receive():
        name, tag = sent.pop(0)
        answer = imap.wait(tag)
        answers.append((name, re.sub(rb"APPENDUID \d+ ", b"APPENDUID V ", tagged(answer))))

    with side.imap() as imap:
        for number, (name, data) in enumerate(messages):
            seconds = received_of(number)
            t = time.gmtime(seconds)
            date = "%2d-%s-%d %02d:%02d:%02d +0000" % (
                t.tm_mday, MONTHS[t.tm_mon - 1], t.tm_year, t.tm_hour, t.tm_min, t.tm_sec)
            sent.append((name, imap.send_append("INBOX", data, flags_of(number), date, binary=b"\0" in data)))
            if len(sent) == PIPELINED:
                receive()
        while sent:
            receive()
    return answers


def by_import(side, messages):
    """From a Maildir that is written here, byte for byte, in a folder of the server."""
    source = "%s/source-%s" % (side.server.base, side.user)
    write_maildir(source, messages, side.server.config.mail_uid)
    done = side.server.doveadm("import", "maildir:" + source, "", "ALL", user=side.user, check=False)
    shutil.rmtree(source)
    said = re.sub(rb"\S*\b\d{6,}\S*", b"ID", done.err.encode())
    return [(None, b"%d %s" % (done.code, said))] + [(name, b"") for name, _ in messages]


def write_maildir(path, messages, uid):
    for folder in ("cur", "new", "tmp"):
        os.makedirs("%s/%s" % (path, folder))
    with open(path + "/dovecot-keywords", "w", encoding="ascii") as file:
        file.writelines("%d %s\n" % item for item in enumerate(KEYWORDS))
    for number, (_, data) in enumerate(messages):
        flags = flags_of(number)
        letters = sorted(MAILDIR_LETTERS[f] for f in flags if f in FLAGS) + [
            chr(ord("a") + KEYWORDS.index(f)) for f in flags if f in KEYWORDS]
        name = "%s/cur/%d.M%dP1.test:2,%s" % (path, 1_500_000_000 + number, number, "".join(letters))
        with open(name, "wb") as file:
            file.write(data)
        os.utime(name, (received_of(number), received_of(number)))
    for folder, _, files in os.walk(path):
        for entry in [folder] + [os.path.join(folder, f) for f in files]:
            os.chown(entry, uid, uid)
