"""Raw clients for tests: answers are kept as bytes, every wait has a deadline, errors say what was asked
and what was answered. A client serves one thread at a time; any number of clients may be used at once."""

from .imap_parse import parse_fetch, quote, string, uid_set, value
from .wire_imap import Answer, Imap, Literal
from .wire_lmtp import Lmtp, Reply
from .wire_pop3 import Pop3
from .wire_stream import Disconnected, WireError, WireTimeout

__all__ = ["Answer", "Disconnected", "Imap", "Literal", "Lmtp", "Pop3", "Reply", "WireError", "WireTimeout",
           "parse_fetch", "quote", "string", "uid_set", "value"]
