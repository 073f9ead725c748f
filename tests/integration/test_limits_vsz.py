# ctest: timeout=600 processors=2 labels=slow
"""Many messages in one mailbox and in one store under the default vsz_limit of 256 MiB, and a clear error under one that is too small."""

import glob
import os
import time

import pytest

from support.beside import DRIVER, delete_index_files, imap, lmtp, message, pop3, until
from support.server import SERIES
from support.tools import fill_store

MESSAGES = int(os.environ.get("LBOX_VSZ_MESSAGES", "200000"))
BATCH = 5000
SMALL = {"2.3": "service imap {\n  vsz_limit = 40 M\n}\n", "2.4": "service imap {\n  vsz_limit = 80 M\n}\n"}
FULL = {"2.3": ("56 M", "68 M"), "2.4": ("96 M", "102 M")}  # enough for an index of 16 MiB, not for one of 32
MAX_INDEX_BYTES = 170 << 20


def stopwatch():
    clock = time.monotonic()

    def took(what):
        nonlocal clock
        print("%-24s %6.1f s" % (what, time.monotonic() - clock))
        clock = time.monotonic()

    return took


@pytest.mark.skipif(DRIVER != "lbox", reason="the store is lbox's")
def test_a_store_of_a_million(server_factory):
    """40 mailboxes and an INBOX of a fifth of all messages; the index file stays below 170 MiB throughout."""
    server = server_factory(driver=DRIVER)
    others = 800000 * MESSAGES // 200000
    took = stopwatch()
    store = fill_store(server, "alice", 40, others // 40, MESSAGES)
    took("fill")
    sizes = {}

    def note(when):
        took(when)
        sizes[when] = max(os.stat(path).st_size for path in glob.glob(store + "/index.*[0-9]"))

    with imap(server, "alice") as session:
        assert session.ok("SELECT INBOX", timeout=120).named("EXISTS")[0].split()[1] == b"%d" % MESSAGES
        note("SELECT")
        tag = session.send("FETCH 1:* FLAGS")
        assert len(session.wait(tag, 120).expect_ok().untagged) >= MESSAGES
        note("FETCH 1:* FLAGS")
        session.ok("STORE 1:* +FLAGS.SILENT (\\Seen kw)", timeout=120)
        session.ok("CLOSE", timeout=120)
        note("STORE 1:* +FLAGS")
        assert len(session.ok('LIST "" *').named("LIST")) == 41
        status = session.ok("STATUS Box40 (MESSAGES UIDNEXT)", timeout=120).named("STATUS")[0]
        assert b"MESSAGES %d UIDNEXT %d" % (others // 40, others // 40 + 1) in status
        note("STATUS")
    with pop3(server, "alice") as client:
        assert client.stat()[0] == MESSAGES
        assert len(set(client.uidl().values())) == MESSAGES
        client.dele(1)
        client.quit()
    note("POP3 UIDL, DELE")
    with imap(server, "alice") as session:
        assert session.select("INBOX")[b"EXISTS"] == MESSAGES - 1
        session.ok("STORE 1:%d +FLAGS.SILENT (\\Deleted)" % (MESSAGES // 2), timeout=120)
        session.ok("EXPUNGE", timeout=120)
        note("expunge half")
        assert session.select("INBOX")[b"EXISTS"] == MESSAGES - 1 - MESSAGES // 2
        assert session.ok("UID SEARCH RETURN (COUNT) SEEN KEYWORD kw").named("ESEARCH")[0].split()[-1] == b"%d" % (
            MESSAGES - 1 - MESSAGES // 2)
        assert b"body" in b"".join(session.ok("FETCH *,1 BODY.PEEK[]").untagged)
    with lmtp(server) as delivery:
        delivery.deliver("alice", message("one more"))
    note("delivery")
    print({when: "%.1f MiB" % (size / 1048576) for when, size in sizes.items()})
    assert max(sizes.values()) < MAX_INDEX_BYTES


@pytest.mark.skipif(DRIVER != "lbox", reason="the store is lbox's")
def test_a_full_map(server_factory):
    """Saving is refused for now once the index has no more address space; deleting goes on, and makes room."""
    extra = "".join("service %s {\n  vsz_limit = %s\n}\n" % (name, limit) for name, limit in zip(("imap", "lmtp"), FULL[SERIES]))
    server = server_factory(driver=DRIVER, extra={"2.3": extra, "2.4": extra})
    server.allow_log(r"lbox: .*index\.\d+ .*[Rr]aise vsz_limit")
    fill_store(server, "alice", 0, 0, 120000)
    accepted, body = 0, b"Subject: %d\r\n\r\nbody\r\n"
    with imap(server, "alice") as session:
        while True:
            batch = b" ".join(b"{%d+}\r\n%s" % (len(body % n), body % n) for n in range(accepted, accepted + 500))
            answer = session.command("APPEND INBOX", batch, timeout=120)
            if answer.status != "OK":
                break
            accepted += 500
            assert accepted < 60000, "the map has no limit"
        assert answer.status == "NO" and b"index is full" in answer.text
    with lmtp(server) as delivery:
        replies = [delivery.try_deliver("alice", message("full %d" % n))[0] for n in range(20)]
        assert {reply.code // 100 for reply in replies} <= {2, 4}
        accepted += sum(reply.ok for reply in replies)
    with imap(server, "alice") as session:
        assert session.select("INBOX")[b"EXISTS"] == 120000 + accepted
        session.ok("STORE 1:20000 +FLAGS.SILENT (\\Deleted)", timeout=120)
        session.ok("EXPUNGE", timeout=120)
    with lmtp(server) as delivery:
        delivery.deliver("alice", message("room again"))
    with imap(server, "alice") as session:
        assert session.select("INBOX")[b"EXISTS"] == 100001 + accepted
        assert b"room again" in b"".join(session.ok("FETCH * BODY.PEEK[]").untagged)


def test_a_large_mailbox(server_factory):
    server = server_factory(driver=DRIVER)
    took = stopwatch()
    small = b"Subject: %d\r\n\r\nbody\r\n"
    with imap(server, "alice") as session:
        for first in range(1, MESSAGES + 1, BATCH):
            batch = [small % number for number in range(first, min(first + BATCH, MESSAGES + 1))]
            session.ok("APPEND INBOX", b" ".join(b"{%d+}\r\n%s" % (len(data), data) for data in batch), timeout=120)
    took("MULTIAPPEND")
    with imap(server, "alice") as session:
        assert session.select("INBOX")[b"EXISTS"] == MESSAGES
        took("SELECT")
        tag = session.send("FETCH 1:* FLAGS")
        assert len(session.wait(tag, 120).expect_ok().untagged) >= MESSAGES
        took("FETCH 1:* FLAGS")
        session.ok("STORE 1:* +FLAGS.SILENT (\\Seen kw)", timeout=120)
        took("STORE 1:* +FLAGS")
    if DRIVER == "lbox":
        delete_index_files(server, "alice")
        with imap(server, "alice") as session:
            assert session.ok("SELECT INBOX", timeout=120).named("EXISTS")[0].split()[1] == b"%d" % MESSAGES
            assert session.ok("SEARCH RETURN (COUNT) SEEN KEYWORD kw", timeout=120).named("ESEARCH")[0].split()[-1] == b"%d" % MESSAGES
        took("index made again")
    with pop3(server, "alice") as client:
        assert client.stat()[0] == MESSAGES
        assert len(client.uidl()) == MESSAGES
        client.dele(1)
        client.dele(MESSAGES)
        client.quit()
    took("POP3 STAT, UIDL, DELE")
    with imap(server, "alice") as session:
        session.select("INBOX")
        session.ok("STORE 1:%d +FLAGS.SILENT (\\Deleted)" % (MESSAGES // 2), timeout=120)
        session.ok("EXPUNGE", timeout=120)
        assert session.select("INBOX")[b"EXISTS"] == MESSAGES - 2 - MESSAGES // 2
        took("expunge half")
    with lmtp(server) as delivery:
        delivery.deliver("alice", message("one more"))

    if DRIVER == "lbox":  # too little address space for this store's index
        server.config.extra = SMALL
        server.write_config()
        server.restart()
        server.allow_log(r"imap\(.*Error: .*lbox: .*index\.\d+ .*[Rr]aise vsz_limit")
        since = server.log_size()
        session = imap(server, "alice")
        answer = session.command("SELECT INBOX", timeout=120)
        assert answer.status == "NO" and b"index is full" in answer.text
        server.await_log(r"imap\(.*Error: .*lbox: .*index\.\d+ .*[Rr]aise vsz_limit", since=since)
        session.close()
        server.config.extra = ""
        server.write_config()
        server.restart()
        with imap(server, "alice") as session:
            assert session.select("INBOX")[b"EXISTS"] == MESSAGES - 1 - MESSAGES // 2
    took("too small a vsz_limit")
