"""Bodies that cannot be read: the client gets a NO for that message, the log names the file, all others are served."""

import os

import pytest

from support import packs
from support.beside import DATE, DRIVER, files_below, imap, incompressible, lmtp, message, pop3, until
from support.wire import string

pytestmark = pytest.mark.skipif(DRIVER != "lbox", reason="about lbox's store")
BODIES = [message("first", 3000), message("second", 30_000), message("third", 3000), message("large") + incompressible(400_000, "damage"), message("fifth", 3000)]


@pytest.fixture(scope="module")
def server(module_server_factory):
    # Dovecot's default imap_fetch_failure: for other errors than damage it would hang up on the client.
    return module_server_factory(driver=DRIVER)


def flip_body(store):
    (record,) = [record for record in packs.records(store) if record.uid == 2]
    with open(record.path, "r+b") as file:
        file.seek(record.frames_at + record.header_stored + 20)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))
    return 2


def remove_large(store):
    (path,) = files_below(store + "/l")
    os.unlink(path)
    return 4


def flip_large(store):
    (path,) = files_below(store + "/l")
    with open(path, "r+b") as file:
        file.seek(200_000)
        file.write(b"\xa5" * 64)
    return 4


def cut_large(store):
    (path,) = files_below(store + "/l")
    os.truncate(path, os.path.getsize(path) // 2)
    return 4


@pytest.mark.parametrize("spoil", [flip_body, remove_large, flip_large, cut_large], ids=lambda f: f.__name__)
def test_one_body_is_lost(server, spoil):
    user = spoil.__name__.replace("_", "-")
    with imap(server, user) as session:
        for data in BODIES:
            session.append("INBOX", data, (), DATE).expect_ok()
    until(lambda: not server.pids("imap"), "imap does not end")
    bad = spoil(server.mail_root(user) + "/store")
    server.allow_log(r"(imap|pop3|doveadm)\(.*Error: .*lbox: .*store/(p|l)/", r"pop3\(.*Error: ", r"imap\(.*Error: .*UID[= ]%d" % bad)
    since = server.log_size()
    with imap(server, user) as session:
        session.select("INBOX")
        for uid, data in enumerate(BODIES, 1):
            answer = session.command("UID FETCH %d BODY.PEEK[]" % uid)
            if uid == bad:
                assert answer.status == "NO", "a damaged body was served: %r" % answer
                assert not any(b"BODY[]" in items for items in answer.fetches().values())
            else:
                assert string(answer.expect_ok().fetches()[uid][b"BODY[]"]) == data
        # What does not need the body is there.
        assert int(session.fetch(str(bad), "RFC822.SIZE")[bad][b"RFC822.SIZE"]) == len(BODIES[bad - 1])
        session.ok("UID STORE %d +FLAGS (\\Flagged)" % bad)
    server.await_log(r"imap\(.*Error: .*lbox: .*store/(p|l)/", since=since)
    with pop3(server, user) as client:
        for number, data in enumerate(BODIES, 1):
            if number != bad:
                assert client.retr(number) == data
    with lmtp(server) as delivery:
        delivery.deliver(user, message("after"))
    with imap(server, user) as session:
        session.select("INBOX")
        session.ok("UID STORE %d +FLAGS (\\Deleted)" % bad)
        session.ok("EXPUNGE")
        assert session.search("ALL") == [uid for uid in range(1, 7) if uid != bad]
        assert len(session.fetch("1:*", "BODY.PEEK[]")) == 5
