"""POP3: its commands, several sessions at once, and unique ids of each kind."""

import re

import pytest

from support.feature import IS_LBOX, User, append_uid, flags_of, incompressible, message, start, subjects, take_over


@pytest.fixture(scope="module")
def server(module_server_factory):
    return start(module_server_factory)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def appended(user, *messages):
    """Messages that come back byte for byte (LMTP adds headers)."""
    with user.imap() as imap:
        for one in messages:
            append_uid(imap.append("INBOX", one))
    return list(messages)


def test_commands(user):
    dots = message("dots", ".one\r\n..two\r\n.\r\nend\r\n")
    sent = appended(user, message("first", "a\r\nb\r\nc\r\nd\r\n"), dots, message("big", incompressible(300_000)))
    with user.pop3() as pop3:
        assert pop3.stat() == (3, sum(map(len, sent)))
        assert pop3.list() == {n + 1: len(data) for n, data in enumerate(sent)}
        assert pop3.ok("LIST 2").status.split()[1:] == [b"2", b"%d" % len(dots)]
        ids = pop3.uidl()
        assert len(set(ids.values())) == 3
        assert pop3.ok("UIDL 3").status.split()[1:] == [b"3", ids[3]]
        for number, data in enumerate(sent, 1):
            assert pop3.retr(number) == data
        head, body = sent[0].split(b"\r\n\r\n")
        assert pop3.top(1, 0) == head + b"\r\n\r\n"
        assert pop3.top(1, 2) == head + b"\r\n\r\na\r\nb\r\n"
        assert pop3.top(2, 1000) == dots
        for wrong in ("RETR 4", "LIST 4", "UIDL 0", "TOP 9 1", "DELE 4"):
            assert not pop3.command(wrong).ok, wrong
        pop3.dele(2)
        assert pop3.stat() == (2, len(sent[0]) + len(sent[2]))
        assert not pop3.command("RETR 2").ok and not pop3.command("DELE 2").ok
        pop3.ok("RSET")
        assert pop3.stat()[0] == 3
        pop3.dele(1)
        pop3.close()  # cut off: nothing is deleted
        pop3._quit = True
    with user.pop3() as pop3:
        assert pop3.uidl() == ids
        pop3.dele(1)
        pop3.dele(3)
        assert pop3.quit().ok
    with user.pop3() as pop3:
        assert pop3.uidl() == {1: ids[2]}
        assert pop3.retr(1) == dots


def test_reading_marks_seen(user):
    appended(user, message("a"), message("b"))
    with user.pop3() as pop3:
        pop3.top(1, 0)
        pop3.retr(2)
    with user.imap("INBOX") as imap:
        assert "\\Seen" not in flags_of(imap.fetch("1", "FLAGS")[1])
        assert "\\Seen" in flags_of(imap.fetch("2", "FLAGS")[2])


def test_sessions_see_their_own_state(user):
    sent = appended(user, *(message(name) for name in "abcde"))
    with user.pop3() as one, user.pop3() as two:
        user.deliver("later")
        assert one.stat()[0] == two.stat()[0] == 5
        one.dele(1)
        one.dele(2)
        two.dele(2)
        two.dele(3)
        assert one.quit().ok
        # What the other session deleted is gone for good; this one goes on with the rest.
        assert two.retr(4) == sent[3]
        assert not two.command("RETR 1").ok
    with user.imap("INBOX") as imap:
        assert list(subjects(imap).values()) == ["d", "e", "later"]


def test_imap_expunges_under_a_pop3_session(user):
    sent = appended(user, *(message(name) for name in "abcd"))
    with user.pop3() as pop3, user.imap("INBOX") as imap:
        pop3.list()
        imap.ok("UID STORE 2:3 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        pop3.dele(1)
        pop3.dele(2)  # gone already
        assert pop3.retr(4) == sent[3]
        assert not pop3.command("RETR 3").ok
        assert pop3.quit().ok
        imap.noop()
        assert list(subjects(imap).values()) == ["d"]


def test_uids_ascend_after_everything_was_deleted(user):
    appended(user, message("a"), message("b"))
    with user.pop3() as pop3:
        before = set(pop3.uidl().values())
        pop3.dele(1)
        pop3.dele(2)
    user.deliver("c")
    with user.pop3() as pop3:
        assert not before & set(pop3.uidl().values())
    with user.imap("INBOX") as imap:
        assert list(subjects(imap)) == [3]


FORMATS = {
    "guid": ({"2.3": "pop3_uidl_format = %g", "2.4": "pop3_uidl_format = %{guid}"}, r"[0-9a-f]{32}"),
    "uid": ({"2.3": "pop3_uidl_format = %u", "2.4": "pop3_uidl_format = %{uid}"}, r"\d+"),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_uidl_format(server_factory, kind):
    extra, pattern = FORMATS[kind]
    server = start(server_factory, extra=extra)
    user = User(server, "formats")
    appended(user, *(message(name) for name in "abc"))
    user.deliver("d")
    with user.pop3() as pop3:
        ids = pop3.uidl()
    assert all(re.fullmatch(pattern, one.decode()) for one in ids.values()) and len(set(ids.values())) == 4
    expected = user.doveadm("fetch", kind, "mailbox", "INBOX").out.split()[1::2]
    assert list(ids.values()) == expected
    with user.pop3() as pop3:
        pop3.dele(2)
    with user.pop3() as pop3:
        assert list(pop3.uidl().values()) == [ids[1], ids[3], ids[4]]


def test_uidl_and_order_from_another_server(user):
    take_over(user, ["id-c", "id-b", "id-a"])
    user.append("INBOX", "native")
    for _ in range(2):
        with user.pop3() as pop3:
            ids = pop3.uidl()
            assert list(ids.values())[:3] == [b"id-a", b"id-b", b"id-c"]
            assert len(ids) == 4
            assert [re.search(rb"Subject: ([^\r]+)", pop3.top(n, 0)).group(1).decode() for n in ids] == [
                "old 3", "old 2", "old 1", "native"]
    if not IS_LBOX:
        return  # others forget the id when a message is copied or moved
    with user.imap("INBOX") as imap:
        imap.ok("CREATE kept")
        imap.ok("UID MOVE 1:* kept")
        imap.select("kept")
        imap.ok("UID MOVE 1:* INBOX")
    with user.pop3() as pop3:
        assert list(pop3.uidl().values())[:3] == [b"id-a", b"id-b", b"id-c"]
