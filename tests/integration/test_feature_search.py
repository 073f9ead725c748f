"""SEARCH, SORT and THREAD over one mailbox; test_differential_delivery.py has the breadth."""

import re

import pytest

from support.feature import User, append_uid, message, start

DATES = ["05-Jan-2020", "01-Jan-2021", "03-Mar-2019", "10-Oct-2022", "11-Nov-2018", "12-Dec-2023"]
NAMES = ["delta", "Alpha", "charlie", "bravo", "Re: alpha", "echo"]


@pytest.fixture(scope="module")
def server(module_server_factory):
    return start(module_server_factory)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


@pytest.fixture
def imap(user):
    with user.imap() as imap:
        for n, (name, date) in enumerate(zip(NAMES, DATES)):
            text = "word%d\r\n" % n + "filler line\r\n" * (n * 37 % 11 * 20)
            extra = "In-Reply-To: <Alpha@lbox.example>\r\n" if name.startswith("Re:") else ""
            append_uid(imap.append("INBOX", message(name, text, sender="p%d@example.com" % (9 - n), extra=extra),
                                   ("\\Seen", "even") if n % 2 == 0 else ("\\Flagged",), date + " 12:00:00 +0000"))
        imap.select("INBOX")
        yield imap


@pytest.mark.parametrize("criteria, expected", [
    ("ALL", [1, 2, 3, 4, 5, 6]),
    ("SUBJECT alpha", [2, 5]),
    ("FROM p7@example.com", [3]),
    ("BODY word3", [4]),
    ("TEXT lbox.example", [1, 2, 3, 4, 5, 6]),
    ("HEADER In-Reply-To alpha", [5]),
    ("SEEN", [1, 3, 5]),
    ("UNSEEN FLAGGED", [2, 4, 6]),
    ("KEYWORD even", [1, 3, 5]),
    ("UNKEYWORD even", [2, 4, 6]),
    ("SINCE 1-Jan-2021", [2, 4, 6]),
    ("BEFORE 1-Jan-2020", [3, 5]),
    ("ON 10-Oct-2022", [4]),
    ("SENTON 3-Jun-2024", [1, 2, 3, 4, 5, 6]),
    ("OR UID 1 SUBJECT echo", [1, 6]),
    ("NOT UID 2:4", [1, 5, 6]),
    ("2,4:5 NOT SEEN", [2, 4]),
    ("LARGER 1000000", []),
    ("DELETED", []),
])
def test_search(imap, criteria, expected):
    assert imap.search(criteria) == expected


def test_search_sees_changes(imap, user):
    imap.ok("UID STORE 1 +FLAGS (\\Deleted)")
    imap.ok("UID STORE 4 +FLAGS (even)")
    assert imap.search("DELETED") == [1]
    assert imap.search("KEYWORD even") == [1, 3, 4, 5]
    imap.ok("EXPUNGE")
    user.deliver(message("zulu", "word9\r\n"))
    imap.noop()
    assert imap.search("BODY word") == [2, 3, 4, 5, 6, 7]
    assert imap.search("NEW BODY word9") == [7]


def test_extended_search(imap):
    imap.ok("UID SEARCH RETURN (SAVE) FLAGGED")
    assert sorted(imap.fetch("$", "FLAGS")) == [2, 4, 6]
    (raw,) = imap.ok("UID SEARCH RETURN (MIN MAX COUNT ALL) SEEN").named("ESEARCH")
    assert re.search(rb"UID MIN 1 MAX 5 COUNT 3 ALL 1,3,5|UID MIN 1 MAX 5 ALL 1,3,5 COUNT 3", raw)
    (raw,) = imap.ok("UID SORT RETURN (COUNT PARTIAL 1:2) (SUBJECT) UTF-8 ALL").named("ESEARCH")
    assert b"COUNT 6" in raw and b"PARTIAL (1:2 2,5)" in raw


def test_updated_search(imap, user):
    """RFC 5267: the answer is kept up to date while messages change."""
    tag = imap.send("UID SEARCH RETURN (UPDATE ALL) UNSEEN")
    assert b"ALL 2,4,6" in imap.wait(tag).named("ESEARCH")[0]
    answer = imap.ok("UID STORE 4 +FLAGS (\\Seen)")
    assert any(b"REMOVEFROM (0 4)" in raw for raw in answer.untagged)
    user.deliver("more")
    assert any(b"ADDTO (0 7)" in raw for raw in imap.noop().untagged)


@pytest.mark.parametrize("program, expected", [
    ("(SUBJECT)", [2, 5, 4, 3, 1, 6]),
    ("(REVERSE SUBJECT)", [6, 1, 3, 4, 2, 5]),
    ("(ARRIVAL)", [5, 3, 1, 2, 4, 6]),
    ("(FROM)", [6, 5, 4, 3, 2, 1]),
    ("(SIZE)", None),
    ("(DATE)", [1, 2, 3, 4, 5, 6]),
])
def test_sort(imap, program, expected):
    if expected is None:
        sizes = {uid: int(items[b"RFC822.SIZE"]) for uid, items in imap.fetch("1:*", "RFC822.SIZE").items()}
        expected = sorted(sizes, key=sizes.get)
        assert expected != sorted(expected)
    assert imap.ok("UID SORT %s UTF-8 ALL" % program).numbers(b"SORT") == expected


@pytest.mark.parametrize("algorithm", ["REFERENCES", "REFS", "ORDEREDSUBJECT"])
def test_thread(imap, algorithm):
    (raw,) = imap.ok("UID THREAD %s UTF-8 ALL" % algorithm).named("THREAD")
    assert b"(2 5)" in raw
    assert sorted(map(int, re.findall(rb"\d+", raw))) == [1, 2, 3, 4, 5, 6]
