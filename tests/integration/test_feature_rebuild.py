"""Dovecot's index files are a cache: whichever of them are lost, the next open shows the same mail.

Every file named dovecot.index* and dovecot.list.index* is deleted, or some of them; then the mailboxes are first
opened in different ways, by no doveadm command, and everything that a client can see is compared.
"""

import os
import re
import shutil

import pytest

from support.feature import (INDEX_PATTERNS, IS_LBOX, User, append_uid, flags_of, message, start, subjects, take_over,
                             vanished)
from support.snapshot import differences, snapshot, uidl_list
from support.wire import Disconnected, quote

pytestmark = pytest.mark.skipif(not IS_LBOX, reason="index files are the truth of this driver")

KINDS = {
    "index": dict(layout="index"),
    "fs": dict(layout="fs"),
    "index-elsewhere": dict(layout="index", index_dir="~/indexes", control_dir="~/control"),
    "fs-elsewhere": dict(layout="fs", index_dir="~/indexes", control_dir="~/control"),
}
KEYWORDS = ["key-%02d" % n for n in range(70)]
OLD_IDS = ["earlier-%d" % n for n in range(6)]


@pytest.fixture(scope="module", params=["index", "fs"])
def server(module_server_factory, request):
    return start(module_server_factory, **KINDS[request.param])


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def name(user, path):
    config = user.server.config
    return path if path == "INBOX" else config.prefix + path.replace("/", config.separator)


def fill(user):
    """Mailboxes of all kinds; nothing has seen the messages of "fresh"."""
    take_over(user, OLD_IDS)
    user.deliver(*("delivered %d" % n for n in range(8)))
    with user.imap() as imap:
        for path in ("Many", "a/b/c", "a/b", "a", "empty", "emptied", "fresh", "to be renamed", "to be renamed/child", "gone", "gone/too",
                     "q\"u\\o te", "&ZeVnLIqe-"):
            imap.command("CREATE", quote(name(user, path)))
            for n in range(3 if not path.startswith("empty") else 0):
                append_uid(imap.append(name(user, path), message("%s %d" % (re.sub(r"\W", "", path), n)), ("\\Draft",) if n else (),
                                       "%02d-Mar-2011 10:11:12 +0000" % (n + 1)))
        for n, keyword in enumerate(KEYWORDS):
            append_uid(imap.append(name(user, "Many"), message("many %d" % n), (keyword,)))
        imap.select(name(user, "Many"))
        imap.ok("UID STORE 20 +FLAGS.SILENT (%s)" % " ".join(KEYWORDS))
        imap.ok("UID STORE 30:40 -FLAGS.SILENT (%s)" % " ".join(KEYWORDS[:50]))
        imap.ok("UID STORE 1:10 +FLAGS.SILENT (\\Flagged \\Seen)")
        imap.select("INBOX")
        imap.ok("UID COPY 11:13 %s" % name(user, "a"))
        imap.ok("UID STORE 12,* +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("UNSELECT")
        imap.ok("RENAME", quote(name(user, "to be renamed")), quote(name(user, "a/renamed")))
        config = user.server.config
        if config.layout == "fs" or not config.index_dir:  # there Dovecot refuses DELETE, with any driver
            imap.ok("DELETE", quote(name(user, "gone/too")))
            imap.ok("DELETE", quote(name(user, "gone")))
        append_uid(imap.append(name(user, "emptied"), message("short-lived")))
        imap.select(name(user, "emptied"))
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("UNSELECT")
        imap.ok("SUBSCRIBE", quote(name(user, "a/b")))
    uidl_list(user.server, user.name)  # POP3 is the first to see what is in INBOX


def shown(user):
    """What IMAP alone shows: LIST, and of each mailbox the state, flags with \\Recent, dates. {name: observations}"""
    result = {}
    with user.imap() as imap:
        for raw in imap.ok('LIST "" "*"').named("LIST"):
            result[raw[raw.index(b'"'):]] = raw[:raw.index(b")")]
        for vname in [n for n, attributes in result.items() if b"Noselect" not in attributes and b"NonExistent" not in attributes]:
            path = vname[vname.index(b" ") + 1:].strip()
            state = imap.ok("EXAMINE", path, "(CONDSTORE)").untagged
            seen = imap.ok("UID FETCH 1:* (FLAGS INTERNALDATE SAVEDATE RFC822.SIZE)").untagged
            result[vname] = [sorted(raw for raw in state if not any(word in raw for word in (b"HIGHESTMODSEQ", b"FLAGS", b"CLOSED"))), seen,
                             sorted(re.search(rb"FLAGS \(([^)]*)\)", b"".join(state)).group(1).split())]
    return result


def assert_kept(before, after, new=()):
    """Everything is as before but modification sequences, which only ever grow. `new`: differences that a test made."""
    found = [text for text in differences(before, after, ignore=("modseq", "highestmodseq")) if not any(re.search(n, text) for n in new)]
    assert not found, "\n".join(found[:20])
    for mailbox, was in before.mailboxes.items():
        now = after.mailboxes[mailbox]
        assert now.highestmodseq >= was.highestmodseq, mailbox
        assert all(m.modseq <= now.highestmodseq for m in now.messages.values()), mailbox


def look(user):
    before = shown(user)
    return before, snapshot(user.server, user.name)


@pytest.mark.parametrize("kind", KINDS)
def test_all_lost(server_factory, kind):
    user = User(start(server_factory, **KINDS[kind]), "loser")
    fill(user)
    imap_before, before = look(user)
    assert any(m.recent for m in before.mailboxes[name(user, "fresh")].messages.values())
    assert [uidl for uidl, _ in before.pop3][:5] == OLD_IDS[:1:-1] + OLD_IDS[:1]
    for _ in range(2):
        user.delete_index_files()
        assert shown(user) == imap_before
        assert_kept(before, snapshot(user.server, user.name))
        assert shown(user) == imap_before


def first_select(user, before):
    path = name(user, "a/b/c")
    with user.imap(path) as imap:
        assert imap.state[b"UIDVALIDITY"] == before.mailboxes[path].uidvalidity
        assert imap.state[b"UIDNEXT"] == before.mailboxes[path].uidnext
        assert list(imap.fetch("1:*", "FLAGS")) == list(before.mailboxes[path].messages)
    return [r"mailbox \S+c, uid \d+: recent"]


def first_status(user, before):
    path = name(user, "Many")
    with user.imap() as imap:
        (raw,) = imap.ok("STATUS", path, "(MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)").named("STATUS")
    messages, uidnext, uidvalidity, modseq = map(int, re.findall(rb" (\d+)", raw))
    was = before.mailboxes[path]
    assert (messages, uidnext, uidvalidity) == (len(was.messages), was.uidnext, was.uidvalidity)
    assert modseq >= was.highestmodseq
    return []


def first_list_status(user, before):
    with user.imap() as imap:
        found = imap.ok('LIST "" "*" RETURN (STATUS (MESSAGES))').named("STATUS")
    assert len(found) == len(before.mailboxes)
    return []


def first_pop3(user, before):
    assert uidl_list(user.server, user.name) == before.pop3
    return []


def first_lmtp(user, before):
    user.deliver("after the loss")
    uid = before.mailboxes["INBOX"].uidnext
    return [r"INBOX, uid %d: only in the second" % uid, r"mailbox INBOX: uidnext %d, %d" % (uid, uid + 1), r"user: pop3 \[\]"]


def first_append(user, before):
    path = name(user, "emptied")
    assert user.append(path, "after the loss") == [before.mailboxes[path].uidnext]
    return [r"emptied, uid %d: only in the second" % before.mailboxes[path].uidnext, r"emptied: uidnext"]


def first_copy(user, before):
    path = name(user, "a")
    with user.imap("INBOX") as imap:
        imap.ok("UID COPY 11 %s" % path)
    uid = before.mailboxes[path].uidnext
    return [r"mailbox %s, uid %d: only in the second" % (re.escape(path), uid), r"mailbox %s: uidnext" % re.escape(path)]


def first_create(user, before):
    with user.imap() as imap:
        assert imap.command("CREATE", name(user, "a/b/c")).code == b"ALREADYEXISTS"
        imap.ok("CREATE", name(user, "fresh/below"))
    return [r"mailbox \S*fresh.below: only in the second"]


def first_rename(user, before):
    with user.imap() as imap:
        imap.ok("RENAME", name(user, "a"), name(user, "x"))
        assert imap.select(name(user, "x/b/c"))[b"EXISTS"] == 3
        imap.ok("UNSELECT")
        imap.ok("RENAME", name(user, "x"), name(user, "a"))
    return [r"mailbox \S+c, uid \d+: recent"]


FIRST = [first_select, first_status, first_list_status, first_pop3, first_lmtp, first_append, first_copy, first_create, first_rename]


def test_first_to_open(user):
    """One after the other, each the first after a loss of its own."""
    fill(user)
    for first in FIRST:
        before = snapshot(user.server, user.name)
        user.delete_index_files()
        new = first(user, before)
        try:
            assert_kept(before, snapshot(user.server, user.name), new)
        except AssertionError as problem:
            raise AssertionError("after %s:\n%s" % (first.__name__, problem)) from None


PARTS = ["dovecot.index", "dovecot.index.log", "dovecot.index.log.2", "dovecot.index.cache", "dovecot.list.index",
         "dovecot.list.index.log", "dovecot.index.log*", "dovecot.list.index*", "dovecot.index*"]


def test_some_lost(user):
    fill(user)
    before = snapshot(user.server, user.name)
    tried = 0
    for pattern in PARTS:
        user.await_closed()
        paths = user.index_files((pattern,))
        for lost in (paths, paths[::2]):  # of every mailbox, and of every second one
            user.await_closed()
            for path in lost:
                if os.path.exists(path):
                    os.unlink(path)
                    tried += 1
            # Dovecot itself says when it misses a part of what belongs together.
            user.server.allow_log(r"(dovecot\.index|dovecot\.list\.index)\S*.*(reset|missing|lost|unexpected|Corrupted|seq)",
                                  r"Mailbox list (index|rescan)", r"\.log was (locked|deleted)|Transaction log .*desync|Deleting corrupted cache")
            try:
                assert_kept(before, snapshot(user.server, user.name))
            except AssertionError as problem:
                raise AssertionError("%s lost (%d files):\n%s" % (pattern, len(lost), problem)) from None
    assert tried > 20


def test_recent_in_inbox(user):
    user.deliver("a", "b")
    with user.imap("INBOX") as imap:
        assert imap.state[b"RECENT"] == 2
    user.deliver("c", "d")
    user.delete_index_files()
    with user.imap() as imap:
        assert imap.select("INBOX", read_only=True)[b"RECENT"] == 2
    user.delete_index_files()
    with user.imap("INBOX") as imap:
        assert imap.state[b"RECENT"] == 2
        assert [uid for uid, items in imap.fetch("1:*", "FLAGS").items() if "\\Recent" in flags_of(items)] == [3, 4]
    user.delete_index_files()
    with user.imap("INBOX") as imap:
        assert imap.state[b"RECENT"] == 0


def resync(user, known):
    imap = user.imap(enable="QRESYNC")
    imap.answer = imap.ok("SELECT INBOX (QRESYNC (%d %d))" % (known[b"UIDVALIDITY"], known[b"HIGHESTMODSEQ"]))
    imap.highest = int(re.search(rb"HIGHESTMODSEQ (\d+)", b"".join(imap.answer.untagged)).group(1))
    return imap


@pytest.mark.parametrize("files", [INDEX_PATTERNS, ("dovecot.index.log*",)], ids=["all", "log"])
def test_qresync_after_loss(user, files):
    """A client that was away learns what vanished before the loss, after it, and all flags that changed."""
    user.server.allow_log(r"dovecot\.index\S*.*(reset|missing|lost|unexpected|Corrupted|seq)")
    user.append("INBOX", *("m%d" % n for n in range(12)))
    with user.imap("INBOX", "(CONDSTORE)") as imap:
        known = imap.state
        cache = {uid: flags_of(items) - {"\\Recent"} for uid, items in imap.fetch("1:*", "FLAGS").items()}
    with user.imap("INBOX") as imap:
        imap.ok("UID STORE 2:3,7,11:12 +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("UID STORE 5 +FLAGS.SILENT (\\Flagged key)")
    with user.imap("INBOX", "(CONDSTORE)") as imap:
        exposed = imap.state[b"HIGHESTMODSEQ"]
        truth = {uid: flags_of(items) - {"\\Recent"} for uid, items in imap.fetch("1:*", "FLAGS").items()}
    expunged = {2, 3, 7, 11, 12}
    for round_number in range(2):
        user.delete_index_files(files)
        with resync(user, known) as imap:
            gone = set(vanished(imap.answer, earlier=True))
            assert gone >= expunged and not gone & set(truth)
            caught_up = {uid: flags for uid, flags in cache.items() if uid not in gone}
            caught_up.update({uid: flags_of(items) - {"\\Recent"} for uid, items in imap.answer.fetches().items()})
            assert caught_up == truth
            assert imap.highest >= exposed
            # New changes are newer than anything that was ever shown.
            answer = imap.ok("UID STORE 8 %sFLAGS (again)" % "+-"[round_number])
            modseq = int(re.search(rb"MODSEQ \((\d+)\)", b"".join(answer.untagged)).group(1))
            assert modseq > imap.highest
            exposed = modseq
            truth[8] = {"again"} if round_number == 0 else set()
            gone_now = [1, 4][round_number]
            imap.ok("UID STORE %d +FLAGS.SILENT (\\Deleted)" % gone_now)
            assert vanished(imap.ok("EXPUNGE")) == [gone_now]
            expunged.add(gone_now)
            del truth[gone_now]
    with resync(user, known) as imap:
        assert set(vanished(imap.answer, earlier=True)) >= expunged
    assert user.append("INBOX", "later") == [13]


@pytest.mark.parametrize("first", FIRST, ids=lambda first: first.__name__)
def test_nothing_but_the_store_is_left(user, first):
    """As after restoring no more than that from a backup. The mailboxes' directories are gone as well, and with layout fs their
    names with them."""
    if user.server.config.layout == "fs":
        pytest.skip("layout fs keeps the names in directories")
    fill(user)
    before = snapshot(user.server, user.name)
    user.await_closed()
    for name_ in os.listdir(user.root):
        if name_ not in ("store", "subscriptions"):
            path = os.path.join(user.root, name_)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    new = first(user, before)
    assert_kept(before, snapshot(user.server, user.name), new)


def test_qresync_after_the_loss_of_a_newer_log(user):
    """The index stayed, as it was before some messages came and went; its log did not."""
    user.server.allow_log(r"dovecot\.index\S*.*(reset|missing|lost|unexpected|Corrupted|seq)")
    user.append("INBOX", *("m%d" % n for n in range(20)))
    with user.imap("INBOX") as imap:
        for number in range(600):  # as long a log as makes Dovecot write the index itself
            imap.ok("STORE %d,%d +FLAGS.SILENT (k%d)" % (number % 10 + 1, number % 10 + 11, number % 20))
            imap.ok("STORE %d -FLAGS.SILENT (k%d)" % (number % 10 + 1, number % 20))
    user.await_closed()
    index, = user.index_files(("dovecot.index",))
    with open(index, "rb") as file:
        old = file.read()
    assert user.append("INBOX", "x", "y", "z") == [21, 22, 23]
    with user.imap("INBOX", "(CONDSTORE)") as imap:
        known = imap.state
        imap.ok("UID STORE 22 +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
    user.await_closed()
    for path in user.index_files(("dovecot.index.log*",)):
        os.unlink(path)
    with open(index, "r+b") as file:
        file.write(old)
        file.truncate()
    with resync(user, known) as imap:
        assert set(vanished(imap.answer, earlier=True)) >= {22}
        assert not set(vanished(imap.answer, earlier=True)) & {20, 21, 23}
        assert imap.highest >= known[b"HIGHESTMODSEQ"]
        assert sorted(subjects(imap))[-3:] == [20, 21, 23]


def test_qresync_of_an_emptied_mailbox(user):
    user.append("INBOX", "a", "b", "c")
    with user.imap("INBOX", "(CONDSTORE)") as imap:
        known = imap.state
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
    user.delete_index_files()
    with resync(user, known) as imap:
        assert set(vanished(imap.answer, earlier=True)) >= {1, 2, 3}
        assert imap.highest >= known[b"HIGHESTMODSEQ"]
    assert user.append("INBOX", "d") == [4]


def test_lost_under_an_open_session(user):
    """Whatever happens to the open session, it shows nothing false, and others go on."""
    user.server.allow_log(r"dovecot\.(list\.)?index", r"Mailbox list (index|rescan)", r"Deleting corrupted cache")
    user.append("INBOX", *"abcd")
    watcher = user.imap("INBOX")
    for path in user.index_files():
        os.unlink(path)
    user.deliver("e")
    with user.imap("INBOX") as imap:
        assert list(subjects(imap).items()) == [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]
        imap.ok("UID STORE 2 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    try:
        for command in ("NOOP", "UID FETCH 1,3:4 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])"):
            for uid, items in watcher.command(command).fetches().items():
                assert b"Subject: " + {1: b"a", 3: b"c", 4: b"d"}[uid] in b"".join(items.values())
    except Disconnected:
        pass  # Dovecot ends a session whose index is gone
    watcher.close()
    with user.imap("INBOX") as imap:
        assert list(subjects(imap).items()) == [(1, "a"), (3, "c"), (4, "d"), (5, "e")]
