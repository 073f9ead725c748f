"""An LMTP client (RFC 2033) with pipelining and a reply for each recipient."""

import re

from .wire_stream import DEFAULT_TIMEOUT, Stream, WireError


class Reply:
    """One (possibly multi-line) reply: code (int), text (bytes, lines joined by newline)."""

    def __init__(self, lines):
        self.raw = b"".join(lines)
        self.code = int(lines[0][:3])
        self.text = b"\n".join(line[4:].rstrip(b"\r\n") for line in lines)

    @property
    def ok(self):
        return 200 <= self.code < 400

    def __repr__(self):
        return "<%d %s>" % (self.code, self.text.decode("utf-8", "replace"))


def dot_stuffed(data):
    """What goes over the wire after DATA, final dot line included. Line ends stay as they are,
    but the last one is made CRLF, as the end of data has to be."""
    data = re.sub(rb"(^|\n)\.", rb"\1..", data)
    if data and not data.endswith(b"\r\n"):
        data = (data[:-1] if data.endswith(b"\n") else data) + b"\r\n"
    return data + b".\r\n"


class Lmtp:
    def __init__(self, host="127.0.0.1", port=24, timeout=DEFAULT_TIMEOUT, unix=None, helo="client.example"):
        self._stream = Stream(host, port, timeout, unix)
        try:
            self.greeting = self._reply()
            self.capabilities = self.ok("LHLO " + helo).text.split(b"\n")[1:]
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.command("QUIT")
        finally:
            self.close()

    def close(self):
        self._stream.close()

    def command(self, line, timeout=None):
        self._stream.send(line.encode() + b"\r\n")
        return self._reply(timeout)

    def ok(self, line):
        reply = self.command(line)
        if not reply.ok:
            raise WireError("%s -> %r" % (line, reply))
        return reply

    def try_deliver(self, recipients, data, sender="", timeout=None, mail_parameters=""):
        """Delivers to one recipient (str) or several (list) and returns a Reply for each: the refusal at RCPT,
        or what came after the data. A refused MAIL is returned for all. Nothing is raised for a refusal.
        """
        recipients = [recipients] if isinstance(recipients, str) else list(recipients)
        lines = ["MAIL FROM:<%s>%s" % (sender, mail_parameters)] + ["RCPT TO:<%s>" % r for r in recipients] + ["DATA"]
        self._stream.send("".join(line + "\r\n" for line in lines).encode())
        replies = [self._reply(timeout) for _ in lines]
        mail, rcpt, go = replies[0], replies[1:-1], replies[-1]
        if go.code != 354:
            self.command("RSET")
            return [mail] * len(rcpt) if not mail.ok else [r if not r.ok else go for r in rcpt]
        self._stream.send(dot_stuffed(data))
        return [self._reply(timeout) if r.ok else r for r in rcpt]

    def deliver(self, recipients, data, sender="", timeout=None):
        """The same, but a refusal of any recipient raises WireError."""
        replies = self.try_deliver(recipients, data, sender, timeout)
        if not all(r.ok for r in replies):
            raise WireError("LMTP to %r: %r" % (recipients, replies))
        return replies

    def _reply(self, timeout=None):
        lines = [self._stream.line(timeout)]
        while lines[-1][3:4] == b"-":
            lines.append(self._stream.line(timeout))
        return Reply(lines)
