"""doveadm lbox migrate: users from Maildir to lbox and back, while mail flows, hooks fail and processes are killed.

$LBOX_MIGRATE_ROUNDS repeats the runs under load, and those that are killed at any time ($LBOX_MIGRATE_SEED: at these).
"""
# ctest: timeout=600

import json
import os
import random
import re
import shlex
import signal
import subprocess
import threading
import time

import pytest

from support.feature import incompressible
from support.migrating import fill
from support.moving import Moving, await_true
from support.server import HOST, SERIES, TIMEOUT
from support.snapshot import assert_same, snapshot
from support.wire import Disconnected, Imap, Lmtp, WireError, string
from support.wire_stream import Stream

IN_PROCESS = ("saved",)  # the in-process transport of dsync drops saved dates
ROUNDS = int(os.environ.get("LBOX_MIGRATE_ROUNDS", "1"))
USERS = ["full", "empty", "bob", "gate", "killed", "hooked", "damaged", "busy", "late", "large", "bar", "storm"] + ["stop%d" % n for n in range(3)] + ["flow%d" % n for n in range(3)]
REFUSED = r"lbox: temporary failure: \S+ says that doveadm lbox migrate is moving this user's mail, or has moved it"


@pytest.fixture(scope="module")
def moving(module_server_factory):
    moving = Moving(module_server_factory, SERIES, USERS)
    moving.server.allow_log(REFUSED, r"Killed with signal 15", r"lbox migrate\(\w+\): mailbox ")
    return moving


def results(rows):
    return {user: row["result"] for user, row in rows.items()}


def numbers(server, user):
    """X-Number of each message in INBOX, sorted."""
    with Imap(port=server.imap_port, user=user, password=server.password(user)) as imap:
        if imap.select("INBOX", read_only=True)[b"EXISTS"] == 0:
            return []
        answers = imap.fetch("1:*", "BODY.PEEK[HEADER.FIELDS (X-Number)]")
        return sorted(int(re.search(rb"\d+", string(items[b"BODY[HEADER.FIELDS (X-NUMBER)]"])).group()) for items in answers.values())


def numbered(number):
    return b"X-Number: %d\r\nSubject: flow\r\n\r\n%s\r\n" % (number, b"line\r\n" * (number % 50))


def by_lmtp(server, user, message):
    with Lmtp(port=server.lmtp_port) as lmtp:
        (reply,) = lmtp.try_deliver(user, message, "")
    return reply


def all_said(port, *commands):
    """The lines of a session whose commands get an answer of one line each, to the server's end of it. Nothing is sent after the commands:
    the kernel answers what comes for a closed connection with a reset, which destroys what the client has not read yet."""
    stream = Stream(HOST, port)
    try:
        lines = [stream.line()]
        for command in commands:
            stream.send(command.encode() + b"\r\n")
            lines.append(stream.line())
        while True:
            lines.append(stream.line())
    except Disconnected as end:
        assert "closed while" in str(end) and not end.data, (lines, end)
        return lines
    finally:
        stream.close()


class Flow(threading.Thread):
    """Delivers numbered messages to users until stop(); what is refused for now is tried again, as an MTA would."""

    def __init__(self, server, users):
        super().__init__()
        self._server, self._users, self._end = server, users, threading.Event()
        self.accepted, self.refused = {user: [] for user in users}, 0
        self.codes = set()

    def run(self):
        number = 0
        while not self._end.wait(0.02):
            for user in self._users:
                number += 1
                self._deliver(user, number)

    def _deliver(self, user, number):
        while True:
            reply = by_lmtp(self._server, user, numbered(number))
            self.codes.add(reply.code)
            if reply.ok:
                self.accepted[user].append(number)
                return
            assert 400 <= reply.code < 500, reply
            self.refused += 1
            time.sleep(0.05)

    def stop(self):
        self._end.set()
        self.join()


def test_there_and_back(moving):
    server, users = moving.server, ["full", "bob", "empty"]
    fill(server, "full")
    for number in range(5):
        server.deliver("bob", numbered(number))
    before = snapshot(server, "full")
    rows, done = moving.run(users=users)
    assert results(rows) == dict.fromkeys(users, "done"), done.err
    assert rows["full"]["messages"] == sum(len(box.messages) for box in before.mailboxes.values()) > 80
    assert rows["full"]["bytes-before"] > rows["full"]["bytes-after"] > 0
    assert "3 users moved" in done.err
    assert moving.driver_of("full") == "lbox"
    assert_same(before, snapshot(server, "full"), IN_PROCESS)

    rows, _ = moving.run(users=users)  # there is nothing left to do
    assert results(rows) == dict.fromkeys(users, "skipped")
    rows, done = moving.run("--back", users=users)
    assert results(rows) == dict.fromkeys(users, "done"), done.err
    assert moving.driver_of("full") == "maildir"
    assert_same(before, snapshot(server, "full"), IN_PROCESS)


def test_while_mail_flows(moving):
    server, users = moving.server, USERS[-3:]
    for _ in range(ROUNDS):
        flow = Flow(server, users)
        flow.start()
        try:
            session = Imap(port=server.imap_port, user=users[0], password=server.password(users[0]))
            session.select("INBOX")
            for way in ([], ["--back"]):
                rows, done = moving.run(*way, "--jobs", "3", users=users)
                assert results(rows) == dict.fromkeys(users, "done"), (rows, done.err)
                assert all(row["closed-ms"] < 30000 for row in rows.values())
            with pytest.raises((WireError, OSError)):
                session.ok("NOOP")
            session.close()
        finally:
            flow.stop()
        assert flow.refused > 0 and flow.codes == {250, 451}
        for user in users:
            assert len(flow.accepted[user]) > 10
            assert numbers(server, user) == sorted(flow.accepted[user])
        for user in users:
            server.doveadm("expunge", "mailbox", "INBOX", "all", user=user)


def test_nobody_comes_in_while_it_switches(moving):
    """IMAP, POP3, LMTP, doveadm: each fails for now, in its own words; and works again right after."""
    server, release = moving.server, moving.server.base + "/release"
    server.deliver("gate", numbered(1))
    hook = moving.hook(before="touch {0}.there; while [ ! -e {0} ]; do sleep 0.05; done".format(release))
    run = moving.start(users="gate", hook=hook)
    try:
        await_true(lambda: os.path.exists(release + ".there"))
        assert by_lmtp(server, "gate", numbered(2)).code == 451
        said = all_said(server.imap_port, "1 LOGIN gate %s" % server.password("gate"))
        assert [line.split()[1] for line in said] == [b"OK", b"OK", b"BYE"], said
        said = all_said(server.pop3_port, "USER gate", "PASS %s" % server.password("gate"))
        assert [line.split()[0] for line in said] == [b"+OK"] * 3 and b"Logged in" in said[2], said
        assert server.doveadm("mailbox", "list", user="gate", check=False).code == 75
        assert server.lda("gate", numbered(2), check=False).code == 75
    finally:
        open(release, "w", encoding="ascii").close()
        out, err = run.communicate(timeout=TIMEOUT)
    assert run.returncode == 0, (out, err)
    server.deliver("gate", numbered(2))
    assert numbers(server, "gate") == [1, 2]
    assert moving.driver_of("gate") == "lbox"


def test_hook_that_fails_or_hangs(moving):
    server = moving.server
    server.deliver("hooked", numbered(1))
    rows, done = moving.run(users="hooked", hook=moving.hook(before="echo no such table >&2; exit 3"), check=False)
    assert results(rows) == {"hooked": "failed"} and done.code == 75
    assert "exit status 3: no such table" in rows["hooked"]["text"]
    server.deliver("hooked", numbered(2))

    began = time.monotonic()
    rows, done = moving.run("--tempfail", "3", users="hooked", hook=moving.hook(before="exec sleep 60"), check=False)
    assert results(rows) == {"hooked": "failed"} and time.monotonic() - began < 30
    assert "too long" in rows["hooked"]["text"]
    server.deliver("hooked", numbered(3))
    assert moving.driver_of("hooked") == "maildir"

    # It has failed, but the userdb is changed: that is what counts.
    rows, done = moving.run(users="hooked", hook=moving.hook(after="exit 4"))
    assert results(rows) == {"hooked": "done"} and "exit status 4" in rows["hooked"]["text"]
    server.deliver("hooked", numbered(4))
    assert numbers(server, "hooked") == [1, 2, 3, 4]


def test_a_changed_byte_is_noticed(moving):
    server = moving.server
    for number in range(8):
        server.deliver("damaged", numbered(number))
    failing = moving.hook(before="exit 1")
    rows, _ = moving.run(users="damaged", hook=failing, check=False)
    assert "exit status 1" in rows["damaged"]["text"]  # up to there all is well
    folder = server.mail_root("damaged") + "/cur"
    names = sorted(os.listdir(folder)) or sorted(os.listdir(folder := server.mail_root("damaged") + "/new"))
    with open("%s/%s" % (folder, names[3]), "r+b") as file:
        data = file.read()
        file.seek(data.index(b"Subject: flow") + 9)
        file.write(b"F")
    rows, done = moving.run(users="damaged", hook=failing, check=False)
    assert results(rows) == {"damaged": "differs"} and done.code == 65
    assert re.search(r"mailbox INBOX, UID \d+: hash ", done.err), done.err
    assert moving.driver_of("damaged") == "maildir"


def test_two_at_once(moving):
    server, release = moving.server, moving.server.base + "/release2"
    hook = moving.hook(before="touch {0}.there; while [ ! -e {0} ]; do sleep 0.05; done".format(release))
    run = moving.start(users="busy", hook=hook)
    try:
        await_true(lambda: os.path.exists(release + ".there"))
        rows, _ = moving.run(users="busy", check=False)
        assert "another doveadm lbox migrate" in rows["busy"]["text"]
    finally:
        open(release, "w", encoding="ascii").close()
        assert run.wait(timeout=TIMEOUT) == 0
    assert moving.driver_of("busy") == "lbox"
    assert server.doveadm("mailbox", "list", user="busy").code == 0


# Where it is killed: what has to be there then.
PHASES = {
    "copying": lambda m: os.path.exists(m.server.user_home("killed") + "/.lbox-migrate"),
    "closed": lambda m: b"closed" in m.gate("killed"),
    "before the hook's change": lambda m: os.path.exists(m.server.base + "/before"),
    "after the hook's change": lambda m: os.path.exists(m.server.base + "/after"),
    "switched": lambda m: "switched" in m.state_of("killed") or b"moved" in m.gate("killed"),
}


@pytest.mark.parametrize("phase", PHASES)
def test_killed_and_run_again(moving, phase):
    server = moving.server
    first = len(numbers(server, "killed"))
    there = moving.driver_of("killed") == "maildir"
    way = [] if there else ["--back"]
    hook = moving.hook(before="touch %s/before; %s" % (server.base, "sleep 0.5" if "before" in phase else ""),
                       after="touch %s/after; %s" % (server.base, "sleep 0.5" if "after" in phase else ""))
    for name in ("before", "after"):
        if os.path.exists("%s/%s" % (server.base, name)):
            os.unlink("%s/%s" % (server.base, name))
    flow = Flow(server, ["killed"])
    flow.start()
    try:
        run = moving.start(*way, "--tempfail", "6", users="killed", hook=hook)
        await_true(lambda: PHASES[phase](moving) or run.poll() is not None)
        run.send_signal(signal.SIGKILL)
        run.wait()
        rows, done = moving.run(*way, "--tempfail", "20", users="killed")
        assert rows["killed"]["result"] in ("done", "skipped"), (rows, done.err)
    finally:
        flow.stop()
    assert moving.driver_of("killed") == ("lbox" if there else "maildir")
    assert first == 0 and numbers(server, "killed") == sorted(flow.accepted["killed"])
    server.doveadm("expunge", "mailbox", "INBOX", "all", user="killed")



def test_killed_at_any_time(moving):
    """Again and again, with mail flowing, there and back; then it is let run through."""
    server, r = moving.server, random.Random(os.environ.get("LBOX_MIGRATE_SEED"))
    for round_number in range(ROUNDS):
        there = moving.driver_of("storm") == "maildir"
        way = [] if there else ["--back"]
        flow, delays = Flow(server, ["storm"]), []
        flow.start()
        try:
            for _ in range(r.randrange(1, 4)):
                delays.append(r.uniform(0, 1.2))
                run = moving.start(*way, "--tempfail", "10", users="storm")
                time.sleep(delays[-1])
                run.kill()
                run.wait()
            rows, done = moving.run(*way, users="storm")
            assert rows["storm"]["result"] in ("done", "skipped"), (delays, rows, done.err)
        finally:
            flow.stop()
        assert moving.driver_of("storm") == ("lbox" if there else "maildir")
        assert numbers(server, "storm") == sorted(flow.accepted["storm"]), (round_number, delays)
        server.doveadm("expunge", "mailbox", "INBOX", "all", user="storm")


def test_late_mail(moving):
    """What a program that knows no gate has put into the old storage after the switch, under a UID that the new one has given to another."""
    server = moving.server
    for number in range(3):
        server.deliver("late", numbered(number))
    hook = moving.hook(after="touch {0}/after-late; sleep 5".format(server.base))
    run = moving.start("--tempfail", "3", users="late", hook=hook)
    await_true(lambda: os.path.exists(server.base + "/after-late"))
    run.kill()
    run.wait()
    await_true(lambda: by_lmtp(server, "late", numbered(3)).ok, step=0.2)  # as soon as it may: to lbox
    server.doveadm("expunge", "mailbox", "INBOX", "uid", "1", user="late")
    for name, number in (("1.late", 4), ("2.late", 5)):
        path = server.mail_root("late") + "/new/" + name
        with open(path, "wb") as file:
            file.write(numbered(number).replace(b"\r\n", b"\n"))
        os.chown(path, server.config.mail_uid, server.config.mail_uid)
    rows, done = moving.run(users="late")
    assert results(rows) == {"late": "done"}, (rows, done.err)
    assert numbers(server, "late") == [1, 2, 3, 4, 5]
    rows, done = moving.run("--back", users="late")
    assert results(rows) == {"late": "done"}, (rows, done.err)
    assert numbers(server, "late") == [1, 2, 3, 4, 5]


def test_limit_on_io(moving):
    """Copying what hardly compresses takes as long as writing it at that rate; and not without a limit."""
    server, times = moving.server, []
    for number in range(8):
        server.deliver("large", b"Subject: large\r\n\r\n" + incompressible(700_000, seed=b"%d" % number))
    for way in (["--io-limit", "1"], ["--back"]):
        began = time.monotonic()
        rows, done = moving.run(*way, "--jobs", "1", users="large")
        assert results(rows) == {"large": "done"}, done.err
        times.append(time.monotonic() - began)
    stored = 8 * 700_000 * 3 / 4  # of base64
    assert times[0] > stored * 7 / 8 / 1e6 and times[0] > times[1] + 2, times  # what the last message takes is not waited for


def test_stopped(moving):
    """SIGTERM: each user stops where it is safe, and what is told says so; -f json is complete all the same."""
    server, users = moving.server, ["stop%d" % n for n in range(3)]
    for user in users:
        server.deliver(user, numbered(1))
    hook = moving.hook(before="touch {0}/hooking; sleep 0.3".format(server.base))
    run = moving.start("--jobs", "2", users=users, hook=hook)
    await_true(lambda: os.path.exists(server.base + "/hooking"))
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate(timeout=TIMEOUT)
    rows = {row["user"]: row for row in json.loads(out)}
    assert run.returncode == 75 and "not begun" in err.decode(), err
    assert set(results(rows).values()) <= {"done", "failed"} and len(rows) == 2
    rows, done = moving.run(users=users)
    assert set(results(rows).values()) <= {"done", "skipped"} and len(rows) == 3, done.err
    assert all(numbers(server, user) == [1] for user in users)


def test_bar_on_a_terminal(moving):
    """What is shown to somebody who looks on; and a dry run changes nothing."""
    moving.server.deliver("bar", numbered(1))
    script = shlex.join(moving.command("--dry-run", users="bar"))
    shown = subprocess.run([*moving.server._beside(), "script", "-qec", script, "/dev/null"], stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=TIMEOUT, check=True).stdout.decode()
    assert "[--------------------] 0/1 users; bar: " in shown, shown
    assert "would move" in shown and "1 would be moved" in shown, shown
    rows, _ = moving.run("--dry-run")  # -A
    assert set(rows) == set(USERS) and rows["bar"]["result"] == "would move"
    rows, _ = moving.run("--dry-run", users="fl*")
    assert set(rows) == {"flow0", "flow1", "flow2"}
    assert moving.driver_of("bar") == "maildir" and moving.gate("bar") == b"" and moving.state_of("bar") == ""
