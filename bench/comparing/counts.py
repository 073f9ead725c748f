"""What does not depend on the machine: flushes, syscalls and bytes written for each delivery, disk and files afterwards, memory.

Flushes and syscalls are counted under strace, so nothing here is timed.
"""

import os
import re
import shutil
import time

from .formats import Format
from .run import fill

FLUSHES = ("O_DSYNC write", "fsync", "fdatasync", "msync", "syncfs", "sync")  # sync_file_range() may wait for nothing
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
_CALL = re.compile(r"^\d+\s+(?:\d+\.\d+ )?(\w+)\((.*?)(?:\)\s+= (-?\d+)|\s*<unfinished)")
_OPENED_SYNCED = re.compile(r'^(\d+)\s+openat\(.*\bO_D?SYNC\b.*= (\d+)$')
_FD = re.compile(r"^(\d+)\s+(pwrite64|pwritev2?|writev?|close)\((\d+)")
_RESUMED = re.compile(r"^\d+\s+<\.\.\. (\w+) resumed>.*= (-?\d+)")
SMALL, LARGE, WARM_UP = 100, 10, 20
LARGE_SIZE = 600_000  # bytes
SETTLED = 5  # seconds


def available():
    return shutil.which("strace") is not None


class Traced:
    """The syscalls of one service since mark(). A write to a descriptor that was opened with O_DSYNC (LMDB's for its meta pages) is a flush,
    too."""

    def __init__(self, path):
        self._path, self._at = path, 0

    def mark(self):
        self._at = os.stat(self._path).st_size

    def count(self):
        """({call: number}, bytes written)"""
        calls, written, synced, at = {}, 0, set(), 0
        with open(self._path, "rb") as file:
            for raw in file:
                at += len(raw)
                line = raw.decode("ascii", "replace")
                opened, used = _OPENED_SYNCED.match(line), _FD.match(line)
                if opened:
                    synced.add(opened.groups())
                elif used and used.group(2) == "close":
                    synced.discard((used.group(1), used.group(3)))
                if at <= self._at:
                    continue
                if used and used.group(2) != "close" and (used.group(1), used.group(3)) in synced:
                    calls["O_DSYNC write"] = calls.get("O_DSYNC write", 0) + 1
                match = _CALL.match(line)
                resumed = None if match else _RESUMED.match(line)
                if match:
                    name = match.group(1)
                    calls[name] = calls.get(name, 0) + 1
                    # Sockets and the log are written to by sendmsg or by small write()s: those are counted, too, for every format alike.
                    if name in WRITES and match.group(3) and int(match.group(3)) > 0:
                        written += int(match.group(3))
                elif resumed and resumed.group(1) in WRITES and int(resumed.group(2)) > 0:
                    written += int(resumed.group(2))
        return calls, written


def count_deliveries(name, corpus):
    """{figure: value} for one format."""
    trace = "/tmp/lbox-bench-%d.trace" % os.getpid()
    fmt = Format(name, wrap={"lmtp": ("/usr/bin/strace", "-f", "-qq", "-s", "0", "-o", trace)})
    figures = {}
    try:
        fmt.start()
        traced = Traced(trace)
        for kind, count, make in (("small", SMALL, lambda i: corpus.message(_small(corpus, i))), ("large", LARGE, corpus.large)):
            with fmt.lmtp() as lmtp:
                for i in range(WARM_UP if kind == "small" else 2):  # new index files, pack, mailbox
                    lmtp.deliver("counted", make(i), sender="s@example.com")
                traced.mark()
                for i in range(count):
                    lmtp.deliver("counted", make(WARM_UP + i), sender="s@example.com")
                calls, written = traced.count()
            figures["flushes, " + kind] = sum(calls.get(call, 0) for call in FLUSHES) / count
            figures["syscalls, " + kind] = sum(n for call, n in calls.items() if " " not in call) / count
            figures["bytes written, " + kind] = written / count
        fmt.quiet()
        figures["disk after these (bytes)"], figures["files after these"] = fmt.disk("counted")
    finally:
        fmt.stop()
        if os.path.exists(trace):
            os.unlink(trace)
    return figures


def _await_settled(fmt, user):
    """Returns once the disk has not changed for some seconds: what frees disk by itself has done so."""
    last, since = fmt.disk(user), time.monotonic()
    while time.monotonic() - since < SETTLED:
        time.sleep(0.2)
        now = fmt.disk(user)
        if now != last:
            last, since = now, time.monotonic()


_small_numbers = []


def _small(corpus, index):
    """The index-th number of a message below 64 kB."""
    number = _small_numbers[-1] + 1 if _small_numbers else 0
    while len(_small_numbers) <= index:
        if len(corpus.message(number)) < 64_000:
            _small_numbers.append(number)
        number += 1
    return _small_numbers[index]


def count_memory(bench):
    """{format: {figure: bytes}}: of an imap process after SELECT, FETCH of all flags, and a search, in a mailbox of many short messages."""
    result = {}
    for fmt in bench.formats:
        if fmt.name not in ("maildir", "lbox"):
            continue
        fill(fmt, "memory", "INBOX", bench.corpus, bench.scale.memory, short=True)
        fmt.quiet()
        with fmt.imap("memory") as imap:
            imap.select()
            imap.ok("FETCH 1:* (UID FLAGS)", timeout=600)
            imap.search("UNSEEN", timeout=600)
            (pid,) = fmt.server.pids("imap")
            result[fmt.name] = {"most resident": _kilobytes(pid, "status", "VmHWM"), "resident": _kilobytes(pid, "smaps_rollup", "Rss"),
                                "of it private": sum(_kilobytes(pid, "smaps_rollup", "Private_" + kind) for kind in ("Clean", "Dirty")),
                                "of it allocated": _kilobytes(pid, "smaps_rollup", "Anonymous")}
    return result


def _kilobytes(pid, file, field):
    """A field in kB, as bytes."""
    with open("/proc/%d/%s" % (pid, file), encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def count_disk(bench):
    """{format: {figure: value}}: the disk of the large mailbox, before and after half of it is expunged (and no command run), and of one large
    message to ten users."""
    result = {}
    for fmt in bench.formats:
        user = bench.filled(fmt, bench.scale.mailbox)
        fmt.quiet()
        size, files = fmt.disk(user)
        users = ["ten%d" % i for i in range(10)]
        with fmt.lmtp() as lmtp:
            lmtp.deliver(users, bench.corpus.large(1, LARGE_SIZE), sender="s@example.com")
        fill(fmt, "half", "INBOX", bench.corpus, bench.scale.mailbox)
        with fmt.imap("half") as imap:
            imap.select()
            imap.ok("STORE %s +FLAGS.SILENT (\\Deleted)" % ",".join(map(str, range(1, bench.scale.mailbox + 1, 2))), timeout=600)
            imap.ok("EXPUNGE", timeout=600)
        fmt.quiet()
        _await_settled(fmt, "half")
        result[fmt.name] = {"disk of %d messages" % bench.scale.mailbox: size, "files of them": files,
                            "disk after every other one is expunged": fmt.disk("half")[0],
                            "disk of a large message to 10 users": fmt.disk(*users)[0]}
    return result
