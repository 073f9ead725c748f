"""What does not depend on the machine: flushes, syscalls and bytes written for each delivery, and disk and files afterwards.

The processes run under strace, so nothing here is timed.
"""

import os
import re
import shutil

from .formats import Format

FLUSHES = ("O_DSYNC write", "fsync", "fdatasync", "msync", "sync_file_range", "syncfs", "sync")
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
_CALL = re.compile(r"^\d+\s+(?:\d+\.\d+ )?(\w+)\((.*?)(?:\)\s+= (-?\d+)|\s*<unfinished)")
_OPENED_SYNCED = re.compile(r'^(\d+)\s+openat\(.*\bO_D?SYNC\b.*= (\d+)$')
_FD = re.compile(r"^(\d+)\s+(pwrite64|pwritev2?|writev?|close)\((\d+)")
_RESUMED = re.compile(r"^\d+\s+<\.\.\. (\w+) resumed>.*= (-?\d+)")
SMALL, LARGE, WARM_UP = 100, 10, 20
LARGE_SIZE = 600_000  # bytes


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


_small_numbers = []


def _small(corpus, index):
    """The index-th number of a message below 64 kB."""
    number = _small_numbers[-1] + 1 if _small_numbers else 0
    while len(_small_numbers) <= index:
        if len(corpus.message(number)) < 64_000:
            _small_numbers.append(number)
        number += 1
    return _small_numbers[index]


def count_disk(bench):
    """{format: {figure: value}}: the disk of the large mailbox, and of one large message to ten users."""
    result = {}
    for fmt in bench.formats:
        user = bench.filled(fmt, bench.scale.mailbox)
        fmt.quiet()
        size, files = fmt.disk(user)
        users = ["ten%d" % i for i in range(10)]
        with fmt.lmtp() as lmtp:
            lmtp.deliver(users, bench.corpus.large(1, LARGE_SIZE), sender="s@example.com")
        fmt.quiet()
        result[fmt.name] = {"disk of %d messages" % bench.scale.mailbox: size, "files of them": files,
                            "disk of a large message to 10 users": sum(fmt.disk(u)[0] for u in users)}
    return result
