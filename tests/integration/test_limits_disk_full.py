"""A full disk: delivery is refused for now, never for good; what was acknowledged is there; deleting works and makes room."""

import os

import pytest

from support.beside import DRIVER, imap, incompressible, lmtp, message, pop3, until
from support.limits import free_bytes, private_mounts, small_disk
from support.wire import string

pytestmark = pytest.mark.skipif(DRIVER != "lbox", reason="Dovecot's own drivers do not promise this")
KINDS = ["tmpfs"] + (["ext4"] if os.path.exists("/dev/loop-control") and os.path.exists("/sbin/mkfs.ext4") else [])
# What may be said of it, and nothing else.
FULL = (r"Error: .*(lbox: .*No space left on device|lbox: .*[Nn]o (disk )?space|lbox: .*full)", r"Error: .*No space left on device",
        r"Error: .*Out of disk space", r"Warning: .*(No space|disk space)")


@pytest.mark.parametrize("kind", KINDS)
def test_full_and_free_again(server_factory, kind):
    private_mounts()
    server = server_factory(driver=DRIVER)
    server.allow_log(*FULL)
    home = server.user_home("alice")
    with small_disk(home, 24, server.config.mail_uid, kind):
        try:
            _fill_and_empty(server, home)
        finally:
            server.stop()


def _fill_and_empty(server, home):
    acknowledged, refused = [], []

    def deliver(name, size):
        data = message(name) + incompressible(size, name)
        with lmtp(server) as delivery:
            (reply,) = delivery.try_deliver("alice", data)
        assert reply.ok or 400 <= reply.code < 500, reply
        (acknowledged if reply.ok else refused).append(data)
        return reply

    number = 0
    for size in (400_000, 60_000, 4_000):  # ever smaller ones, until not even these find room
        while deliver("mail %d" % number, size).ok:
            number += 1
            assert number < 2000
        number += 1
    reply = deliver("one more", 400_000)
    assert reply.code // 100 == 4 and b"disk space" in reply.text.lower(), reply

    with imap(server, "alice") as session:
        session.select("INBOX")
        answer = session.append("INBOX", message("appended") + incompressible(400_000, "appended"))
        assert answer.status == "NO" and b"disk space" in answer.text.lower() and b"deleting" in answer.text.lower(), answer

        def check(numbers):
            session.noop()
            uids = session.search("ALL")
            assert len(uids) == len(numbers)
            for uid, number in zip(uids, numbers):
                got = string(session.fetch(str(uid), "BODY.PEEK[]")[uid][b"BODY[]"])
                assert got.endswith(b"\r\n" + acknowledged[number]), "message %d is not what was acknowledged" % number

        everything = list(range(len(acknowledged)))
        check(everything)
        before = free_bytes(home)
        session.ok("STORE 1:20 +FLAGS.SILENT (\\Deleted)")
        session.ok("EXPUNGE")
        check(everything[20:])
        until(lambda: free_bytes(home) - before > 20 * 270_000, "the disk does not get its space back", 20)
        # Room again: delivery goes on, and so does appending.
        assert deliver("after", 400_000).ok
        session.append("INBOX", message("appended later", 5000)).expect_ok()
    with pop3(server, "alice") as client:
        count, _ = client.stat()
        assert count == len(acknowledged) - 20 + 1
        client.dele(1)
    server.restart()  # as it is on disk
    with imap(server, "alice") as session:
        session.select("INBOX")
        got = [string(items[b"BODY[]"]) for _, items in sorted(session.fetch("1:*", "BODY.PEEK[]").items())]
        assert len(got) == len(acknowledged) - 20
        assert all(text.endswith(b"\r\n" + data) for text, data in zip(got, acknowledged[21:]))
        assert got[-1] == message("appended later", 5000)
    assert len(refused) >= 4
