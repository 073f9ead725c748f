"""A byte stream over a socket where every wait has a deadline. One thread at a time per stream."""

import socket
import time

DEFAULT_TIMEOUT = 60  # seconds; a loaded machine, not a slow protocol, is what it allows for


class WireError(Exception):
    """The other side answered something that the caller did not want. The text says what was asked and answered."""


class Disconnected(WireError):
    """The other side closed the connection. `data` holds what had come of an incomplete answer, `untagged` the
    complete ones before it (IMAP)."""

    def __init__(self, message, data=b"", untagged=()):
        super().__init__(message)
        self.data, self.untagged = data, list(untagged)


class WireTimeout(WireError):
    """Nothing complete came within the time. What did come stays in the stream."""


def shorten(data, limit=300):
    """Bytes for an error message."""
    data = bytes(data)
    return repr(data) if len(data) <= limit else "%r... (%d bytes)" % (data[:limit], len(data))


class Stream:
    """Reads lines, counted bytes, or up to a terminator; timeouts leave what was read in the buffer."""

    # Acknowledge at once, for who measures: else a server that answers in two writes waits for our delayed acknowledgement of the first, up to 40 ms.
    quick_acks = False

    def __init__(self, host, port, timeout=DEFAULT_TIMEOUT, unix=None):
        self.name = unix or "%s:%d" % (host, port)
        self.timeout = timeout
        if unix:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(timeout)
            self._socket.connect(unix)
        else:
            self._socket = socket.create_connection((host, port), timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._start = 0

    def send(self, data, timeout=None):
        self._socket.settimeout(self.timeout if timeout is None else timeout)
        try:
            self._socket.sendall(data)
        except socket.timeout:
            raise WireTimeout("%s: could not send %d bytes in time" % (self.name, len(data))) from None
        except OSError as error:
            # The reason is usually in what the other side said before it closed.
            raise Disconnected("%s: sending failed: %s" % (self.name, error), self._rest()) from None

    def line(self, timeout=None):
        """One line with its line end."""
        return self.until(b"\n", timeout)

    def until(self, end, timeout=None):
        """Everything up to and including `end`."""
        deadline = self._deadline(timeout)
        searched = self._start
        while True:
            at = self._buffer.find(end, searched)
            if at >= 0:
                return self._take(at + len(end))
            searched = max(self._start, len(self._buffer) - len(end) + 1)
            before = self._start
            self._fill(deadline, "waiting for %r" % end)
            searched -= before - self._start

    def exactly(self, count, timeout=None):
        deadline = self._deadline(timeout)
        while len(self._buffer) - self._start < count:
            self._fill(deadline, "waiting for %d bytes" % count)
        return self._take(self._start + count)

    def give_back(self, data):
        """Puts bytes before what is read next."""
        self._buffer[:self._start] = data
        self._start = 0

    def at_end(self, timeout=None):
        """Waits for the other side to close; true when it did and sent nothing more."""
        try:
            self.exactly(1, timeout)
        except Disconnected:
            return True
        except WireTimeout:
            pass
        return False

    def fileno(self):
        return self._socket.fileno()

    def close(self):
        self._socket.close()

    def _deadline(self, timeout):
        return time.monotonic() + (self.timeout if timeout is None else timeout)

    def _rest(self):
        return bytes(self._buffer[self._start:])

    def _take(self, end):
        data = bytes(memoryview(self._buffer)[self._start:end])
        self._start = end
        if self._start == len(self._buffer):
            self._buffer = bytearray()
            self._start = 0
        return data

    def _fill(self, deadline, doing):
        if self._start > 1 << 20:
            del self._buffer[:self._start]
            self._start = 0
        left = deadline - time.monotonic()
        if left <= 0:
            raise WireTimeout("%s: timeout %s; had %s" % (self.name, doing, shorten(self._rest())))
        self._socket.settimeout(left)
        try:
            if self.quick_acks and self._socket.family != socket.AF_UNIX:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            data = self._socket.recv(1 << 18)
        except socket.timeout:
            raise WireTimeout("%s: timeout %s; had %s" % (self.name, doing, shorten(self._rest()))) from None
        except OSError as error:
            raise Disconnected("%s: %s, %s; had %s" % (
                self.name, error, doing, shorten(self._rest())), self._rest()) from None
        if not data:
            raise Disconnected("%s: closed while %s; had %s" % (
                self.name, doing, shorten(self._rest())), self._rest())
        self._buffer += data
