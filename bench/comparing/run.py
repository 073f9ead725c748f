"""Repeats, turns and timing."""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import time

from support.wire_imap import Literal

OPERATIONS = []  # in the order in which they are to run


@dataclasses.dataclass
class Operation:
    """One line of the comparison. The function gets a Turn, does its work with the measured part in turn.timed(), and returns an answer
    that must be the same for every format."""

    name: str
    text: str
    limit: float = None   # the ratio to reach; None: shown only
    against: str = "best"  # or the name of a format
    peers: tuple = ()     # formats that take part beside lbox; empty: all
    function: object = None


def operation(name, text, **options):
    def note(function):
        OPERATIONS.append(Operation(name, text, function=function, **options))
        return function
    return note


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much work. full: as in docs/benchmarks.md."""

    name: str
    deliveries: int   # of each LMTP operation
    mailbox: int      # messages in the mailbox that is read
    change: int       # messages of COPY, MOVE, EXPUNGE
    reads: int        # random reads, single STOREs, RETRs
    batch: int        # messages of a MULTIAPPEND
    account: tuple    # (mailboxes, messages in each) of an account with many
    memory: int       # messages of the mailbox whose process is looked at
    repeats: int


SCALES = {scale.name: scale for scale in (
    Scale("small", 60, 400, 200, 100, 200, (5, 50), 1000, 3),
    Scale("medium", 200, 4000, 1000, 400, 1000, (20, 500), 20000, 7),
    Scale("full", 400, 20000, 5000, 1000, 2000, (100, 5000), 200000, 15),
)}


class Turn:
    """One run of one operation on one format."""

    def __init__(self, bench, fmt, repeat):
        self.bench, self.format, self.repeat = bench, fmt, repeat
        self.corpus, self.scale = bench.corpus, bench.scale
        self.seconds = None
        self._users = []

    @contextlib.contextmanager
    def timed(self):
        began = time.perf_counter()
        yield
        self.seconds = (self.seconds or 0.0) + time.perf_counter() - began

    def new_user(self, tag):
        """A user without mail. Names are of one length, and the same for every format."""
        self._users.append("%s-%02d-%s" % (tag, self.repeat, self.format.name[:2]))
        return self._users[-1]

    def new_user_with(self, tag, count):
        """A new user whose INBOX holds the first `count` messages of the corpus, all on disk: the files of one that was filled once, copied."""
        user = self.new_user(tag)
        self.bench.copy_of_filled(self.format, count, user)
        return user

    def forget_users(self):
        """Removes new users' mail: a full run would fill any disk."""
        for user in self._users:
            self.format.quiet()
            shutil.rmtree(self.format.home(user))

    def filled(self, count):
        """The user whose INBOX holds the first `count` messages of the corpus, made once for a format. What an operation changes of it, it
        undoes."""
        return self.bench.filled(self.format, count)


class Bench:
    def __init__(self, formats, corpus, scale, progress=None):
        self.formats, self.corpus, self.scale = formats, corpus, scale
        self._filled, self._maildir = {}, None
        self._progress = progress or (lambda text: print(text, file=sys.stderr, flush=True))

    def filled(self, fmt, count):
        key = (fmt.name, count)
        if key not in self._filled:
            user = self._filled[key] = "filled%d" % count
            fill(fmt, user, "INBOX", self.corpus, count)
        return self._filled[key]

    def copy_of_filled(self, fmt, count, user):
        # Of its own: the one that is read changes with what operations do to it.
        key = (fmt.name, "template", count)
        if key not in self._filled:
            self._filled[key] = "template%d" % count
            fill(fmt, self._filled[key], "INBOX", self.corpus, count)
            with fmt.imap(self._filled[key]) as imap:
                imap.select()  # nothing is recent any more
        fmt.quiet()
        subprocess.run(["cp", "-a", fmt.home(self._filled[key]), fmt.home(user)], check=True)
        os.sync()

    def filled_account(self, fmt):
        """The user with many mailboxes of short messages."""
        key = (fmt.name, "account")
        if key not in self._filled:
            user = self._filled[key] = "account"
            mailboxes, count = self.scale.account
            for number in range(mailboxes):
                fill(fmt, user, "INBOX" if number == 0 else "folder%d" % number, self.corpus, count, short=True)
        return self._filled[key]

    def maildir_of(self, count):
        """A Maildir, beside all servers, with the first `count` messages."""
        if self._maildir is None:
            server = self.formats[0].server
            self._maildir = make_maildir(server.base + "/source", self.corpus, count, server.config.mail_uid)
        return self._maildir

    def drop_caches(self):
        """Empties the page cache of the whole machine."""
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")

    def run(self, operations, repeats):
        """{operation name: {format name: [seconds, ...]}}; formats take turns within each repeat, in another order each time."""
        figures = {op.name: {} for op in operations}
        began, done, total = time.monotonic(), 0, sum(repeats * len(self._taking_part(op)) for op in operations)
        for op in operations:
            for repeat in range(repeats):
                formats = self._taking_part(op)
                formats = formats[repeat % len(formats):] + formats[:repeat % len(formats)]
                answers = {}
                for fmt in formats:
                    turn = Turn(self, fmt, repeat)
                    answers[fmt.name] = op.function(turn)
                    turn.forget_users()
                    figures[op.name].setdefault(fmt.name, []).append(turn.seconds)
                    done += 1
                different = {name: answer for name, answer in answers.items() if answer != answers[formats[0].name]}
                if different:
                    raise SystemExit("bench/compare: %s: answers differ: %r" % (op.name, {n: repr(a)[:200] for n, a in answers.items()}))
                left = (time.monotonic() - began) / done * (total - done)
                self._progress("%3d %%  %-24s repeat %2d of %d   %s left" % (100 * done // total, op.name, repeat + 1, repeats, clock(left)))
        return figures

    def _taking_part(self, op):
        return [fmt for fmt in self.formats if fmt.name == "lbox" or not op.peers or fmt.name in op.peers]


def fill(fmt, user, mailbox, corpus, count, batch=500, short=False):
    """Appends the first `count` messages of the corpus; short: short ones of its own."""
    with fmt.imap(user) as imap:
        if mailbox != "INBOX":
            imap.ok("CREATE", mailbox)
        for first in range(0, count, batch):
            numbers = range(first, min(first + batch, count))
            multiappend(imap, mailbox, [short_message(n) if short else corpus.message(n) for n in numbers])


def short_message(number):
    return b"From: a@example.com\r\nSubject: short %d\r\nMessage-ID: <%d@example.com>\r\n\r\nShort.\r\n" % (number, number)


def multiappend(imap, mailbox, messages):
    imap.ok("APPEND", mailbox, *(Literal(message) for message in messages), timeout=600)


def make_maildir(folder, corpus, count, uid):
    """A Maildir with the first `count` messages, as if another server had kept it."""
    for name in ("", "/cur", "/new", "/tmp"):
        os.makedirs(folder + name, exist_ok=True)
        os.chown(folder + name, uid, uid)
    for number in range(count):
        data = corpus.message(number).replace(b"\r\n", b"\n")
        path = "%s/cur/%d.M%dP1.bench,S=%d:2,%s" % (folder, 1600000000 + number, number, len(data), "S" if number % 3 else "")
        with open(path, "wb") as file:
            file.write(data)
        os.chown(path, uid, uid)
    return folder


def clock(seconds):
    return "%d:%02d" % divmod(int(seconds), 60)
