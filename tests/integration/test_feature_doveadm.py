"""doveadm: the mail commands against an lbox user, and doveadm lbox status."""

import glob
import json
import os
import re

import pytest

from support.feature import User, append_uid, flags_of, incompressible, message, start, subjects
from test_feature_metadata import EXTRA

LARGE = message("large", incompressible(2_000_000))
NO_MAILBOX = "Mailbox doesn't exist: missing"


@pytest.fixture(scope="module")
def server(module_server_factory):
    # In place: doveadm's own modules load from the compiled-in folder alone.
    return start(module_server_factory, driver="lbox", in_place=True, extra=EXTRA)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def save(user, mailbox, *subjects_):
    for subject in subjects_:
        user.doveadm("save", "-m", mailbox, input=message(subject))


def listed(user, mailbox):
    """{uid: subject} as doveadm sees it."""
    rows = json.loads(user.doveadm("-f", "json", "fetch", "uid hdr.subject", "mailbox", mailbox, "ALL").out)
    return {int(row["uid"]): row["hdr.subject"] for row in rows}


def figures(user, mailbox="INBOX", fields="messages vsize"):
    """What doveadm mailbox status says of one mailbox."""
    row, = json.loads(user.doveadm("-f", "json", "mailbox", "status", fields, mailbox).out)
    return {name: int(value) for name, value in row.items() if name != "mailbox"}


def lbox_status(user):
    row, = json.loads(user.doveadm("-f", "json", "lbox", "status").out)
    return row


def names(user):
    return sorted(row["mailbox"] for row in json.loads(user.doveadm("-f", "json", "mailbox", "list").out))


# Messages -------------------------------------------------------------------------------------------


def test_save_and_fetch(user):
    sent = [message("one"), message("lf only").replace(b"\r\n", b"\n"), LARGE]
    for data in sent:
        user.doveadm("save", input=data)
    wire = [data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for data in sent]
    rows = json.loads(user.doveadm("-f", "json", "fetch", "uid seq size.virtual text", "ALL").out)
    assert [(int(row["uid"]), int(row["seq"])) for row in rows] == [(1, 1), (2, 2), (3, 3)]
    assert [int(row["size.virtual"]) for row in rows] == [len(data) for data in wire]
    assert [row["text"].encode().replace(b"\r\n", b"\n") for row in rows] == [data.replace(b"\r\n", b"\n") for data in wire]
    guids = [row["guid"] for row in json.loads(user.doveadm("-f", "json", "fetch", "guid", "ALL").out)]
    assert len(set(guids)) == 3 and all(re.fullmatch("[0-9a-f]{32}", guid) for guid in guids)
    assert listed(user, "INBOX") == {1: "one", 2: "lf only", 3: "large"}
    found = user.doveadm("search", "subject", "only").text.split()
    assert found[1::2] == ["2"]


def test_save_to_a_missing_mailbox(user, server):
    save(user, "INBOX", "one")
    server.allow_log(NO_MAILBOX)
    refused = user.doveadm("save", "-m", "missing", input=message("lost"), check=False)
    assert refused.code == 68 and NO_MAILBOX in refused.err
    assert names(user) == ["INBOX"]


def test_import_from_a_maildir(user):
    folder = "%s/import-source" % user.server.base
    for sub in ("cur", "new", "tmp", ".Old", ".Old/cur", ".Old/new", ".Old/tmp"):
        os.makedirs("%s/%s" % (folder, sub))
        user.own("%s/%s" % (folder, sub))
    user.own(folder)
    for number, place in enumerate(("cur", "cur", ".Old/cur"), 1):
        with open("%s/%s/%d.m%d.test:2,FS" % (folder, place, 1700000000 + number, number), "wb") as file:
            file.write(message("imported %d" % number))
        user.own(file.name)
    save(user, "INBOX", "own")
    user.doveadm("import", "maildir:" + folder, "Imported", "ALL")
    assert set(names(user)) - {"Imported"} == {"INBOX", "Imported/INBOX", "Imported/Old"}
    with user.imap("Imported/INBOX") as imap:
        assert subjects(imap) == {1: "imported 1", 2: "imported 2"}
        assert flags_of(imap.fetch("1", "FLAGS")[1]) - {"\\Recent"} == {"\\Flagged", "\\Seen"}
    assert listed(user, "Imported/Old") == {1: "imported 3"}
    user.doveadm("import", "maildir:" + folder, "", "mailbox", "Old", "ALL")
    assert listed(user, "Old") == {1: "imported 3"}
    assert listed(user, "INBOX") == {1: "own"}


def test_copy_and_move(user, server):
    save(user, "INBOX", "a", "b", "c", "d")
    user.doveadm("mailbox", "create", "Other")
    user.doveadm("copy", "Other", "mailbox", "INBOX", "subject", "b")
    user.doveadm("move", "Other", "mailbox", "INBOX", "uid", "3:4")
    assert listed(user, "INBOX") == {1: "a", 2: "b"}
    assert listed(user, "Other") == {1: "b", 2: "c", 3: "d"}
    status = lbox_status(user)
    assert (status["messages"], status["mailboxes"]) == (5, 2)
    server.allow_log(NO_MAILBOX)
    assert user.doveadm("move", "missing", "mailbox", "INBOX", "ALL", check=False).code == 68
    assert listed(user, "INBOX") == {1: "a", 2: "b"}


def test_copy_from_another_user(user, server):
    other = User(server, user.name + "-other")
    save(other, "INBOX", "theirs")
    save(user, "INBOX", "mine")
    user.doveadm("copy", "INBOX", "user", other.name, "mailbox", "INBOX", "ALL")
    assert listed(user, "INBOX") == {1: "mine", 2: "theirs"}
    assert listed(other, "INBOX") == {1: "theirs"}


def test_expunge(user):
    save(user, "INBOX", "a", "b", "c")
    with user.imap("INBOX") as imap:
        user.doveadm("expunge", "mailbox", "INBOX", "subject", "b")
        assert b"* 2 EXPUNGE\r\n" in imap.ok("NOOP").untagged
        assert subjects(imap) == {1: "a", 3: "c"}
    save(user, "INBOX", "d")
    assert listed(user, "INBOX") == {1: "a", 3: "c", 4: "d"}
    user.doveadm("expunge", "mailbox", "INBOX", "ALL")
    assert figures(user) == {"messages": 0, "vsize": 0}


def test_flags(user):
    save(user, "INBOX", "a", "b")

    def flags():
        rows = json.loads(user.doveadm("-f", "json", "fetch", "uid flags", "ALL").out)
        return {int(row["uid"]): set(row["flags"].split()) - {"\\Recent"} for row in rows}

    user.doveadm("flags", "add", "\\Seen $One two", "uid", "1")
    assert flags() == {1: {"\\Seen", "$One", "two"}, 2: set()}
    user.doveadm("flags", "remove", "\\Seen two", "ALL")
    assert flags() == {1: {"$One"}, 2: set()}
    user.doveadm("flags", "replace", "\\Flagged three", "ALL")
    assert flags() == {1: {"\\Flagged", "three"}, 2: {"\\Flagged", "three"}}
    assert user.doveadm("search", "flagged", "keyword", "three").text.split()[1::2] == ["1", "2"]
    with user.imap("INBOX") as imap:
        assert flags_of(imap.fetch("2", "FLAGS")[2]) - {"\\Recent"} == {"\\Flagged", "three"}


# Mailboxes ------------------------------------------------------------------------------------------


def test_mailboxes(user, server):
    save(user, "INBOX", "a")
    for name in ("A", "A/B", "Entwürfe"):
        user.doveadm("mailbox", "create", name)
    assert names(user) == ["A", "A/B", "Entwürfe", "INBOX"]
    save(user, "A/B", "x", "y")
    server.allow_log("Can't create mailbox A: Mailbox already exists", NO_MAILBOX)
    assert user.doveadm("mailbox", "create", "A", check=False).code == 65
    assert user.doveadm("mailbox", "rename", "missing", "C", check=False).code == 68
    assert user.doveadm("mailbox", "delete", "missing", check=False).code == 68

    user.doveadm("mailbox", "rename", "A", "Z")
    assert names(user) == ["Entwürfe", "INBOX", "Z", "Z/B"]
    assert listed(user, "Z/B") == {1: "x", 2: "y"}
    assert lbox_status(user)["messages"] == 3

    user.doveadm("mailbox", "delete", "Z/B", "Entwürfe")
    assert names(user) == ["INBOX", "Z"]
    user.doveadm("mailbox", "delete", "-r", "Z")
    assert names(user) == ["INBOX"]
    status = lbox_status(user)
    assert (status["messages"], status["mailboxes"]) == (1, 1)


def test_mailbox_status(user):
    sent = [message("s%d" % n, "x" * 1000 * n + "\r\n") for n in range(5)]
    for data in sent:
        user.doveadm("save", input=data.replace(b"\r\n", b"\n"))  # vsize counts what goes over the wire
    user.doveadm("flags", "add", "\\Seen", "uid", "2:3")
    user.doveadm("expunge", "mailbox", "INBOX", "uid", "1")
    got = figures(user, fields="messages unseen uidnext uidvalidity vsize highestmodseq")
    assert {name: got[name] for name in ("messages", "unseen", "uidnext", "vsize")} == {
        "messages": 4, "unseen": 2, "uidnext": 6, "vsize": sum(map(len, sent[1:]))}
    with user.imap("INBOX", "(CONDSTORE)") as imap:
        assert imap.state[b"UIDVALIDITY"] == got["uidvalidity"]
        assert imap.state[b"HIGHESTMODSEQ"] == got["highestmodseq"]


def test_mailbox_metadata(user):
    save(user, "INBOX", "a")
    user.doveadm("mailbox", "create", "M")
    user.doveadm("mailbox", "metadata", "set", "M", "/private/comment", "of mine")
    assert user.doveadm("mailbox", "metadata", "get", "M", "/private/comment").text.strip() == "of mine"
    assert "comment" in user.doveadm("mailbox", "metadata", "list", "M").text.split()
    user.doveadm("mailbox", "rename", "M", "N")
    assert user.doveadm("mailbox", "metadata", "get", "N", "/private/comment").text.strip() == "of mine"
    user.doveadm("mailbox", "metadata", "unset", "N", "/private/comment")
    assert user.doveadm("mailbox", "metadata", "get", "N", "/private/comment").text.strip() == ""


# Repair and upkeep ----------------------------------------------------------------------------------


def test_force_resync_changes_nothing(user):
    save(user, "INBOX", "a", "b")
    user.doveadm("mailbox", "create", "Other")
    save(user, "Other", "c")
    user.doveadm("flags", "add", "\\Seen own", "mailbox", "INBOX", "uid", "2")
    fields = "messages unseen uidnext uidvalidity vsize"
    before = [figures(user, name, fields) for name in ("INBOX", "Other")]
    user.doveadm("force-resync", "*")
    assert [figures(user, name, fields) for name in ("INBOX", "Other")] == before
    with user.imap("INBOX") as imap:
        assert flags_of(imap.fetch("2", "FLAGS")[2]) - {"\\Recent"} == {"\\Seen", "own"}


@pytest.mark.parametrize("damage", ["garbage", "short", "empty"])
def test_force_resync_after_a_damaged_index(user, server, damage):
    save(user, "INBOX", "a", "b", "c")
    user.doveadm("expunge", "mailbox", "INBOX", "uid", "1")
    user.doveadm("flags", "add", "\\Flagged own", "uid", "3")
    fields = "messages unseen uidnext uidvalidity vsize"
    before = figures(user, fields=fields)
    user.await_closed()
    # A short session may leave only the log: a resync of the sound index writes dovecot.index.
    user.doveadm("force-resync", "INBOX")
    spoilt = [path for path in user.index_files() if re.search(r"/dovecot\.index(\.log)?$", path)]
    assert spoilt
    for path in spoilt:
        with open(path, "r+b") as file:
            if damage == "garbage":
                file.write(b"garbage" * (os.path.getsize(path) // 7 + 1))
            else:
                file.truncate(0 if damage == "empty" else 30)
    server.assert_log_clean()
    user.doveadm("force-resync", "INBOX")
    server.assert_log_clean(allow=[r"dovecot\.index"])  # Dovecot says that it is damaged, nothing else is to be complained of
    assert figures(user, fields=fields) == before
    assert listed(user, "INBOX") == {2: "b", 3: "c"}
    with user.imap("INBOX") as imap:
        assert flags_of(imap.fetch("3", "FLAGS")[3]) - {"\\Recent"} == {"\\Flagged", "own"}
        assert append_uid(imap.append("INBOX", message("next"))) == before["uidnext"]


def test_purge_frees_the_dead(user):
    # Too little is dead here for the upkeep that goes on by itself.
    with user.lmtp() as lmtp:
        for n in range(40):
            lmtp.deliver(user.name, message("kept %d" % n, incompressible(20_000, seed=b"%d" % n)))
    full = lbox_status(user)
    assert (full["messages"], full["dead"], full["large-bodies"]) == (40, 0, 0)
    user.doveadm("expunge", "mailbox", "INBOX", "uid", "5:6")
    before = lbox_status(user)
    assert before["dead"] > 2 * 15_000
    assert before["stored"] + before["dead"] == full["stored"]
    user.doveadm("purge")
    after = lbox_status(user)
    assert after["dead"] == 0
    assert after["stored"] == before["stored"]
    assert after["allocated"] <= before["allocated"] - 20_000
    assert sizes(user, "p") == after["stored"]
    assert sorted(listed(user, "INBOX").values()) == sorted("kept %d" % n for n in range(40) if n not in (4, 5))


def test_purge_of_everything(user):
    user.deliver("a", LARGE)
    user.doveadm("expunge", "mailbox", "INBOX", "ALL")
    user.doveadm("purge")
    status = lbox_status(user)
    assert [status[name] for name in ("messages", "logical", "stored", "dead", "large-bodies")] == [0, 0, 0, 0, 0]
    assert sizes(user, "p") == sizes(user, "l") == 0


# doveadm lbox status --------------------------------------------------------------------------------


def sizes(user, folder):
    return sum(os.path.getsize(path) for path in glob.glob("%s/store/%s/*" % (user.root, folder)))


def allocated(user):
    return sum(os.lstat(os.path.join(where, name)).st_blocks * 512
               for where, _, files in os.walk(user.root + "/store") for name in files)


def test_lbox_status_counts(user):
    user.deliver("a", "b", LARGE)
    user.doveadm("mailbox", "create", "Other")
    user.doveadm("copy", "Other", "mailbox", "INBOX", "ALL")
    status = lbox_status(user)
    assert status["store"] == user.root + "/store"
    assert (status["messages"], status["mailboxes"]) == (6, 2)
    # A copy counts in each mailbox for what a client sees, but is stored once.
    assert status["logical"] == figures(user, "INBOX")["vsize"] + figures(user, "Other")["vsize"]
    assert 0 < status["stored"] < figures(user, "INBOX")["vsize"]
    assert status["stored"] + status["dead"] == sizes(user, "p") + sizes(user, "l")
    assert status["packs"] == len(os.listdir(user.root + "/store/p")) >= 1
    assert status["large-bodies"] == len(os.listdir(user.root + "/store/l")) == 1
    user.await_closed()
    assert status["index"] == os.path.getsize("%s/store/index.%d" % (user.root, status["generation"]))
    assert 0 <= status["index-free"] < status["index"] <= status["map"]
    assert lbox_status(user)["allocated"] == allocated(user)
    assert (status["format"], status["map-limit"]) == (2, 0)  # doveadm has no vsz_limit


def test_lbox_status_shows_the_map_limit(user):
    user.deliver("a")
    limit = 256 << 20
    shown = user.server.run("prlimit", "--as=%d" % limit, "doveadm", "-f", "json", "-c", user.server.config_file,
                            "lbox", "status", "-u", user.name)
    status, = json.loads(shown.out)
    assert 0 < status["map"] <= status["map-limit"] < limit


def test_lbox_status_as_a_table(user):
    user.deliver("a", LARGE)
    titles, row = user.doveadm("lbox", "status").text.splitlines()
    assert re.split(r"\s{2,}|\s(?=[A-Z])", titles.strip()) == [
        "Store", "Messages", "Mailboxes", "Logical", "Stored", "Allocated", "Dead", "Packs", "Large", "Index", "Index free", "Map",
        "Map limit", "Format", "Gen"]
    wanted = lbox_status(user)
    cells = row.split()
    assert cells[0] == wanted["store"]
    exact = [str(value) for value in wanted.values()]
    assert cells[:5] + cells[6:] == exact[:5] + exact[6:]  # what is allocated may settle in between


def test_lbox_status_of_a_new_user(user):
    status = lbox_status(user)
    assert [status[name] for name in ("messages", "mailboxes", "logical", "stored", "dead", "packs", "large-bodies")] == [0] * 7


def test_lbox_status_of_a_maildir_user(server_factory):
    server = server_factory(driver="maildir", lbox=True, in_place=True)
    server.deliver("alice", message("a"))
    server.allow_log(r"None of the user's mail storages is lbox")
    refused = server.doveadm("lbox", "status", user="alice", check=False)
    assert refused.code == 68
    assert "None of the user's mail storages is lbox" in refused.err
    assert not refused.out.strip() or len(refused.out.splitlines()) == 1  # the titles at most
