"""COPY (metadata only), MOVE, EXPUNGE and what they free."""

import re

import pytest

from support.feature import User, append_uid, await_true, expand, flags_of, incompressible, message, start, subjects
from support.wire import string

SMALL, LARGE = 50_000, 400_000  # below and above what goes into a file of its own


@pytest.fixture(scope="module")
def server(module_server_factory):
    return start(module_server_factory)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def copyuid(raw):
    """COPYUID's (source UIDs, destination UIDs)."""
    match = re.search(rb"\[COPYUID \d+ (\S+) (\S+)\]", raw)
    return expand(match.group(1)), expand(match.group(2))


def fill(user, count=20):
    sent = {}
    with user.imap() as imap:
        for n in range(count):
            data = message("m%d" % n, incompressible(LARGE if n % 5 == 0 else SMALL, seed=n))
            sent[append_uid(imap.append("INBOX", data, ("\\Flagged", "k%d" % (n % 3)), "%02d-Feb-2015 10:00:00 +0000" % (n + 1)))] = data
    return sent


def test_copy_is_metadata_only(user):
    sent = fill(user)
    used = user.disk_use()
    assert used > sum(map(len, sent.values())) * 0.7
    with user.imap() as imap:
        imap.ok("CREATE copies")
        append_uid(imap.append("copies", message("first"), ("zzz", "yyy", "k2")))  # keywords in another order there
        imap.select("INBOX")
        answer = imap.ok("UID COPY 1:* copies")
        assert copyuid(answer.text) == (list(range(1, 21)), list(range(2, 22)))
        imap.ok("UID COPY 1:10 copies")
        assert user.disk_use() - used < SMALL, "a copy takes disk"
        before = imap.fetch("1:*", "(FLAGS INTERNALDATE RFC822.SIZE)")
        imap.select("copies")
        after = imap.fetch("1:*", "(FLAGS INTERNALDATE RFC822.SIZE)")
        for uid, items in before.items():
            for copy in (uid + 1, uid + 21) if uid <= 10 else (uid + 1,):
                assert flags_of(after[copy]) - {"\\Recent"} == flags_of(items) - {"\\Recent"}
                assert after[copy][b"INTERNALDATE"] == items[b"INTERNALDATE"]
                assert after[copy][b"RFC822.SIZE"] == items[b"RFC822.SIZE"]
    guids = dict(re.findall(r"uid: (\d+)\nguid: (\w+)", user.doveadm("fetch", "uid guid", "mailbox", "INBOX").text))
    copies = dict(re.findall(r"uid: (\d+)\nguid: (\w+)", user.doveadm("fetch", "uid guid", "mailbox", "copies").text))
    assert len(set(guids.values())) == 20
    assert all(copies[str(int(uid) + 1)] == guid for uid, guid in guids.items())

    # The originals go; the copies stay whole.
    with user.imap("INBOX") as imap:
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.select("copies")
        for uid, data in sent.items():
            assert string(imap.fetch(str(uid + 1), "BODY.PEEK[]")[uid + 1][b"BODY[]"]) == data


def test_expunging_the_last_copy_frees_disk(user):
    fill(user)
    used = user.disk_use()
    with user.imap("INBOX") as imap:
        imap.ok("CREATE copies")
        imap.ok("COPY 1:* copies")
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.select("copies")
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        assert user.disk_use() > used * 0.9
        imap.ok("EXPUNGE")
        # Without any command by hand, in the time after the reply.
        await_true(lambda: user.disk_use() < used * 0.1, "disk is freed")


def test_copy_to_itself_and_to_nowhere(user):
    user.append("INBOX", "a", "b")
    with user.imap("INBOX") as imap:
        answer = imap.command("UID COPY 1:2 missing")
        assert answer.status == "NO" and answer.code == b"TRYCREATE"
        imap.ok("UID COPY 1 INBOX")
        imap.noop()
        assert subjects(imap) == {1: "a", 2: "b", 3: "a"}
        assert imap.ok("UID COPY 77 INBOX").fetches() == {}


def test_move(user):
    user.append("INBOX", *"abcdef")
    with user.imap("INBOX") as imap:
        imap.ok("CREATE there")
        answer = imap.ok("UID MOVE 2:3,5 there")
        assert copyuid(b"".join(answer.untagged) + answer.text) == ([2, 3, 5], [1, 2, 3])
        assert sorted(raw.split()[1] for raw in answer.named("EXPUNGE")) in ([b"2", b"2", b"3"], [b"2", b"3", b"5"])
        assert subjects(imap) == {1: "a", 4: "d", 6: "f"}
        imap.ok("MOVE 1 there")
        assert imap.command("UID MOVE 4 missing").status == "NO"
        assert subjects(imap) == {4: "d", 6: "f"}
        imap.select("there")
        assert subjects(imap) == {1: "b", 2: "c", 3: "e", 4: "a"}
        imap.ok("MOVE 1:* INBOX")
        assert imap.select("there")[b"EXISTS"] == 0
        imap.select("INBOX")
        assert subjects(imap) == {4: "d", 6: "f", 7: "b", 8: "c", 9: "e", 10: "a"}


def test_expunge(user):
    user.append("INBOX", *"abcdefgh")
    with user.imap("INBOX") as imap:
        imap.ok("UID STORE 2:5 +FLAGS (\\Deleted)")
        answer = imap.ok("UID EXPUNGE 1:3,8")
        assert [raw.split()[1] for raw in answer.named("EXPUNGE")] in ([b"2", b"2"], [b"3", b"2"])
        assert subjects(imap) == {1: "a", 4: "d", 5: "e", 6: "f", 7: "g", 8: "h"}
        assert len(imap.ok("EXPUNGE").named("EXPUNGE")) == 2
        assert list(subjects(imap)) == [1, 6, 7, 8]
        imap.ok("UID STORE 7 +FLAGS (\\Deleted)")
        imap.ok("UNSELECT")
        imap.select("INBOX", read_only=True)
        imap.ok("CLOSE")
        assert imap.select("INBOX")[b"EXISTS"] == 4
        imap.ok("CLOSE")
        state = imap.select("INBOX")
        assert (state[b"EXISTS"], state[b"UIDNEXT"]) == (3, 9)
        imap.ok("STORE 1:* +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        state = imap.select("INBOX")
        assert (state[b"EXISTS"], state[b"UIDNEXT"]) == (0, 9)
    assert user.append("INBOX", "again") == [9]


def test_one_delivery_to_two_users(server, user):
    """Expunged by one, it stays with the other."""
    other = User(server, user.name + "-other")
    data = message("both", incompressible(LARGE))
    with user.lmtp() as lmtp:
        lmtp.deliver([user.name, other.name], data)
    with user.imap("INBOX") as imap:
        imap.ok("STORE 1 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    user.doveadm("purge")
    with other.imap("INBOX") as imap:
        assert string(imap.fetch("1", "BODY.PEEK[]")[1][b"BODY[]"]).endswith(data)
