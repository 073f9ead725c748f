"""What hosting-usage speaks (quota/usage.proto), by hand: for peers that are not what they should be."""

import socket
import struct

from .server import TIMEOUT


def varint_of(number):
    out = b""
    while number > 0x7f:
        out += bytes([number & 0x7f | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    """Of a protobuf message: a number, or bytes."""
    if isinstance(value, int):
        return varint_of(number << 3) + varint_of(value)
    return varint_of(number << 3 | 2) + varint_of(len(value)) + value


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7f) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """Numbers of fields and their values, in order; only numbers and bytes."""
    at, found = 0, []
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        found.append((key >> 3, value))
    return found


class UsageWire:
    """A connection, with this process's uid."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")
        self.id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def reply(self):
        """The next one, whole; b"" when the service has hung up."""
        head = self.file.read(4)
        return self.file.read(struct.unpack("<I", head)[0]) if len(head) == 4 else b""

    def ask(self, kind, body):
        """A request of that field's number; the reply with its id. What comes unasked is passed over."""
        self.id += 1
        request = field(1, self.id) + field(kind, body)
        self.socket.sendall(struct.pack("<I", len(request)) + request)
        while True:
            reply = self.reply()
            if not reply or dict(fields(reply)).get(1) == self.id:
                return reply

    def measured(self, account, root, size, at):
        """As the web meter: a figure of a root, of this Unix second."""
        reply = self.ask(5, field(1, account.encode()) + field(2, root.encode()) + field(3, field(1, size)) + field(4, at))
        assert 2 not in dict(fields(reply)), reply
