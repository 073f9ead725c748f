"""The wire clients, against scripted answers of a peer."""

import socket
import threading

import pytest

from support.wire import (
    Disconnected, Imap, Lmtp, Pop3, WireError, WireTimeout, parse_fetch, quote, string, uid_set, value)
from support.wire_lmtp import dot_stuffed


class Peer:
    """Listens once, sends `script` and keeps what it got until the client closes."""

    def __init__(self, script, close=False):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.got = b""
        self._thread = threading.Thread(target=self._serve, args=(script, close), daemon=True)
        self._thread.start()

    def _serve(self, script, close):
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        with connection, self._listener:
            for piece in script:
                connection.sendall(piece)
            if close:
                connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65536):
                self.got += data

    def finish(self):
        self._thread.join(10)
        return self.got


FETCHES = [
    (b"* 1 FETCH (UID 7 FLAGS (\\Seen $x))\r\n", {b"UID": b"7", b"FLAGS": b"(\\Seen $x)"}),
    (b"* 1 FETCH (BODY[] {5}\r\na)(b\" UID 1)\r\n", {b"BODY[]": b"{5}\r\na)(b\"", b"UID": b"1"}),
    (b"* 1 FETCH (BINARY[1] ~{2}\r\n\0\n BODY[TEXT]<5> \"\")\r\n",
     {b"BINARY[1]": b"~{2}\r\n\0\n", b"BODY[TEXT]<5>": b"\"\""}),
    (b"* 1 FETCH (BODY[HEADER.FIELDS (A \"B c\")] NIL X ())\r\n",
     {b"BODY[HEADER.FIELDS (A \"B C\")]": b"NIL", b"X": b"()"}),
    (b"* 1 FETCH (ENVELOPE (\"a\\\")\" {3}\r\n)\"( (NIL (\"x\"))) RFC822.SIZE 3)\r\n",
     {b"ENVELOPE": b"(\"a\\\")\" {3}\r\n)\"( (NIL (\"x\")))", b"RFC822.SIZE": b"3"}),
]


@pytest.mark.parametrize("raw, items", FETCHES)
def test_parse_fetch(raw, items):
    assert parse_fetch(raw) == (1, items)


def test_values():
    assert value(FETCHES[4][1][b"ENVELOPE"]) == [b'a")', b')"(', [None, [b"x"]]]
    assert string(b'"a\\\\b"') == b"a\\b"
    assert quote('a"\\') == b'"a\\"\\\\"'
    assert uid_set([3, 1, 2, 9, 11, 10]) == b"1:3,9:11"
    assert parse_fetch(b"* 3 EXISTS\r\n") is None


def test_imap_keeps_literals_whole():
    peer = Peer([b"* OK hi\r\n", b"* 1 FETCH (UID 1 BODY[] {13}\r\nc1 OK no\r\n{9",
                 b"})\r\n* 2 EXISTS\r\nc1 OK done\r\n"], close=True)
    imap = Imap(port=peer.port)
    answer = imap.ok("UID FETCH 1 BODY[]")
    assert answer.fetches() == {1: {b"UID": b"1", b"BODY[]": b"{13}\r\nc1 OK no\r\n{9}"}}
    assert answer.named("EXISTS") == [b"* 2 EXISTS\r\n"]
    with pytest.raises(Disconnected) as cut:
        imap.command("NOOP")
    assert "NOOP" in str(cut.value)


def test_imap_says_what_was_refused():
    peer = Peer([b"* OK hi\r\n", b"c1 NO [TRYCREATE] no such box (0.001 secs).\r\n"])
    imap = Imap(port=peer.port)
    with pytest.raises(WireError, match="EXAMINE.*TRYCREATE"):
        imap.ok("EXAMINE x")


def test_timeouts_keep_what_came():
    peer = Peer([b"* OK hi\r\n", b"* 1 EXI"])
    imap = Imap(port=peer.port)
    with pytest.raises(WireTimeout, match="1 EXI"):
        imap.command("NOOP", timeout=0.1)
    imap.close()


@pytest.mark.parametrize("body", [b"", b"\r\n", b"a\r\n", b"..a\r\n\r\n..\r\n", b".\r\n", b"x" * 70_000 + b"\r\n"])
def test_pop3_long_answers(body):
    peer = Peer([b"+OK hi\r\n", b"+OK %d octets\r\n" % len(body), body, b".\r\n", b"+OK next\r\n"])
    pop = Pop3(port=peer.port)
    answer = pop.command("RETR 1")
    assert answer.body == body
    assert pop.command("NOOP").status == b"+OK next\r\n"
    pop.close()


@pytest.mark.parametrize("data, sent", [
    (b"", b".\r\n"), (b"a", b"a\r\n.\r\n"), (b"a\n", b"a\r\n.\r\n"), (b"a\r", b"a\r\r\n.\r\n"),
    (b".a\r\n.\r\n\n.b\r\n", b"..a\r\n..\r\n\n..b\r\n.\r\n")])
def test_dot_stuffing(data, sent):
    assert dot_stuffed(data) == sent


def test_lmtp_gives_a_reply_for_each_recipient():
    peer = Peer([b"220 hi\r\n250-a\r\n250 PIPELINING\r\n",
                 b"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n",
                 b"250 saved\r\n452-4.2.2 a\r\n452 4.2.2 full\r\n"])
    lmtp = Lmtp(port=peer.port)
    assert lmtp.capabilities == [b"PIPELINING"]
    replies = lmtp.try_deliver(["a", "b", "c"], b"x\r\n")
    assert [r.code for r in replies] == [250, 550, 452]
    assert replies[2].text == b"4.2.2 a\n4.2.2 full"
    lmtp.close()
    assert peer.finish().endswith(b"RCPT TO:<c>\r\nDATA\r\nx\r\n.\r\n")
