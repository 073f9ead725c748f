"""A raw IMAP client: what was answered is kept byte for byte.

    with Imap(port=port, user="u1", password="p") as imap:
        imap.select("INBOX")
        imap.ok("UID STORE 1 +FLAGS (\\\\Seen)")           raises WireError unless the answer is OK
        answer = imap.command("UID FETCH 1:* (FLAGS)")    any answer: .status .text .code .untagged .fetches()
        imap.append("INBOX", message, flags=("\\\\Seen",), date="01-Jan-2020 10:00:00 +0000")
        with imap.idle() as idle: idle.wait_for(b"EXISTS")

Commands may be pipelined with send() and wait(). One thread at a time for each connection.
"""

import re

from .imap_parse import parse_fetch, quote, value
from .wire_stream import DEFAULT_TIMEOUT, Disconnected, Stream, WireError, shorten

_LITERAL_END = re.compile(rb"\{(\d+)\+?\}\r\n$")
_CODE = re.compile(rb"\[([^\]]*)\]")


class Literal:
    """An argument sent as a literal: {n+} by default, {n} when sync, ~{n+} when binary (literal8)."""

    def __init__(self, data, sync=False, binary=False):
        self.data, self.sync, self.binary = data, sync, binary

    def head(self):
        return b"%s{%d%s}\r\n" % (b"~" if self.binary else b"", len(self.data), b"" if self.sync else b"+")


class Answer:
    """All that came for one command: untagged (list of raw answers, literals in place) and the tagged line."""

    def __init__(self, command, untagged, tagged):
        self.command, self.untagged, self.tagged = command, untagged, tagged
        status, _, text = tagged.partition(b" ")[2].partition(b" ")
        self.status, self.text = status.upper().decode(), text.rstrip(b"\r\n")

    @property
    def ok(self):
        return self.status == "OK"

    @property
    def code(self):
        """The response code, b"TRYCREATE" or b"APPENDUID 1 2", or b""."""
        match = _CODE.match(self.text)
        return match.group(1) if match else b""

    def expect_ok(self):
        if not self.ok:
            raise WireError("%s -> %s %s" % (shorten(self.command), self.status, shorten(self.text)))
        return self

    def fetch_list(self):
        """Each untagged FETCH in the order it came: (sequence number, {item: raw value})."""
        return [f for f in map(parse_fetch, self.untagged) if f is not None]

    def fetches(self):
        """{uid: {item: raw value}}; several answers for a message are merged. Answers without UID are left out."""
        result = {}
        for _, items in self.fetch_list():
            if b"UID" in items:
                result.setdefault(int(items[b"UID"]), {}).update(items)
        return result

    def numbers(self, name=b"SEARCH"):
        """The numbers of an untagged SEARCH or SORT."""
        return [int(n) for raw in self.untagged if raw.upper().startswith(b"* " + name)
                for n in raw.split(b"(")[0].split()[2:]]

    def named(self, name):
        """The untagged answers `* NAME ...` or `* n NAME ...`, raw."""
        name = name.upper() if isinstance(name, bytes) else name.upper().encode()
        return [raw for raw in self.untagged
                if name in [word.strip().upper() for word in raw[:200].split(b" ")[1:3]]]

    def __repr__(self):
        return "<%s %s>" % (self.status, shorten(self.text))


class Idle:
    """Between IDLE and DONE."""

    def __init__(self, imap, tag):
        self._imap, self._tag, self._ended = imap, tag, False
        self.seen = []

    def wait_for(self, wanted, timeout=None):
        """Reads untagged answers up to one that contains `wanted` (bytes, or a function of the raw answer);
        returns that one."""
        test = wanted if callable(wanted) else lambda raw: wanted in raw
        while True:
            raw = self._imap._read(timeout)
            self.seen.append(raw)
            if test(raw):
                return raw

    def done(self):
        """Ends IDLE; the untagged answers that came meanwhile are in the result."""
        self._ended = True
        self._imap._stream.send(b"DONE\r\n")
        return self._imap.wait(self._tag).expect_ok()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if not self._ended and kind is None:
            self.done()


class Imap:
    def __init__(self, host="127.0.0.1", port=143, user=None, password=None, timeout=DEFAULT_TIMEOUT, unix=None):
        self._stream = Stream(host, port, timeout, unix)
        self._number = 0
        self._commands = {}
        self._early = []
        try:
            self.greeting = self._read()
            if user is not None:
                self.login(user, password)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.logout()
        finally:
            self.close()

    def close(self):
        """Cuts the connection without LOGOUT."""
        self._stream.close()

    # Commands

    def send(self, *pieces):
        """Sends one command (pieces: str, bytes or Literal, joined by spaces) and returns its tag without waiting."""
        self._number += 1
        tag = b"c%d" % self._number
        out = [tag]
        for piece in pieces:
            out.append(b" ")
            if isinstance(piece, Literal):
                out.append(piece.head())
                if piece.sync:
                    self._stream.send(b"".join(out))
                    out = []
                    if not self._continuation(tag):
                        break  # refused; the tagged answer is kept for wait()
                out.append(piece.data)
            else:
                out.append(piece if isinstance(piece, bytes) else piece.encode())
        else:
            out.append(b"\r\n")
        self._commands[tag] = b" ".join(
            p.head() if isinstance(p, Literal) else p if isinstance(p, bytes) else p.encode() for p in pieces)
        self._stream.send(b"".join(out))
        return tag

    def wait(self, tag, timeout=None):
        """The answer to a sent command. Answers to commands sent before it must have been waited for."""
        untagged, self._early = self._early, []
        command = self._commands.pop(tag)
        try:
            while not (untagged and untagged[-1].startswith(tag + b" ")):
                untagged.append(self._read(timeout))
        except Disconnected as error:
            raise Disconnected("%s -> %s" % (shorten(command), error), error.data, untagged) from None
        return Answer(command, untagged[:-1], untagged[-1])

    def command(self, *pieces, timeout=None):
        return self.wait(self.send(*pieces), timeout)

    def ok(self, *pieces, timeout=None):
        return self.command(*pieces, timeout=timeout).expect_ok()

    def login(self, user, password):
        return self.ok("LOGIN", quote(user), quote(password))

    def logout(self):
        return self.command("LOGOUT")

    def noop(self):
        return self.ok("NOOP")

    def select(self, mailbox="INBOX", read_only=False, parameters=""):
        """SELECT or EXAMINE: {b"EXISTS": 3, b"UIDVALIDITY": 1, b"UIDNEXT": 4, b"FLAGS": [...], ...}."""
        answer = self.ok("EXAMINE" if read_only else "SELECT", quote(mailbox), *([parameters] if parameters else []))
        state = {}
        for raw in answer.untagged:
            words = raw.split()
            if len(words) > 2 and words[1].isdigit():
                state[words[2].upper()] = int(words[1])
            elif words[1].upper() == b"FLAGS":
                state[b"FLAGS"] = value(raw[raw.index(b"("):].rstrip())
            else:
                match = re.match(rb"\* OK \[(UIDVALIDITY|UIDNEXT|HIGHESTMODSEQ|UNSEEN) (\d+)", raw)
                if match:
                    state[match.group(1)] = int(match.group(2))
        return state

    def append(self, mailbox, message, flags=(), date=None, binary=False, sync=False):
        """APPEND; the answer's code is b"APPENDUID <uidvalidity> <uid>"."""
        return self.wait(self.send_append(mailbox, message, flags, date, binary, sync))

    def send_append(self, mailbox, message, flags=(), date=None, binary=False, sync=False):
        """The same without waiting, for pipelining; returns the tag."""
        pieces = ["APPEND", quote(mailbox)]
        if flags:
            pieces.append("(%s)" % " ".join(flags))
        if date:
            pieces.append('"%s"' % date)
        return self.send(*pieces, Literal(message, sync=sync, binary=binary))

    def fetch(self, uids, items, timeout=None):
        """UID FETCH that must succeed: {uid: {item: raw value}}."""
        return self.ok("UID FETCH", uids, items, timeout=timeout).fetches()

    def search(self, *criteria, timeout=None):
        """UID SEARCH that must succeed: list of UIDs."""
        return self.ok("UID SEARCH", *criteria, timeout=timeout).numbers()

    def idle(self):
        tag = self.send("IDLE")
        if not self._continuation(tag):
            self.wait(tag).expect_ok()
        return Idle(self, tag)

    # Reading

    def _read(self, timeout=None):
        """One answer with its literals, raw."""
        raw = self._stream.line(timeout)
        match = _LITERAL_END.search(raw)
        if match is None:
            return raw
        pieces = [raw]
        while match:
            pieces.append(self._stream.exactly(int(match.group(1)), timeout))
            pieces.append(self._stream.line(timeout))
            match = _LITERAL_END.search(pieces[-1])
        return b"".join(pieces)

    def _continuation(self, tag):
        """True on `+`, False when the command was answered instead; whatever else comes is kept for wait()."""
        while True:
            raw = self._read()
            if raw.startswith(b"+"):
                return True
            self._early.append(raw)
            if raw.startswith(tag + b" "):
                return False
