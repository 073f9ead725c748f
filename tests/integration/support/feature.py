"""What the feature tests share: the driver under test, a user's clients, small messages, waiting.

$LBOX_TEST_DRIVER names another driver of Dovecot's own (sdbox, say): a feature test that fails there for
something that driver has is wrong itself.
"""

import glob
import os
import re
import time

from .server import TIMEOUT
from .wire import Imap, Lmtp, Pop3

DRIVER = os.environ.get("LBOX_TEST_DRIVER", "lbox")
IS_LBOX = DRIVER == "lbox"
INDEX_PATTERNS = ("dovecot.index*", "dovecot.list.index*")


def start(factory, **options):
    """A server with the driver under test."""
    return factory(**{"driver": DRIVER, **options})


def message(subject="hello", body="one line\r\n", sender="alice@example.com", extra=""):
    """A small plain message, CRLF."""
    if isinstance(body, str):
        body = body.encode()
    return ("From: <%s>\r\nTo: <bob@example.org>\r\nSubject: %s\r\nMessage-ID: <%s@lbox.example>\r\n"
            "Date: Mon, 3 Jun 2024 10:00:00 +0000\r\n%s\r\n" % (
                sender, subject, re.sub(r"\W", ".", subject), extra)).encode() + body


def incompressible(size, seed=b"x"):
    """Lines of base64-like text that hardly compress: the same for the same seed."""
    import base64
    import random
    raw = random.Random(seed).randbytes(size * 3 // 4)
    text = base64.b64encode(raw)
    return b"\r\n".join(text[i:i + 76] for i in range(0, len(text), 76)) + b"\r\n"


def await_true(condition, what, timeout=TIMEOUT):
    """Polls until condition() is true, and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "not within %g s: %s" % (timeout, what)
        time.sleep(0.02)


class User:
    """One mail user of a server."""

    def __init__(self, server, name):
        self.server, self.name = server, name

    @classmethod
    def of(cls, server, request):
        """A user named after the test that asks, so that tests of one server do not meet."""
        return cls(server, re.sub(r"\W+", "-", request.node.name[len("test_"):].lower()).strip("-"))

    def imap(self, mailbox=None, parameters="", enable=None):
        """A raw IMAP session; with a mailbox, selected (what SELECT said is .state)."""
        imap = Imap(port=self.server.imap_port, user=self.name, password=self.server.password(self.name))
        if enable:
            imap.ok("ENABLE " + enable)
        imap.state = imap.select(mailbox, parameters=parameters) if mailbox else None
        return imap

    def pop3(self):
        return Pop3(port=self.server.pop3_port, user=self.name, password=self.server.password(self.name))

    def lmtp(self):
        return Lmtp(port=self.server.lmtp_port)

    def deliver(self, *messages):
        """Delivers by LMTP: bytes as they are, or subjects of small messages."""
        with self.lmtp() as lmtp:
            for one in messages:
                lmtp.deliver(self.name, one if isinstance(one, bytes) else message(one))

    def append(self, mailbox, *subjects):
        """APPENDs small messages; returns their UIDs."""
        with self.imap() as imap:
            return [append_uid(imap.append(mailbox, message(subject))) for subject in subjects]

    def doveadm(self, *args, **options):
        if args[0] == "flags":  # doveadm flags add -u USER ...
            return self.server.doveadm(*args[:2], "-u", self.name, *args[2:], **options)
        return self.server.doveadm(*args, user=self.name, **options)

    @property
    def home(self):
        return self.server.user_home(self.name)

    @property
    def root(self):
        return self.server.mail_root(self.name)

    def own(self, path):
        """Gives a file or folder that a test made to the mail uid; returns the path."""
        os.chown(path, self.server.config.mail_uid, self.server.config.mail_uid)
        return path

    def write(self, name, text):
        """Writes a file in the home, as the mail user's."""
        path = os.path.join(self.home, name)
        if not os.path.isdir(self.home):
            os.mkdir(self.home)
            self.own(self.home)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return self.own(path)

    def await_closed(self):
        """Waits until no mail process of the server has anything open any more."""
        await_true(lambda: not self.server.pids("imap", "pop3", "dovecot-lda", "doveadm", "imap-hibernate"),
                   "mail processes end")

    def index_files(self, patterns=INDEX_PATTERNS):
        return sorted(path for pattern in patterns
                      for path in glob.glob("%s/**/%s" % (self.home, pattern), recursive=True))

    def delete_index_files(self, patterns=INDEX_PATTERNS):
        """Deletes the user's index files once no session has them open."""
        self.await_closed()
        paths = self.index_files(patterns)
        assert paths, "no index files of %s to delete" % self.name
        for path in paths:
            os.unlink(path)
        return paths

    def disk_use(self):
        """Bytes allocated for bodies: everything of the user's but Dovecot's index files and the store's index."""
        files = {}
        for folder, _, names in os.walk(self.home):
            for name in names:
                if not name.startswith(("dovecot", "index.", "lock", "reserve", "CURRENT")):
                    try:
                        stat = os.lstat(os.path.join(folder, name))
                    except FileNotFoundError:
                        continue
                    files[stat.st_ino] = stat.st_blocks * 512
        return sum(files.values())


def take_over(user, ids):
    """Fills the user's INBOX from a Maildir whose uidlist knows the ids (P) that an earlier POP3 server gave, and
    their order (O): the messages "old 1", ... in INBOX have UIDs from 11 on and these ids, to be listed backwards."""
    folder = "%s/source-%s" % (user.server.base, user.name)
    for sub in ("cur", "new", "tmp"):
        os.makedirs("%s/%s" % (folder, sub))
    lines = ["3 V1700000000 N%d G00112233445566778899aabbccddeeff\n" % (len(ids) + 20)]
    for number, one in enumerate(ids, 1):
        name = "%d.old%d.test" % (1700000000 + number, number)
        with open("%s/cur/%s:2,S" % (folder, name), "wb") as file:
            file.write(message("old %d" % number))
        lines.append("%d P%s O%d :%s\n" % (10 + number, one, len(ids) - number + 1, name))
    with open(folder + "/dovecot-uidlist", "w", encoding="ascii") as file:
        file.writelines(lines)
    for path, _, files in os.walk(folder):
        for one in [path] + [os.path.join(path, f) for f in files]:
            user.own(one)
    user.doveadm("backup", "-R", "maildir:" + folder)


def append_uid(answer):
    """The UID that APPENDUID or COPYUID's destination names (one message)."""
    return int(answer.expect_ok().code.split()[-1])


def expand(text):
    """A UID set as a list, b"1:3,7" -> [1, 2, 3, 7]."""
    result = []
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        result += range(int(first), int(last or first) + 1)
    return result


def vanished(answer, earlier=False):
    """UIDs of the untagged VANISHED answers."""
    wanted = b"* VANISHED (EARLIER) " if earlier else b"* VANISHED "
    return [uid for raw in answer.untagged if raw.startswith(wanted)
            for uid in expand(raw[len(wanted):].strip()) if raw[len(wanted):len(wanted) + 1] != b"("]


def flags_of(items):
    """The set of flags of a parsed FETCH."""
    return {flag.decode() for flag in items[b"FLAGS"].strip(b"()").split()}


def subjects(imap, uids="1:*"):
    """{uid: subject} of the selected mailbox."""
    fetched = imap.fetch(uids, "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    return {uid: re.search(rb"Subject: ([^\r\n]*)", b"".join(items.values())).group(1).decode()
            for uid, items in fetched.items()}
