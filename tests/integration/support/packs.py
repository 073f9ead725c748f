"""The records of a store's packs, read from the files alone as docs/format.md describes them."""

import os
import struct

_HEADER = struct.Struct("<4sBBBBIIII16sQQ16s16sqIIIIIIQQQB39xQ")
_FIELDS = ("magic", "format", "codec", "dictionary", "flags", "header_length", "uid", "batch_index", "batch_count", "store",
           "transaction", "body_id", "mailbox", "message", "received", "saved", "physical_size", "virtual_size", "header_size",
           "header_stored", "body_stored", "header_hash", "body_hash", "large_id", "cause", "hash")
ZSTD, OPAQUE = 0, 1
LARGE_HEADER = 64


class Record:
    """One record: its header's fields as attributes, where it is, and the stored frames."""

    def __init__(self, store, path, offset, data):
        self.path, self.offset = path, offset
        for name, value in zip(_FIELDS, _HEADER.unpack_from(data, offset)):
            setattr(self, name, value)
        self.frames_at = offset + self.header_length
        self.large = os.path.join(store, "l", "%016x" % self.large_id) if self.large_id else None
        in_pack = self.header_stored + (0 if self.large_id else self.body_stored)
        self.header_frame = data[self.frames_at:self.frames_at + self.header_stored]
        self.body_frame = data[self.frames_at + self.header_stored:self.frames_at + in_pack]
        if self.large and os.path.exists(self.large):
            with open(self.large, "rb") as file:
                self.body_frame = file.read()[LARGE_HEADER:]
        self.end = (self.frames_at + in_pack + 7) & ~7


def records(store):
    """Every record in the packs of a store's folder, dead ones included, in the order of the files."""
    found = []
    for name in sorted(os.listdir(os.path.join(store, "p"))):
        path = os.path.join(store, "p", name)
        with open(path, "rb") as file:
            data = file.read()
        offset = 0
        while offset + _HEADER.size <= len(data) and data[offset:offset + 4] == b"LBXR":
            found.append(Record(store, path, offset, data))
            offset = found[-1].end
    return found
