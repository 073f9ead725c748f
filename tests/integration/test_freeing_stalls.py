"""Nobody waits for disk that is freed: while packs are rewritten and the index shrinks under them, no command takes 100 ms.

What a command took is its time on the wire without what its machine is to blame for: the user's home is in memory, so that a
flush costs nothing, and the time for which processes of the server were ready to run but did not is taken off.
"""
# ctest: timeout=300

import os
import random
import signal
import threading
import time

import pytest

from support.feature import User, await_true, incompressible, message, start

LIMIT = 0.1  # seconds
ROUNDS, EACH = 25, 120


class Watch:
    """Measures commands of several connections to one server."""

    def __init__(self, server):
        self.server, self.slowest, self.count = server, (0.0, ""), 0
        self.pids = set()

    def wait_for_cpu(self):
        """Seconds for which the server's mail processes, as of self.pids, were ready and did not run."""
        total = 0
        for pid in self.pids:
            try:
                with open("/proc/%d/schedstat" % pid, encoding="ascii") as file:
                    total += int(file.read().split()[1])
            except OSError:
                pass
        return total / 1e9

    def timed(self, name, call):
        waited, begin = self.wait_for_cpu(), time.monotonic()
        result = call()
        took = time.monotonic() - begin
        took -= self.wait_for_cpu() - waited
        self.count += 1
        self.slowest = max(self.slowest, (took, name))
        return result


@pytest.fixture(name="server")
def server_in_memory(server_factory, monkeypatch):
    monkeypatch.setenv("LBOX_TMP", "/dev/shm")
    return start(server_factory)


def mail(rng, number):
    size = int(min(60_000, rng.lognormvariate(8.5, 1.0)))
    return message("churn %d" % number, incompressible(size, b"%d" % number))


def test_commands_go_on_while_disk_is_freed(server):
    user, watch, rng = User(server, "churn"), Watch(server), random.Random(25)
    stop, live = threading.Event(), {}
    first, second = user.imap("INBOX"), user.imap("INBOX")
    watch.pids = set(server.pids("imap"))

    def read():
        other = Watch(server)
        other.pids = watch.pids
        while not stop.is_set():
            other.timed("NOOP", second.noop)
            other.timed("FETCH", lambda: second.command("FETCH 1:5 (UID BODY.PEEK[])"))
            other.timed("STORE", lambda: second.command("STORE 1 FLAGS.SILENT (\\Seen)"))
        return other

    others = []
    reader = threading.Thread(target=lambda: others.append(read()))
    reader.start()
    try:
        used = []
        for turn in range(ROUNDS):
            for number in range(EACH):
                text = mail(rng, turn * EACH + number)
                answer = watch.timed("APPEND", lambda text=text: first.append("INBOX", text))
                live[int(answer.expect_ok().code.split()[2])] = len(text)
            used.append(user.disk_use())
            gone = rng.sample(sorted(live), len(live) * 2 // 3)
            uids = ",".join(map(str, gone))
            watch.timed("STORE", lambda uids=uids: first.ok("UID STORE %s +FLAGS.SILENT (\\Deleted)" % uids))
            watch.timed("EXPUNGE", lambda uids=uids: first.ok("UID EXPUNGE " + uids))
            for uid in gone:
                del live[uid]
            for _ in range(10):
                watch.timed("NOOP", first.noop)
    finally:
        stop.set()
        reader.join()
    await_true(lambda: user.disk_use() < max(used) / 2, "the disk is freed")
    (other,) = others
    print("%d and %d commands; slowest: %.0f ms (%s), %.0f ms (%s); disk at most %d kB, then %d kB" % (
        watch.count, other.count, *(value for slow in (watch.slowest, other.slowest) for value in (slow[0] * 1e3, slow[1])),
        max(used) / 1e3, user.disk_use() / 1e3))
    assert other.count > 50
    assert max(watch.slowest, other.slowest)[0] < LIMIT, (watch.slowest, other.slowest)
    first.close()
    second.close()


def test_a_stall_is_noticed(server):
    """The control: a process that stands still for longer than a command may take."""
    user, watch = User(server, "stall"), Watch(server)
    with user.imap("INBOX") as imap:
        watch.pids = set(server.pids("imap"))
        (pid,) = watch.pids
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(2 * LIMIT, os.kill, (pid, signal.SIGCONT)).start()
        watch.timed("NOOP", imap.noop)
    assert watch.slowest[0] > LIMIT
