"""STORE, keywords, \\Seen by reading, \\Recent."""

import pytest

from support.feature import User, append_uid, flags_of, message, start

SYSTEM = {"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"}


@pytest.fixture(scope="module")
def server(module_server_factory):
    return start(module_server_factory)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def all_flags(imap):
    return {uid: flags_of(items) - {"\\Recent"} for uid, items in imap.fetch("1:*", "FLAGS").items()}


def test_store_adds_removes_replaces(user):
    user.append("INBOX", "a", "b", "c")
    with user.imap("INBOX") as imap:
        answer = imap.ok("STORE 1:2 +FLAGS (\\Flagged key)")
        assert [flags_of(items) - {"\\Recent"} for _, items in answer.fetch_list()] == [{"\\Flagged", "key"}] * 2
        assert imap.ok("UID STORE 2:3 +FLAGS.SILENT (\\Seen \\Draft)").fetches() == {}
        imap.ok("UID STORE 2 -FLAGS (\\Draft key nothing)")
        imap.ok("UID STORE 3 FLAGS (\\Answered \\Deleted other)")
        expected = {1: {"\\Flagged", "key"}, 2: {"\\Flagged", "\\Seen"}, 3: {"\\Answered", "\\Deleted", "other"}}
        assert all_flags(imap) == expected
        imap.ok("UID STORE 3 FLAGS ()")
        expected[3] = set()
        assert imap.command("UID STORE 1 +FLAGS (\\Nonsense)").status == "BAD"
    with user.imap("INBOX") as imap:
        assert all_flags(imap) == expected


def test_read_only_changes_nothing(user):
    user.append("INBOX", "a")
    with user.imap() as imap:
        imap.select("INBOX", read_only=True)
        imap.command("UID STORE 1 +FLAGS (\\Flagged)")  # Dovecot says OK and ignores it
        imap.ok("UID FETCH 1 BODY[]")
        assert all_flags(imap) == {1: set()}


def test_reading_sets_seen(user):
    user.append("INBOX", "a", "b")
    with user.imap("INBOX") as imap:
        imap.ok("UID FETCH 1 BODY.PEEK[TEXT]")
        assert "\\Seen" in flags_of(imap.ok("UID FETCH 2 BODY[TEXT]").fetches()[2])
        assert imap.ok("STATUS INBOX (UNSEEN)").named("STATUS")[0].endswith(b"(UNSEEN 1)\r\n")
    with user.imap("INBOX") as imap:
        assert all_flags(imap) == {1: set(), 2: {"\\Seen"}}


def test_more_than_32_keywords(user):
    names = ["key-%02d" % n for n in range(80)]
    with user.imap() as imap:
        for name in names:
            append_uid(imap.append("INBOX", message(name), (name,)))
        append_uid(imap.append("INBOX", message("all"), names))
        append_uid(imap.append("INBOX", message("none")))
    expected = {n + 1: {name} for n, name in enumerate(names)}
    expected.update({81: set(names), 82: set()})
    with user.imap("INBOX") as imap:
        assert set(names) <= {name.decode() for name in imap.state[b"FLAGS"]}
        assert all_flags(imap) == expected
        imap.ok("UID STORE 82 +FLAGS (key-79 key-33 key-00)")
        imap.ok("UID STORE 81 -FLAGS (%s)" % " ".join(names[10:70]))
        imap.ok("UID STORE 1:3 +FLAGS.SILENT (key-31 key-32)")
        imap.ok("UID STORE 50 FLAGS (key-63 key-64 \\Seen)")
        expected[82] = {"key-79", "key-33", "key-00"}
        expected[81] = set(names[:10] + names[70:])
        for uid in (1, 2, 3):
            expected[uid] |= {"key-31", "key-32"}
        expected[50] = {"key-63", "key-64", "\\Seen"}
        assert all_flags(imap) == expected
        assert imap.search("KEYWORD key-79") == [80, 81, 82]
        assert imap.search("KEYWORD key-49") == []
        assert imap.search("KEYWORD key-32") == [1, 2, 3, 33]
    with user.imap("INBOX") as imap:
        assert all_flags(imap) == expected


def test_recent_is_seen_by_one_session(user):
    user.deliver("a", "b")
    with user.imap() as imap:
        assert imap.select("INBOX", read_only=True)[b"RECENT"] == 2
    with user.imap("INBOX") as imap:
        assert imap.state[b"RECENT"] == 2
        assert all("\\Recent" in flags_of(items) for items in imap.fetch("1:*", "FLAGS").values())
        user.deliver("c")
        with user.imap("INBOX") as other:
            assert other.state[b"RECENT"] == 1
            imap.noop()
            assert [uid for uid, items in imap.fetch("1:*", "FLAGS").items() if "\\Recent" in flags_of(items)] == [1, 2]
    with user.imap("INBOX") as imap:
        assert imap.state[b"RECENT"] == 0
