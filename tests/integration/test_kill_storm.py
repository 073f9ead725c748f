"""Mail processes are killed at random under load: nothing acknowledged is lost, no lock stays behind, the index stays small.

$LBOX_STORM_SECONDS sets how long, $LBOX_STORM_SEED what is random.
"""
# ctest: timeout=3600 processors=2

import fcntl
import glob
import os
import random
import signal
import threading
import time

import pytest

from support import power_work
from support.power_rounds import LIMITS
from support.power_state import Seen, State, observe, settle
from support.tools import fill_store, hold_reader

SECONDS = float(os.environ.get("LBOX_STORM_SECONDS", "20"))
SEED = int(os.environ.get("LBOX_STORM_SEED", "0")) or time.time_ns() % 1_000_000
PATIENCE = 10  # seconds that an operation may take, its waiting for locks included
WORKERS = (power_work.ImapWorker,) * 4 + (power_work.LmtpWorker,) * 2 + (power_work.Pop3Worker,)
USERS = ("ann", "ben")
EXTRA = {"2.3": LIMITS, "2.4": LIMITS}
# Messages that nobody touches, so that an index is not so small that a few pages more double it.
FILLED, FILLED_BOX = 8000, "Box1"


class Storm:
    """While it runs: kills mail processes, and watches how large the indexes become. enough: {user: bytes}, more than which end
    the work."""

    def __init__(self, server, world, kill, enough=None):
        self.server, self.world, self.kill, self.killed, self.enough = server, world, kill, 0, enough or {}
        self.largest = dict.fromkeys(world.users, 0)  # bytes of the index file
        self.random = random.Random(SEED)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _run(self):
        while not self._end.wait(self.random.uniform(0.02, 0.2)):
            for user in self.largest:
                self.largest[user] = max(self.largest[user], index_size(self.server, user))
            if any(self.largest[user] > bytes for user, bytes in self.enough.items()):
                self.world.ending.set()
            # Dovecot holds a service back that dies while it starts: only such as are at work.
            pids = [pid for pid in self.server.pids("imap", "pop3", "lmtp") if has_mail_open(pid)] if self.kill else []
            for pid in self.random.sample(pids, min(len(pids), self.random.choice((1, 1, 2, 5)))):
                try:
                    os.kill(pid, signal.SIGKILL)
                    self.killed += 1
                except ProcessLookupError:
                    pass


def has_mail_open(pid):
    try:
        return any("/lbox/store/" in os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid))
    except OSError:  # it has gone
        return False


def index_path(server, user):
    return max(glob.glob(server.mail_root(user) + "/store/index.*[0-9]"))


def index_size(server, user):
    try:
        return os.stat(index_path(server, user)).st_size
    except FileNotFoundError:  # replaced by a smaller one just now
        return 0


def idle_size(server, user):
    """Bytes of the index that are in use."""
    titles, row = server.doveadm("-f", "tab", "lbox", "status", user=user).text.splitlines()
    status = dict(zip(titles.split("\t"), row.split("\t")))
    return int(status["Index"]) - int(status["Index free"])


def start(server_factory, filled=0):
    server = server_factory(driver="lbox", extra=EXTRA, in_place=True)
    world = power_work.World(server, Seen())
    for user in USERS:
        if filled:
            fill_store(server, user, 1, filled, 0)
        world.add_user(user)
    return server, world, [(State(), kind) for kind in WORKERS]


def test_kill_storm(server_factory):
    server, world, workers = start(server_factory, FILLED)
    states = [state for state, _ in workers]

    def load(seconds, kill):
        with Storm(server, world, kill) as storm:
            began = power_work.run(world, workers, seconds, lambda: None, "%d %s" % (SEED, kill), on_break="again", patience=PATIENCE)
        found, said = observe(server, USERS, beside=(FILLED_BOX,))
        said += settle(found, states, world.shared, world.seen)
        assert not said, "seed %d, %d problems\n%s" % (SEED, len(said), "\n".join(said[:30]))
        return storm, max(worker.longest for worker in began)

    load(max(4, SECONDS / 5), kill=False)
    server.allow_log(r"killed with signal 9", r"Remote closed connection", r"auth-master client",
                     r"Deleting corrupted cache: reset_id mismatch",  # 2.4's own, of a cache that was being made anew
                     r"command startup failed, throttling")  # the master had not heard of it yet
    storm, longest = load(SECONDS, kill=True)
    idle = {user: idle_size(server, user) for user in USERS}
    print("%d killed in %.0f s, longest operation %.2f s, index KiB %s, idle %s; %s" % (
        storm.killed, SECONDS, longest, {user: bytes >> 10 for user, bytes in storm.largest.items()},
        {user: bytes >> 10 for user, bytes in idle.items()}, dict(sum((state.counts for state in states), State().counts))))
    assert storm.killed > SECONDS * 3
    for user in USERS:
        assert storm.largest[user] <= 2 * idle[user], user
    # What the killed have left behind holds nobody up.
    power_work.run(world, workers, 1, lambda: None, "%d after" % SEED, patience=3)
    found, said = observe(server, USERS, beside=(FILLED_BOX,))
    assert not said + settle(found, states, world.shared, world.seen)


def test_a_stuck_reader_is_noticed(server_factory):
    """The control of the index's size; and once it is killed, what it has held back is used again."""
    server, world, workers = start(server_factory, FILLED)
    user = USERS[0]
    idle = idle_size(server, user)

    reader = hold_reader(index_path(server, user))
    with Storm(server, world, kill=False, enough={user: 2 * idle}):
        power_work.run(world, workers, 30, lambda: None, SEED)
    grown = index_size(server, user)
    reader.kill()
    reader.wait()
    assert grown > 2 * idle
    power_work.run(world, workers, 3, lambda: None, SEED)
    assert index_size(server, user) < grown + idle, "%d, %d, idle %d" % (grown, index_size(server, user), idle)


def test_a_stuck_lock_is_noticed(server_factory):
    """The control."""
    server, world, workers = start(server_factory)
    power_work.run(world, workers, 0.5, lambda: None, SEED)
    with open(server.mail_root(USERS[0]) + "/store/lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        timer = threading.Timer(3, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        timer.start()
        with pytest.raises(AssertionError, match="took"):
            power_work.run(world, workers, 5, timer.join, SEED, patience=2)
