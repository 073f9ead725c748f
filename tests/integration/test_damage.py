# ctest: timeout=600
"""Damage, and what an operator has for it: doveadm lbox verify finds it, doveadm lbox repair (or force-resync) mends it.

What is not damaged is served all the time. test_limits_damage.py has what clients see of single damaged bodies.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import threading

import pytest

from support import packs
from support.beside import DATE, DRIVER, files_below, imap, incompressible, lmtp, message, until
from support.wire import string

pytestmark = pytest.mark.skipif(DRIVER != "lbox", reason="about lbox's store")
BODIES = [message("first", 3000), message("second", 30_000), message("third", 3000), message("large") + incompressible(400_000, "verify"), message("fifth", 3000)]
DAMAGED = 65  # EX_DATAERR


@pytest.fixture(scope="module")
def server(module_server_factory):
    # In place: doveadm's own modules load from the compiled-in folder alone.
    return module_server_factory(driver=DRIVER, in_place=True)


def fill(server, user):
    with imap(server, user) as session:
        session.ok("CREATE Copies")
        for data in BODIES:
            session.append("INBOX", data, (), DATE).expect_ok()
        session.select("INBOX")
        session.ok("UID COPY 2 Copies")
    until(lambda: not server.pids("imap"), "imap does not end")
    return server.mail_root(user) + "/store"


def tool(server, user, *command, code=0):
    """The rows that doveadm lbox ... gives."""
    result = server.doveadm("-f", "json", "lbox", *command, user=user, check=False)
    assert result.code == code, result.text
    return json.loads(result.out)


def poke(path, offset, mask=0xFF):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def record_of(store, uid):
    return next(record for record in packs.records(store) if record.uid == uid)


def body(store):
    record = record_of(store, 2)
    poke(record.path, record.frames_at + record.header_stored + 20)


def record_header(store):
    poke(record_of(store, 2).path, record_of(store, 2).offset + 90)


def large_body(store):
    poke(files_below(store + "/l")[0], 200_000)


def large_removed(store):
    os.unlink(files_below(store + "/l")[0])


def pack_cut(store):
    os.truncate(record_of(store, 5).path, record_of(store, 5).offset + 100)


def pack_removed(store):
    os.unlink(record_of(store, 1).path)


# How, {mailbox: UIDs that are lost}, whether a header section is left to tell the Message-ID
CASES = [
    (body, {"INBOX": {2}, "Copies": {1}}, True),
    (record_header, {"INBOX": {2}, "Copies": {1}}, False),
    (large_body, {"INBOX": {4}}, True),
    (large_removed, {"INBOX": {4}}, True),
    (pack_cut, {"INBOX": {5}}, False),
    (pack_removed, {"INBOX": {1, 2, 3, 4, 5}, "Copies": {1}}, False),
]


def read_inbox(server, user, lost):
    with imap(server, user) as session:
        session.select("INBOX")
        for uid, data in enumerate(BODIES, 1):
            answer = session.command("UID FETCH %d BODY.PEEK[]" % uid)
            if uid in lost:
                assert answer.status == "NO" and answer.text, answer
            else:
                assert string(answer.expect_ok().fetches()[uid][b"BODY[]"]) == data


# force-resync: two of them show that it does the same.
@pytest.mark.parametrize("command, spoil, lost, header_left",
                         [("repair", *case) for case in CASES] + [("force-resync", *case) for case in CASES if case[0] in (body, pack_cut)],
                         ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else ""))
def test_verify_and_repair(server, spoil, lost, header_left, command):
    user = "%s-%s" % (spoil.__name__.replace("_", "-"), command)
    store = fill(server, user)
    assert [row["kind"] for row in tool(server, user, "verify")] == ["good"]
    spoil(store)
    server.allow_log(r"Error: .*lbox: .*store/(p|l)/", r"imap\(.*Error: .*UID[= ]\d", r"force-resync|doveadm\(.*Warning: .*lbox: repair: ")
    since = server.log_size()
    read_inbox(server, user, lost["INBOX"])
    server.await_log(r"imap\(.*Error: .*lbox: .*store/(p|l)/", since=since)
    if spoil in (pack_cut, pack_removed):
        server.await_log(r"run: doveadm lbox verify -u " + user, since=since)

    *rows, summary = tool(server, user, "verify", code=DAMAGED)
    assert summary["kind"] == "damaged" and "lbox repair -u " + user in summary["text"]
    found = {}
    for row in rows:
        if row["kind"] == "message":
            found.setdefault(row["mailbox"], set()).add(int(row["uid"]))
            assert re.search(r"store/(p|l)/[0-9a-f]+", row["text"]) and re.fullmatch("[0-9a-f]{32}", row["guid"])
    assert found == lost
    if spoil is body:  # what --fast leaves out
        assert [row["kind"] for row in tool(server, user, "verify", "--fast")] == ["good"]

    with imap(server, user) as session, lmtp(server) as delivery:
        session.select("INBOX")
        if command == "repair":
            *rows, summary = tool(server, user, "repair")
            assert summary["kind"] == "repaired" and summary["text"].startswith("%d messages lost" % sum(map(len, lost.values())))
            assert sum("lost: mailbox" in row["text"] for row in rows) == sum(map(len, lost.values()))
        else:
            server.doveadm("force-resync", "INBOX", user=user)
            server.doveadm("force-resync", "Copies", user=user)
        # A session that was there all the time is told.
        session.ok("NOOP")
        assert session.search("ALL") == [uid for uid in range(1, len(BODIES) + 1) if uid not in lost["INBOX"]]
        delivery.deliver(user, message("after"))
    with imap(server, user) as session:
        session.select("INBOX")
        got = {uid: string(items[b"BODY[]"]) for uid, items in session.ok("UID FETCH 1:* BODY.PEEK[]").fetches().items()}
        assert got.pop(6).endswith(message("after"))
        assert got == {uid: data for uid, data in enumerate(BODIES, 1) if uid not in lost["INBOX"]}
    assert [row["kind"] for row in tool(server, user, "verify")] == ["good"]

    (report,) = glob.glob(store + "/quarantine/*/report.txt")
    assert os.stat(report).st_uid == server.config.mail_uid
    with open(report, encoding="utf-8") as file:
        text = file.read()
    for mailbox, uids in lost.items():
        for uid in uids:
            (line,) = [line for line in text.splitlines() if re.search(r'lost: mailbox "%s" \([0-9a-f]{32}\) UID %d, GUID [0-9a-f]{32}' % (mailbox, uid), line)]
            assert ("@beside.lbox.example>" in line) == header_left, line
    # Nothing that may be of use was removed.
    if spoil is not pack_removed:
        assert glob.glob(os.path.dirname(report) + "/pack-*")
    if spoil is large_body:
        assert glob.glob(os.path.dirname(report) + "/large-*")
    assert [row["kind"] for row in tool(server, user, "repair")] == ["good"]


def index_of(store):
    with open(store + "/CURRENT", encoding="ascii") as file:
        return store + "/index." + file.read().split("generation ")[1].split()[0]


def index_removed(store):
    os.unlink(index_of(store))


def index_cut(store):
    os.truncate(index_of(store), 10_000)


def index_pages(store):
    """All but LMDB's two header pages: reading this may kill a process."""
    path = index_of(store)
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xa5" * (size - 3 * 4096))


def current_removed(store):
    os.unlink(store + "/CURRENT")


def current_damaged(store):
    poke(store + "/CURRENT", 30)


@pytest.mark.parametrize("spoil", [index_removed, index_cut, index_pages, current_removed, current_damaged], ids=lambda f: f.__name__)
def test_index(server, spoil):
    """The mailboxes cannot be opened; the log says what to run; after that all is there, under its UIDs."""
    user = spoil.__name__.replace("_", "-")
    store = fill(server, user)
    with imap(server, user) as session:
        before = session.select("INBOX")[b"UIDVALIDITY"]
    until(lambda: not server.pids("imap"), "imap does not end")
    spoil(store)
    server.allow_log(r"Error: .*lbox: ", r"(imap|lmtp|doveadm)\(.*Error: ", r"child \d+ killed with signal")
    since = server.log_size()
    with lmtp(server) as delivery:
        refused, taken = delivery.try_deliver([user, "bystander"], message("to both"))
        assert 400 <= refused.code < 500 and taken.code == 250, (refused, taken)
    with imap(server, user) as session:
        assert session.command("SELECT INBOX").status == "NO"
    server.await_log(r"imap\(.*Error: .*lbox: .*doveadm lbox repair", since=since)
    *rows, summary = tool(server, user, "verify", code=DAMAGED)
    assert {row["kind"] for row in rows} == {"index"} and summary["kind"] == "damaged"

    *rows, summary = tool(server, user, "repair")
    assert summary["kind"] == "repaired" and summary["text"].startswith("0 messages lost"), summary
    assert [row["kind"] for row in tool(server, user, "verify")] == ["good"]
    with imap(server, user) as session:
        assert session.select("INBOX")[b"UIDVALIDITY"] == before
        got = {uid: string(items[b"BODY[]"]) for uid, items in session.ok("UID FETCH 1:* BODY.PEEK[]").fetches().items()}
        assert got == dict(enumerate(BODIES, 1))
        session.select("Copies")
        assert [string(items[b"BODY[]"]) for items in session.fetch("1:*", "BODY.PEEK[]").values()] == [BODIES[1]]
    with lmtp(server) as delivery:
        delivery.deliver(user, message("after"))


def test_dead_space(server):
    """Damage where no message is: told, mended, and nothing lost."""
    user = "dead-space"
    store = fill(server, user)
    with imap(server, user) as session:
        session.select("INBOX")
        session.ok("UID STORE 3 +FLAGS (\\Deleted)")
        session.ok("EXPUNGE")
    poke(record_of(store, 3).path, record_of(store, 3).offset + 30)
    row, summary = tool(server, user, "verify", code=DAMAGED)
    assert row["kind"] == "dead space" and summary["kind"] == "damaged"
    assert tool(server, user, "repair")[-1]["text"].startswith("0 messages lost")
    assert [row["kind"] for row in tool(server, user, "verify")] == ["good"]
    with imap(server, user) as session:
        assert session.select("INBOX")[b"EXISTS"] in (4, b"4", "4")


def test_spare_and_orphans(server):
    """Damage to what only a rebuild needs; and a file that is nobody's, which is no damage."""
    user = "spare"
    store = fill(server, user)
    server.doveadm("purge", user=user)  # takes an index copy
    assert [row["kind"] for row in tool(server, user, "verify")] == ["good"]
    with open(store + "/p/0000ffff", "wb") as file:
        file.write(b"x" * 1000)
    orphan, summary = tool(server, user, "verify")
    assert orphan["kind"] == "orphan" and "/p/0000ffff" in orphan["text"] and summary["kind"] == "good"
    server.doveadm("purge", user=user)
    assert not os.path.exists(store + "/p/0000ffff")

    poke(store + "/index.copy", 100)
    spare, summary = tool(server, user, "verify", code=DAMAGED)
    assert spare["kind"] == "spare" and "/index.copy" in spare["text"] and summary["kind"] == "damaged"
    *rows, summary = tool(server, user, "repair")
    assert summary["kind"] == "repaired" and summary["text"].startswith("0 messages lost"), rows
    assert [row["kind"] for row in tool(server, user, "verify")] == ["good"]
    read_inbox(server, user, ())


class Dovecots:
    """Dovecot's own files of a user, kept and put back. No process has them open."""

    def __init__(self, server, user, *patterns):
        self.server, self.user, self.patterns = server, user, patterns
        server.await_no_sessions()
        self.kept = {path: open(path, "rb").read() for path in self.paths()}

    def paths(self):
        root = self.server.mail_root(self.user)
        return [path for pattern in self.patterns for path in glob.glob(root + "/**/" + pattern, recursive=True)]

    def restore(self):
        self.server.await_no_sessions()
        for path in self.paths():
            os.unlink(path)
        for path, data in self.kept.items():
            with open(path, "wb") as file:
                file.write(data)
            os.chown(path, self.server.config.mail_uid, self.server.config.mail_uid)


def test_dovecot_index(server):
    """An index that holds what the store does not, though their counters agree: a sync sees nothing, verify does."""
    user = "dovecots"
    with imap(server, user) as session:
        session.append("INBOX", BODIES[0]).expect_ok()
        session.append("INBOX", BODIES[2]).expect_ok()
    server.await_no_sessions()
    root = server.mail_root(user)
    everything = server.base + "/everything"
    subprocess.run(["cp", "-a", root, everything], check=True)
    with imap(server, user) as session:
        session.append("INBOX", BODIES[4]).expect_ok()
    kept = Dovecots(server, user, "dovecot.index*", "dovecot.list.index*")
    shutil.rmtree(root)
    subprocess.run(["cp", "-a", everything, root], check=True)
    with imap(server, user) as session:  # two messages in one transaction: one step of the counter, as before
        session.ok("APPEND INBOX", b" ".join(b"{%d+}\r\n%s" % (len(data), data) for data in (BODIES[2], BODIES[4])))
    kept.restore()

    *rows, summary = tool(server, user, "verify", code=DAMAGED)
    assert [(row["kind"], row["mailbox"]) for row in rows] == [("dovecot index", "INBOX")], rows
    assert rows[0]["text"].startswith("messages: 3 in Dovecot's index, 4 in the store"), rows
    server.doveadm("force-resync", "INBOX", user=user)
    assert [row["kind"] for row in tool(server, user, "verify")] == ["good"]
    with imap(server, user) as session:
        assert session.select("INBOX")[b"EXISTS"] == 4


def test_mailbox_list(server):
    """A mailbox that the store has and Dovecot's list lost."""
    user = "listless"
    fill(server, user)
    kept = Dovecots(server, user, "dovecot.list.index*")
    with imap(server, user) as session:
        session.ok("CREATE Later")
        session.append("Later", BODIES[0]).expect_ok()
    kept.restore()
    *rows, summary = tool(server, user, "verify", code=DAMAGED)
    assert [(row["kind"], row["mailbox"]) for row in rows] == [("mailbox list", "Later")], rows
    assert "with 1 messages is in the store" in rows[0]["text"]
    server.allow_log(r"Warning: .*Mailbox list rescan")
    tool(server, user, "repair")
    assert [row["kind"] for row in tool(server, user, "verify")] == ["good"]
    with imap(server, user) as session:
        assert session.select("Later")[b"EXISTS"] == 1


def test_verify_while_mail_flows(server):
    """A writer's half-done work is not called damage."""
    user = "busy"
    fill(server, user)
    stop, failed = threading.Event(), []

    def work(number):
        try:
            with imap(server, user) as session, lmtp(server) as delivery:
                session.select("INBOX")
                while not stop.is_set():
                    delivery.deliver(user, message("busy %d" % number, 40_000))
                    session.append("INBOX", BODIES[3]).expect_ok()
                    session.ok("NOOP")
                    session.ok("STORE 1:2 +FLAGS (\\Deleted)")
                    session.ok("EXPUNGE")
        except Exception as problem:  # told by the main thread
            failed.append(problem)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(8):
            rows = tool(server, user, "verify")
            assert [row["kind"] for row in rows] == ["good"], rows
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not failed, failed


def test_many_users_and_none(server, tmp_path):
    """Going through users goes on after a damaged store, and the exit status tells of it; who never had mail is good."""
    fill(server, "all-good")
    store = fill(server, "all-damaged")
    body(store)
    said = {}
    for user, code in (("all-good", 0), ("all-damaged", DAMAGED), ("all-new", 0)):
        said[user] = tool(server, user, "verify", code=code)[-1]["kind"]
    assert said == {"all-good": "good", "all-damaged": "damaged", "all-new": "good"}
    server.allow_log(r"auth: Error: .*Trying to iterate users")  # the tests' userdb cannot; the file has them
    users = tmp_path / "users"
    users.write_text("all-damaged\nall-good\n")
    result = server.doveadm("-f", "json", "lbox", "verify", "-F", str(users), check=False)
    assert result.code == DAMAGED, result.text
    assert {row["username"]: row["kind"] for row in json.loads(result.out)} == {"all-damaged": "damaged", "all-good": "good"}


def test_a_killed_session_costs_one_look(server):
    """Who dies with the index open leaves a mark in `lock`; the next opener looks, finds nothing, and clears it."""
    user = "killed"
    store = fill(server, user)

    def marks():
        with open(store + "/lock", "rb") as file:
            return file.read().strip(b"\0")

    assert not marks()
    session = imap(server, user)
    session.select("INBOX")
    assert marks()
    server.allow_log(r"service\(\w+\): child \d+ killed with signal 9")
    server.kill_mail_processes()
    until(lambda: not server.pids("imap"), "imap does not end")
    assert marks()
    with imap(server, user) as again:
        again.select("INBOX")
        assert len(again.fetch("1:*", "BODY.PEEK[]")) == len(BODIES)
    until(lambda: not server.pids("imap"), "imap does not end")
    assert not marks()
