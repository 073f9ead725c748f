"""Mailbox names on the IMAP wire: modified UTF-7 (RFC 3501 section 5.1.3)."""

import base64
import re


def encode(name):
    """str -> bytes as on the wire, not yet quoted."""
    def shift(match):
        data = base64.b64encode(match.group().encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
        return "&%s-" % data.decode()
    return re.sub(r"[^\x20-\x7e]+", shift, name.replace("&", "&-")).encode()


def decode(wire):
    """bytes as on the wire, unquoted -> str."""
    def unshift(match):
        data = match.group(1).replace(",", "/")
        return base64.b64decode(data + "=" * (-len(data) % 4)).decode("utf-16-be") if data else "&"
    return re.sub(r"&([^-]*)-", unshift, wire.decode("ascii"))
