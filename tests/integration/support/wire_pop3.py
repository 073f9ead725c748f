"""A raw POP3 client (RFC 1939, RFC 2449) that keeps answers byte for byte and can pipeline."""

import re

from .wire_stream import DEFAULT_TIMEOUT, Stream, WireError, shorten


class Pop3Answer:
    """status is the first line with its line end; body what follows it, still dot-stuffed, without the final
    dot line; None for an answer of one line."""

    def __init__(self, command, status, body=None):
        self.command, self.status, self.body = command, status, body

    @property
    def ok(self):
        return self.status.startswith(b"+OK")

    @property
    def raw(self):
        return self.status + (self.body or b"")

    @property
    def message(self):
        """The body without dot-stuffing."""
        body = self.body
        if body.startswith(b"."):
            body = body[1:]
        return body.replace(b"\r\n..", b"\r\n.")

    @property
    def begins_like_end(self):
        """The body begins with the line that usually ends it."""
        return self.body is not None and self.body.startswith(b".\r\n")

    def expect_ok(self):
        if not self.ok:
            raise WireError("%s -> %s" % (self.command.decode(), shorten(self.status)))
        return self


class Pop3:
    _LONG = (b"RETR", b"TOP", b"CAPA")

    def __init__(self, host="127.0.0.1", port=110, user=None, password=None, timeout=DEFAULT_TIMEOUT):
        self._stream = Stream(host, port, timeout)
        self._quit = False
        try:
            self.greeting = self._stream.line()
            if user is not None:
                self.ok("USER " + user)
                self.ok("PASS " + password)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and not self._quit:
                self.quit()
        finally:
            self.close()

    def close(self):
        """Cuts the connection without QUIT: deletions are not done."""
        self._stream.close()

    def send(self, line):
        command = line if isinstance(line, bytes) else line.encode()
        self._stream.send(command + b"\r\n")
        return command

    def receive(self, command, timeout=None):
        """The answer to a command that was sent; to be called in the order of sending."""
        status = self._stream.line(timeout)
        words = command.upper().split()
        if not status.startswith(b"+OK") or not (words[0] in self._LONG or words in ([b"LIST"], [b"UIDL"])):
            return Pop3Answer(command, status)
        self._stream.give_back(b"\r\n")  # the final dot line may follow the status line at once
        body = self._stream.until(b"\r\n.\r\n", timeout)[2:-3]
        if not body and re.match(rb"\+OK [1-9]\d* octets", status):
            # Dovecot does not stuff a dot that begins a message: this was its first line, not the end.
            self._stream.give_back(b"\r\n")
            body = b".\r\n" + self._stream.until(b"\r\n.\r\n", timeout)[2:-3]
        return Pop3Answer(command, status, body)

    def command(self, line, timeout=None):
        return self.receive(self.send(line), timeout)

    def ok(self, line, timeout=None):
        return self.command(line, timeout).expect_ok()

    def pipeline(self, lines):
        """Sends all lines at once and yields their answers. Not for more than some 100 lines: both sides
        would wait for the other to read."""
        commands = [line if isinstance(line, bytes) else line.encode() for line in lines]
        self._stream.send(b"".join(command + b"\r\n" for command in commands))
        for command in commands:
            yield self.receive(command)

    def stat(self):
        """(number of messages, octets)"""
        words = self.ok("STAT").status.split()
        return int(words[1]), int(words[2])

    def list(self):
        """{message number: octets}"""
        return {int(n): int(size) for n, size in (line.split() for line in self.ok("LIST").body.splitlines())}

    def uidl(self):
        """{message number: unique id as bytes}"""
        return {int(n): uid for n, uid in (line.split(b" ", 1) for line in self.ok("UIDL").body.splitlines())}

    def retr(self, number):
        return self.ok("RETR %d" % number).message

    def top(self, number, lines):
        return self.ok("TOP %d %d" % (number, lines)).message

    def dele(self, number):
        return self.ok("DELE %d" % number)

    def quit(self):
        self._quit = True
        return self.command("QUIT")
