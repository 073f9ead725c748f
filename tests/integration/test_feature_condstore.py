"""CONDSTORE and QRESYNC (RFC 7162)."""

import re

import pytest

from support.feature import User, append_uid, flags_of, message, start, vanished

MANY = 400


@pytest.fixture(scope="module")
def server(module_server_factory):
    return start(module_server_factory)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def modseqs(imap, uids="1:*"):
    return {uid: int(items[b"MODSEQ"].strip(b"()")) for uid, items in imap.fetch(uids, "(MODSEQ)").items()}


def changed(answer):
    return {uid: flags_of(items) - {"\\Recent"} for uid, items in answer.fetches().items()}


def resync(user, state, known="", modseq=None):
    """A session that SELECTs with QRESYNC from an earlier state; the raw answer is .answer."""
    imap = user.imap(enable="QRESYNC")
    imap.answer = imap.ok("SELECT INBOX (QRESYNC (%d %d%s))" % (
        state[b"UIDVALIDITY"], modseq or state[b"HIGHESTMODSEQ"], " " + known if known else ""))
    return imap


def highest(answer):
    return int(re.search(rb"HIGHESTMODSEQ (\d+)", b"".join(answer.untagged)).group(1))


def test_modseqs_grow_with_each_change(user):
    user.append("INBOX", "a", "b", "c")
    with user.imap("INBOX", "(CONDSTORE)") as imap:
        first = modseqs(imap)
        assert max(first.values()) <= imap.state[b"HIGHESTMODSEQ"]
        answer = imap.ok("UID STORE 2 +FLAGS (\\Flagged)")
        second = int(re.search(rb"MODSEQ \((\d+)\)", answer.untagged[0]).group(1))
        assert second > imap.state[b"HIGHESTMODSEQ"]
        imap.ok("UID STORE 3 +FLAGS.SILENT (key)")
        now = modseqs(imap)
        assert now[1] == first[1] and now[2] == second and now[3] > second
        assert imap.search("MODSEQ %d" % second) == [2, 3]
        assert changed(imap.ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d)" % second)) == {3: {"key"}}
        # Setting what is set already changes nothing for others.
        imap.ok("UID STORE 2 +FLAGS (\\Flagged)")
        assert modseqs(imap, "1,3") == {1: now[1], 3: now[3]}
        uid = append_uid(imap.append("INBOX", message("d")))
        assert modseqs(imap, str(uid))[uid] > now[3]
    with user.imap("INBOX") as imap:
        after = modseqs(imap)
        assert {uid: after[uid] for uid in (1, 3)} == {1: now[1], 3: now[3]}
        assert imap.state[b"HIGHESTMODSEQ"] >= max(after.values())


def test_unchangedsince(user):
    user.append("INBOX", "a", "b", "c")
    with user.imap("INBOX", "(CONDSTORE)") as imap, user.imap("INBOX") as other:
        known = imap.state[b"HIGHESTMODSEQ"]
        other.ok("UID STORE 2 +FLAGS (\\Answered)")
        answer = imap.ok("UID STORE 1:3 (UNCHANGEDSINCE %d) +FLAGS.SILENT (\\Flagged)" % known)
        assert answer.code == b"MODIFIED 2"
        assert changed(imap.ok("UID FETCH 1:3 FLAGS")) == {1: {"\\Flagged"}, 2: {"\\Answered"}, 3: {"\\Flagged"}}
        assert imap.ok("UID STORE 2 (UNCHANGEDSINCE %d) +FLAGS.SILENT (\\Seen)" % modseqs(imap)[2]).code == b""


def test_qresync_tells_changes_and_what_vanished(user):
    user.append("INBOX", *("m%d" % n for n in range(10)))
    with user.imap("INBOX") as imap:
        known = imap.select("INBOX", parameters="(CONDSTORE)")
    with user.imap("INBOX") as imap:
        imap.ok("UID STORE 2 +FLAGS (\\Flagged)")
        imap.ok("UID STORE 4:6,9 +FLAGS.SILENT (\\Deleted)")
        imap.ok("EXPUNGE")
        append_uid(imap.append("INBOX", message("new")))
    with resync(user, known) as imap:
        assert vanished(imap.answer, earlier=True) == [4, 5, 6, 9]
        assert changed(imap.answer) == {2: {"\\Flagged"}, 11: set()}
        # In a QRESYNC session expunges come as VANISHED.
        imap.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)")
        assert vanished(imap.ok("EXPUNGE")) == [1]
        assert vanished(imap.ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)" % known[b"HIGHESTMODSEQ"]),
                        earlier=True) == [1, 4, 5, 6, 9]
    with resync(user, known, known="1:3,9:10 (1,3 1,3)") as imap:
        assert vanished(imap.answer, earlier=True) == [1, 9]
        assert changed(imap.answer) == {2: {"\\Flagged"}}  # of the known UIDs alone
    now = {**known, b"HIGHESTMODSEQ": highest(imap.answer)}
    with resync(user, now) as imap:
        assert vanished(imap.answer, earlier=True) == [] and changed(imap.answer) == {}
    with resync(user, {**known, b"UIDVALIDITY": known[b"UIDVALIDITY"] + 1}) as imap:
        assert vanished(imap.answer, earlier=True) == [] and changed(imap.answer) == {}


def test_qresync_across_many_changes(user):
    """More than one dovecot.index.log holds: what is no longer in the log must not be forgotten."""
    with user.imap("INBOX") as imap:
        for tag in [imap.send_append("INBOX", message("m%d" % n)) for n in range(MANY)]:
            imap.wait(tag).expect_ok()
        known = imap.select("INBOX", parameters="(CONDSTORE)")
        imap.ok("UID STORE 3,50,%d +FLAGS.SILENT (\\Deleted)" % (MANY - 1))
        imap.ok("EXPUNGE")
        for n in range(60):
            imap.ok("UID STORE 1:* %sFLAGS.SILENT (k%d \\Answered)" % ("+-"[n % 2], n // 2))
    with user.imap("INBOX") as imap:
        flags = changed(imap.ok("UID FETCH 1:* FLAGS"))
    with resync(user, known) as imap:
        assert vanished(imap.answer, earlier=True) == [3, 50, MANY - 1]
        assert changed(imap.answer) == flags


def test_vanished_while_selected_and_for_copies(user):
    user.append("INBOX", *"abcd")
    with user.imap(enable="QRESYNC") as imap, user.imap("INBOX") as other:
        imap.select("INBOX")
        imap.ok("CREATE there")
        other.ok("UID MOVE 2:3 there")
        assert vanished(imap.noop()) == [2, 3]
        assert vanished(imap.ok("UID MOVE 1 there")) == [1]
        before = imap.select("there")
        imap.ok("UID STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.ok("CLOSE")
        answer = imap.ok("SELECT there (QRESYNC (%d %d))" % (before[b"UIDVALIDITY"], before[b"HIGHESTMODSEQ"]))
        assert vanished(answer, earlier=True) == [1, 2, 3]
