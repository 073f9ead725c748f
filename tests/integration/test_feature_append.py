"""APPEND in all its forms, what is read back of it, and REPLACE."""

import base64
import calendar
import re
import time

import pytest

from support.feature import User, append_uid, expand, flags_of, message, start, subjects
from support.wire import Literal, string

BIG = b"".join(b"%06d the quick brown fox jumps over the lazy dog\r\n" % n for n in range(6000))


@pytest.fixture(scope="module")
def server(module_server_factory):
    return start(module_server_factory)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def body_of(imap, uid, section="BODY.PEEK[]"):
    items = imap.fetch(str(uid), section)[uid]
    return string(next(value for key, value in items.items() if key not in (b"UID", b"FLAGS")))


def test_append_keeps_bytes_flags_and_date(user):
    sent = [message("empty", ""), message("lf only").replace(b"\r\n", b"\n"), message("big", BIG)]
    with user.imap() as imap:
        uids = [append_uid(imap.append("INBOX", data, ("\\Seen", "\\Flagged", "$Own", "other"),
                                       "17-Feb-2003 04:05:06 +0300")) for data in sent]
        assert uids == [1, 2, 3]
        imap.select("INBOX")
        for uid, data in zip(uids, sent):
            items = imap.fetch(str(uid), "(FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")[uid]
            wire = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            assert string(items[b"BODY[]"]) == wire
            assert int(items[b"RFC822.SIZE"]) == len(wire)
            assert flags_of(items) - {"\\Recent"} == {"\\Seen", "\\Flagged", "$Own", "other"}
            date = time.strptime(string(items[b"INTERNALDATE"]).decode(), "%d-%b-%Y %H:%M:%S %z")
            assert calendar.timegm(date) - date.tm_gmtoff == 1045443906


def test_append_with_synchronising_literal(user):
    with user.imap() as imap:
        assert append_uid(imap.append("INBOX", message("one"), sync=True)) == 1
        answer = imap.append("missing", message("lost"), sync=True)
        assert answer.status == "NO" and answer.code == b"TRYCREATE"
        assert append_uid(imap.append("INBOX", message("two"), sync=True)) == 2


def test_pipelined_appends_take_ascending_uids(user):
    with user.imap() as imap:
        tags = [imap.send_append("INBOX", message("m%d" % n)) for n in range(50)]
        assert [append_uid(imap.wait(tag)) for tag in tags] == list(range(1, 51))
        imap.select("INBOX")
        assert subjects(imap) == {n + 1: "m%d" % n for n in range(50)}


def test_multiappend(user):
    with user.imap() as imap:
        pieces = ["APPEND", "INBOX"]
        for n in range(5):
            pieces += ["(\\Seen k%d)" % n, Literal(message("m%d" % n))]
        answer = imap.ok(*pieces)
        assert expand(answer.code.split()[-1]) == [1, 2, 3, 4, 5]
        imap.select("INBOX")
        assert subjects(imap) == {n + 1: "m%d" % n for n in range(5)}
        assert [flags_of(imap.fetch(str(n), "FLAGS")[n]) - {"\\Recent"} for n in range(1, 6)] == [
            {"\\Seen", "k%d" % n} for n in range(5)]


def test_multiappend_that_fails_saves_nothing(user):
    with user.imap() as imap:
        good = message("good", BIG)
        answer = imap.command("APPEND", "INBOX", Literal(good), Literal(good), "CATENATE (URL \"/nowhere/;UID=9\")")
        assert answer.status == "NO"
        state = imap.select("INBOX")
        assert (state[b"EXISTS"], state[b"UIDNEXT"]) == (0, 1)


def test_catenate(user):
    with user.imap() as imap:
        append_uid(imap.append("INBOX", message("source", "first part\r\n")))
        imap.select("INBOX")
        head = b"Subject: made\r\n\r\n"
        answer = imap.ok("APPEND", "INBOX", "CATENATE (TEXT", Literal(head),
                         "URL \"/INBOX;UIDVALIDITY=%d/;UID=1/;SECTION=TEXT\"" % imap.select("INBOX")[b"UIDVALIDITY"],
                         "TEXT", Literal(b"the end\r\n"), ")")
        assert answer.code.split()[-1] == b"2"
        assert body_of(imap, 2) == head + b"first part\r\nthe end\r\n"


def test_binary(user):
    raw = bytes(range(256)) * 700
    encoded = base64.encodebytes(raw).replace(b"\n", b"\r\n")
    mime = (b"Subject: binary\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded +
            b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc\r\n"
            b"--b--\r\n")
    with user.imap() as imap:
        append_uid(imap.append("INBOX", mime))
        imap.select("INBOX")
        items = imap.fetch("1", "(BINARY.SIZE[1] BINARY.SIZE[2])")[1]
        # Dovecot counts a part of many lines some bytes short, with every driver: only the short one here.
        assert int(items[b"BINARY.SIZE[2]"]) == len(b"a=bc")
        assert body_of(imap, 1, "BINARY.PEEK[1]") == raw
        assert body_of(imap, 1, "BINARY.PEEK[2]") == b"a=bc"
        assert body_of(imap, 1, "BINARY.PEEK[1]<1000.300>") == raw[1000:1300]
        assert "\\Seen" not in flags_of(imap.fetch("1", "FLAGS")[1])
        assert body_of(imap, 1, "BINARY[2]") == b"a=bc"
        assert "\\Seen" in flags_of(imap.fetch("1", "FLAGS")[1])


def test_append_literal8(user):
    nul = b"Subject: nul\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\na\0b\0\r\n"
    with user.imap() as imap:
        assert append_uid(imap.append("INBOX", nul, binary=True)) == 1
        imap.select("INBOX")
        assert body_of(imap, 1, "BINARY.PEEK[1]") == b"a\0b\0\r\n"
        # Dovecot turns binary parts into base64 when it saves them.
        fetched = body_of(imap, 1)
        assert b"Content-Transfer-Encoding: base64" in fetched
        assert base64.b64decode(fetched.split(b"\r\n\r\n", 1)[1]) == b"a\0b\0\r\n"


def test_partial_fetches(user):
    data = message("partial", BIG)
    header = data[:data.index(b"\r\n\r\n") + 4]
    with user.imap() as imap:
        append_uid(imap.append("INBOX", data))
        imap.select("INBOX")
        for section, whole in (("", data), ("TEXT", BIG), ("HEADER", header), ("1", BIG)):
            # Backwards too: a compressed body has to be read again from its beginning.
            for offset in (0, 1, len(whole) - 7, 200_000, 1_000, 0):
                for count in (1, 4_096, 1 << 20):
                    got = body_of(imap, 1, "BODY.PEEK[%s]<%d.%d>" % (section, offset, count))
                    assert got == whole[offset:offset + count], (section, offset, count)
        assert body_of(imap, 1, "BODY.PEEK[]<%d.10>" % (len(data) + 5)) == b""


def test_savedate(user):
    before = int(time.time() - 0.1)  # a file system's clock may lag by a tick
    with user.imap() as imap:
        append_uid(imap.append("INBOX", message("old"), date="01-Jan-2001 00:00:00 +0000"))
        imap.ok("CREATE later")
        imap.select("INBOX")
        first = saved_at(imap, 1)
        assert before <= first <= time.time()
        assert imap.search("SAVEDBEFORE 1-Jan-2002") == []
        assert imap.search("SAVEDSINCE 1-Jan-2002") == [1]
        while time.time() < first + 1.1:
            time.sleep(0.05)
        imap.ok("UID COPY 1 later")
        imap.select("later")
        assert saved_at(imap, 1) > first
        assert b"01-Jan-2001" in imap.fetch("1", "INTERNALDATE")[1][b"INTERNALDATE"]


def saved_at(imap, uid):
    date = time.strptime(string(imap.fetch(str(uid), "SAVEDATE")[uid][b"SAVEDATE"]).decode(), "%d-%b-%Y %H:%M:%S %z")
    return calendar.timegm(date) - date.tm_gmtoff


@pytest.mark.series("2.4")
def test_replace(user):
    with user.imap() as imap:
        assert b" REPLACE " in imap.ok("CAPABILITY").untagged[0]
        for n in range(3):
            append_uid(imap.append("INBOX", message("m%d" % n)))
        imap.ok("CREATE other")
        imap.select("INBOX")
        answer = imap.ok("UID REPLACE 2 INBOX (\\Seen $New)", Literal(message("m1 again", BIG)))
        assert any(re.search(rb"APPENDUID \d+ 4\b", raw) for raw in answer.untagged + [answer.text])
        assert subjects(imap) == {1: "m0", 3: "m2", 4: "m1 again"}
        assert flags_of(imap.fetch("4", "FLAGS")[4]) - {"\\Recent"} == {"\\Seen", "$New"}
        imap.ok("REPLACE 1 other", Literal(message("moved")))
        imap.noop()
        assert subjects(imap) == {3: "m2", 4: "m1 again"}
        refused = imap.command("UID REPLACE 3 missing", Literal(message("nowhere")))
        assert refused.status == "NO"
        assert subjects(imap) == {3: "m2", 4: "m1 again"}
        imap.select("other")
        assert subjects(imap) == {1: "moved"}
