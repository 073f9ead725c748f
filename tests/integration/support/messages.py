"""The messages that integration tests deliver.

own_messages()      the project's own, realistic and malformed; the same bytes on every machine
corpus_messages()   the public corpus, where it is present
normal_messages()   any number of small ordinary messages, quickly, for volume tests
"""

import functools
import os
import pathlib

from .message_kit import CRLF, PEOPLE, address, date, headers, number, pick, rng, text, words
from .messages_malformed import malformed
from .messages_realistic import realistic

_REPO = pathlib.Path(__file__).resolve().parents[3]
_CORPUS = _REPO.parent / "shared" / "corpus" / "public"


@functools.lru_cache(maxsize=None)
def own_messages():
    """A list of (name, bytes): names are unique, order is fixed."""
    return [("ok-" + n, b) for n, b in realistic()] + [("bad-" + n, b) for n, b in malformed()]


@functools.lru_cache(maxsize=None)
def corpus_messages():
    """(file name, bytes) of each *.eml, by name, from $LBOX_CORPUS or the corpus beside the repository.
    [] when there is none."""
    folder = pathlib.Path(os.environ.get("LBOX_CORPUS") or _CORPUS)
    return [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.eml"))]


def normal_messages(n, seed=0):
    """n realistic messages of 1 to 8 KB (CRLF); those of one seed are all different."""
    r = rng("normal:%s" % seed)
    body = text(r, 40_000)
    messages = []
    for i in range(n):
        start = number(r, 0, 30_000)
        messages.append(headers(
            ("Return-Path", "<sender@example.org>"),
            ("Received", "from mx.example.org by mail.example.org with ESMTPS id %x;\r\n\t%s" % (
                r.getrandbits(60), date(r))),
            ("From", address(pick(r, PEOPLE))), ("To", address(pick(r, PEOPLE))),
            ("Subject", "%s %d" % (words(r, number(r, 2, 6)), i)), ("Date", date(r)),
            ("Message-ID", "<%s.%d@normal.lbox.example>" % (seed, i)),
            ("MIME-Version", "1.0"), ("Content-Type", "text/plain; charset=utf-8"),
        ) + CRLF + body[start:start + number(r, 500, 7500)] + CRLF)
    return messages
