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

SECONDS = float(os.environ.get("LBOX_STORM_SECONDS", "20"))
SEED = int(os.environ.get("LBOX_STORM_SEED", "0")) or time.time_ns() % 1_000_000
PATIENCE = 10  # seconds that an operation may take, its waiting for locks included
WORKERS = (power_work.ImapWorker,) * 4 + (power_work.LmtpWorker,) * 2 + (power_work.Pop3Worker,)
USERS = ("ann", "ben")
EXTRA = {"2.3": LIMITS, "2.4": LIMITS}


class Storm:
    """While it runs: kills mail processes, and watches how large the indexes become."""

    def __init__(self, server, users, kill):
        self.server, self.kill, self.killed, self.largest = server, kill, 0, 0
        self.stores = [server.mail_root(user) + "/store/index.*[0-9]" for user in users]
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
            self.largest = max([self.largest] + [size(path) for pattern in self.stores for path in glob.glob(pattern)])
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


def size(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def start(server_factory):
    server = server_factory(driver="lbox", extra=EXTRA)
    world = power_work.World(server, Seen())
    for user in USERS:
        world.add_user(user)
    return server, world, [(State(), kind) for kind in WORKERS]


def test_kill_storm(server_factory):
    server, world, workers = start(server_factory)
    states = [state for state, _ in workers]

    def load(seconds, kill):
        with Storm(server, USERS, kill) as storm:
            began = power_work.run(world, workers, seconds, lambda: None, "%d %s" % (SEED, kill), on_break="again", patience=PATIENCE)
        found, said = observe(server, USERS)
        said += settle(found, states, world.shared, world.seen)
        assert not said, "seed %d, %d problems\n%s" % (SEED, len(said), "\n".join(said[:30]))
        return storm, max(worker.longest for worker in began)

    calm, _ = load(max(4, SECONDS / 5), kill=False)
    server.allow_log(r"killed with signal 9", r"Remote closed connection", r"auth-master client",
                     r"had UIDs below the index's next UID")  # such as nobody was told: the others are compared
    storm, longest = load(SECONDS, kill=True)
    print("%d killed in %.0f s, longest operation %.2f s, largest index %d KiB, without kills %d KiB; %s" % (
        storm.killed, SECONDS, longest, storm.largest >> 10, calm.largest >> 10,
        dict(sum((state.counts for state in states), State().counts))))
    assert storm.killed > SECONDS * 3
    assert storm.largest <= 2 * calm.largest
    # What the killed have left behind holds nobody up.
    power_work.run(world, workers, 1, lambda: None, "%d after" % SEED, patience=3)
    found, said = observe(server, USERS)
    assert not said + settle(found, states, world.shared, world.seen)


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
