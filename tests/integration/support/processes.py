"""The processes of a server: all of one session, since Dovecot's master is started in its own."""

import os
import signal
import subprocess
import time


def session(sid, zombies=False):
    """[(pid, name)] of the living processes of a session; also of those not yet reaped if asked."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % entry, encoding="ascii", errors="replace") as file:
                stat = file.read()
        except OSError:
            continue
        name = stat[stat.index("(") + 1:stat.rindex(")")]
        state, _ppid, _group, its_session = stat[stat.rindex(")") + 2:].split()[:4]
        if int(its_session) == sid and (zombies or state not in "ZX"):
            found.append((int(entry), name))
    return found


def await_only(sid, names, timeout):
    """Waits until nothing but processes of these names is left, all others reaped; False if not."""
    return _await(lambda: all(name in names for _, name in session(sid, zombies=True)), timeout)


def await_gone(sid, pids, timeout):
    """Waits until these processes of a session have ended and are reaped; False if not."""
    return _await(lambda: not any(pid in pids for pid, _ in session(sid, zombies=True)), timeout)


def await_session_end(leader, timeout):
    """Waits until the leader (a Popen) and all of its session have gone; False if they have not."""
    return _await(lambda: leader.poll() is not None and not session(leader.pid), timeout)


def _await(condition, timeout):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kill(pids, sig):
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


def kill_session(sid):
    kill([pid for pid, _ in session(sid)], signal.SIGKILL)


def catches_sigterm(pid):
    """Whether a process has got as far as to handle SIGTERM, which kills it before that."""
    try:
        with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
            caught = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
    except OSError:
        return False
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


class guard:
    """Ends a session when this process has died without doing so itself, by SIGKILL say: a shell
    that waits for the other end of its standard input to go away."""

    SCRIPT = """
      read -r _ && exit 0
      kill -TERM "$1"
      for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; sleep 1; done
      pkill -KILL -s "$1"
    """

    def __init__(self, sid):
        self._shell = subprocess.Popen(["sh", "-c", self.SCRIPT, "guard", str(sid)],
                                       stdin=subprocess.PIPE, start_new_session=True,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def dismiss(self):
        self._shell.communicate(b"\n")
