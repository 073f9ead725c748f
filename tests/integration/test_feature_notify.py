"""What one session learns of another process's doings: IDLE, NOTIFY, imap-hibernate."""

import os
import re

import pytest

from support.feature import User, append_uid, await_true, flags_of, message, start, subjects
from support.wire import WireTimeout

SOON = 20  # seconds; Dovecot itself waits half a second to gather changes


@pytest.fixture(scope="module", params=["index", "fs"])
def server(module_server_factory, request):
    return start(module_server_factory, layout=request.param)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def test_idle_sees_other_sessions(user):
    user.append("INBOX", "a", "b")
    with user.imap("INBOX") as imap, user.imap("INBOX") as other:
        with imap.idle() as idle:
            append_uid(other.append("INBOX", message("c")))
            idle.wait_for(b"* 3 EXISTS", SOON)
            other.ok("UID STORE 2 +FLAGS (\\Flagged key)")
            raw = idle.wait_for(b"* 2 FETCH", SOON)
            assert b"\\Flagged" in raw and b"key" in raw
            other.ok("UID STORE 1 +FLAGS (\\Deleted)")
            other.ok("EXPUNGE")
            idle.wait_for(b"* 1 EXPUNGE", SOON)
        assert subjects(imap) == {2: "b", 3: "c"}


def test_idle_sees_deliveries(user):
    with user.imap("INBOX") as imap:
        with imap.idle() as idle:
            for n in range(1, 4):
                user.deliver("m%d" % n)
                idle.wait_for(b"* %d EXISTS" % n, SOON)
        assert subjects(imap) == {1: "m1", 2: "m2", 3: "m3"}


def test_idle_sees_pop3_and_doveadm(user):
    user.deliver("a", "b", "c")
    with user.imap("INBOX") as imap:
        with imap.idle() as idle:
            with user.pop3() as pop3:
                pop3.dele(2)
            idle.wait_for(b"* 2 EXPUNGE", SOON)
            user.doveadm("flags", "add", "\\Answered", "mailbox", "INBOX", "uid", "3")
            assert b"\\Answered" in idle.wait_for(b"* 2 FETCH", SOON)


def test_idle_during_own_deferred_flags(user):
    """Flag changes that a session has just made itself, and IDLE at once: they reach others and stay."""
    user.append("INBOX", "a")
    with user.imap("INBOX") as watcher, user.imap("INBOX") as imap:
        with watcher.idle() as watching:
            tags = [imap.send("UID STORE 1 +FLAGS (now)"), imap.send("IDLE")]
            imap.wait(tags[0])
            assert b"now" in watching.wait_for(b"* 1 FETCH", SOON)
            imap._continuation(tags[1])
            imap._stream.send(b"DONE\r\n")
            imap.wait(tags[1]).expect_ok()


def test_notify_of_other_mailboxes(user):
    # Dovecot's list index (any driver's) is read by a session while another changes it, and repaired at once.
    user.server.allow_log(r"Corrupted mailbox list index .*not in index header", r"Mailbox list index marked corrupted - rescanning")
    with user.imap() as imap, user.imap() as other:
        other.ok("CREATE a/b")
        other.ok("CREATE c")
        imap.select("INBOX")
        imap.ok("NOTIFY SET STATUS (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange))"
                " (personal (MessageNew MessageExpunge MailboxName))")
        append_uid(other.append("a/b", message("x")))
        assert await_untagged(imap, rb"\* STATUS a/b \(.*MESSAGES 1")
        deliver_until_told(user, imap)
        other.ok("CREATE new/one")
        assert await_untagged(imap, rb"\* LIST .*new/one")
        other.select("a/b")
        other.ok("STORE 1 +FLAGS (\\Deleted)")
        other.ok("EXPUNGE")
        assert await_untagged(imap, rb"\* STATUS a/b \(.*MESSAGES 0")
        other.ok("RENAME c d")
        if user.server.config.layout == "fs":  # of a rename, Dovecot's list index notices nothing
            assert await_untagged(imap, rb"\* LIST .*\bd\b")
        other.ok("DELETE d")
        assert await_untagged(imap, rb"\* LIST \(\\NonExistent\)")


def await_untagged(imap, pattern, timeout=SOON):
    """NOTIFY's answers come by themselves, at any time."""
    while True:
        raw = imap._read(timeout)
        if re.search(pattern, raw):
            return raw


def deliver_until_told(user, imap):
    """2.3 begins to watch the selected mailbox some time after NOTIFY was answered, and misses what comes before."""
    for number in range(1, 10):
        user.deliver("to inbox")
        try:
            return await_untagged(imap, rb"\* %d EXISTS" % number, timeout=2)
        except WireTimeout:
            assert user.server.series == "2.3"
    raise AssertionError("nothing was told of 9 deliveries")


@pytest.mark.parametrize("layout", ["index", "fs"])
def test_hibernate(server_factory, layout):
    server = start(server_factory, hibernate="1s", layout=layout)
    user = User(server, "sleeper")
    user.append("INBOX", "a", "b", "c")
    imap = user.imap("INBOX")
    imap.ok("UID STORE 2 +FLAGS (\\Flagged night)")
    append_uid(imap.append("INBOX", message("d")))
    for round_number in range(2):
        idle = imap.idle()
        await_true(lambda: not server.pids("imap") and server.pids("imap-hibernate"), "the session hibernates")
        if round_number == 0:
            # What wakes it: a delivery, and changes by another session while it sleeps.
            with user.imap("INBOX") as other:
                other.ok("UID STORE 1 +FLAGS (\\Deleted)")
                other.ok("EXPUNGE")
            user.deliver("e")
            idle.wait_for(b"EXISTS", SOON)
        answer = idle.done()
        if round_number == 0:
            seen = idle.seen + answer.untagged + imap.noop().untagged
            assert any(raw.startswith(b"* 1 EXPUNGE") for raw in seen)
        assert subjects(imap) == {2: "b", 3: "c", 4: "d", 5: "e"}
        assert flags_of(imap.fetch("2", "FLAGS")[2]) - {"\\Recent"} == {"\\Flagged", "night"}
    imap.logout()
    imap.close()


def test_flags_are_stored_before_hibernation(server_factory):
    """STORE, then IDLE until the process ends, then the index files are lost."""
    server = start(server_factory, hibernate="1s")
    user = User(server, "sleeper")
    user.append("INBOX", "a")
    imap = user.imap("INBOX")
    imap.ok("UID STORE 1 +FLAGS (\\Flagged night)")
    idle = imap.idle()
    await_true(lambda: not server.pids("imap") and server.pids("imap-hibernate"), "the session hibernates")
    if user.server.config.driver != "lbox":
        pytest.skip("index files are the truth of this driver")
    for path in user.index_files():
        os.unlink(path)
    server.allow_log(r"Failed to (import client state|unhibernate client)")
    with user.imap("INBOX") as other:
        assert flags_of(other.fetch("1", "FLAGS")[1]) - {"\\Recent"} == {"\\Flagged", "night"}
    # The sleeper wakes to other index files: it may be disconnected, but it gets no wrong answer.
    imap.close()
    assert idle is not None
