# ctest: timeout=600 processors=2 labels=slow
"""Many messages in one mailbox under the default vsz_limit of 256 MiB, and a clear error under one that is too small."""

import os
import time

import pytest

from support.beside import DRIVER, delete_index_files, imap, lmtp, message, pop3, until
from support.server import SERIES

MESSAGES = int(os.environ.get("LBOX_VSZ_MESSAGES", "200000"))
BATCH = 5000
SMALL = {"2.3": "service imap {\n  vsz_limit = 40 M\n}\n", "2.4": "service imap {\n  vsz_limit = 80 M\n}\n"}


def test_a_large_mailbox(server_factory):
    server = server_factory(driver=DRIVER)
    clock = time.monotonic()

    def took(what):
        nonlocal clock
        print("%-24s %6.1f s" % (what, time.monotonic() - clock))
        clock = time.monotonic()

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
