"""Reading: IMAP FETCH and SEARCH, POP3 RETR, with Dovecot's index and cache files and without them."""

import hashlib
import random
import re

from support.disk import INDEX_FILE

from .run import operation

CACHE_FILE = re.compile(r"^dovecot\.index\.cache$")


def _digest(answer, skip=rb"$^"):
    """Of all untagged FETCHes, in order of UID."""
    digest = hashlib.sha256()
    for raw in sorted(raw for raw in answer.untagged if b" FETCH " in raw[:40]):
        digest.update(re.sub(skip, b"", raw))
    return digest.hexdigest()


@operation("login-fetch-new", "Login, SELECT, fetch one new message", limit=1.0)
def login_fetch_new(turn):
    user = turn.filled(turn.scale.mailbox)
    count = max(10, turn.scale.reads // 10)
    with turn.format.lmtp() as lmtp:
        lmtp.deliver(user, turn.corpus.message(0), sender="sender@example.com")
    sizes = []
    with turn.timed():
        for _ in range(count):
            with turn.format.imap(user) as imap:
                exists = imap.select(read_only=True)[b"EXISTS"]
                sizes.append(len(imap.ok("FETCH %d BODY.PEEK[TEXT]" % exists).untagged[0]))
    with turn.format.imap(user) as imap:
        imap.select()
        imap.ok("STORE %d +FLAGS.SILENT (\\Deleted)" % exists)
        imap.ok("EXPUNGE")
    return exists, sizes


def _fetch_all(turn, items, pattern):
    user = turn.filled(turn.scale.mailbox)
    if pattern:
        turn.format.remove_index_files(user, pattern)
    with turn.format.imap(user) as imap:
        imap.select(read_only=True)
        with turn.timed():
            answer = imap.ok("FETCH 1:* " + items, timeout=1200)
        return _digest(answer)


@operation("envelope-cold-cache", "FETCH ENVELOPE, BODYSTRUCTURE of all, without dovecot.index.cache", limit=0.5, against="mdbox-zstd")
def envelope_cold(turn):
    return _fetch_all(turn, "(ENVELOPE BODYSTRUCTURE)", CACHE_FILE)


@operation("header-of-all", "FETCH BODY[HEADER] of all", limit=1.1)
def header_of_all(turn):
    return _fetch_all(turn, "BODY.PEEK[HEADER]", CACHE_FILE)


@operation("search-header", "SEARCH in a header that is not cached", limit=1.1)
def search_header(turn):
    user = turn.filled(turn.scale.mailbox)
    turn.format.remove_index_files(user, CACHE_FILE)
    with turn.format.imap(user) as imap:
        imap.select(read_only=True)
        with turn.timed():
            return imap.search("HEADER X-Campaign c7", timeout=1200)


def _random_bodies(turn):
    user = turn.filled(turn.scale.mailbox)
    r = random.Random(turn.repeat)
    uids = [r.randrange(1, turn.scale.mailbox + 1) for _ in range(turn.scale.reads)]
    digest = hashlib.sha256()
    with turn.format.imap(user) as imap:
        imap.select(read_only=True)
        yield
        with turn.timed():
            for number in uids:
                # The last one: whether flags or another item come first is the server's choice.
                digest.update(imap.ok("FETCH %d BODY.PEEK[]" % number).untagged[-1])
    yield digest.hexdigest()


@operation("bodies-warm", "Random BODY[], in the page cache", limit=1.3)
def bodies_warm(turn):
    steps = _random_bodies(turn)
    next(steps)
    return next(steps)


@operation("bodies-cold", "Random BODY[], not in the page cache", limit=0.8)
def bodies_cold(turn):
    steps = _random_bodies(turn)
    next(steps)
    turn.bench.drop_caches()
    return next(steps)


@operation("select-no-index", "First SELECT, dovecot.index* deleted", limit=0.6, against="maildir", peers=("maildir",))
def select_without_index(turn):
    user = turn.filled(turn.scale.mailbox)
    turn.format.remove_index_files(user, INDEX_FILE)
    with turn.format.imap(user) as imap, turn.timed():
        return imap.select(read_only=True)[b"EXISTS"]


@operation("pop3-no-index", "POP3 STAT, LIST, UIDL, dovecot.index* deleted", limit=0.8, against="maildir", peers=("maildir",))
def pop3_without_index(turn):
    user = turn.filled(turn.scale.mailbox)
    turn.format.remove_index_files(user, INDEX_FILE)
    with turn.timed():
        with turn.format.pop3(user) as pop3:
            stat, sizes, uidls = pop3.stat(), pop3.list(), pop3.uidl()
    return stat, sizes, len(uidls)


@operation("vsize-no-index", "Virtual size of a mailbox, dovecot.index* deleted", limit=0.5, against="maildir", peers=("maildir",))
def vsize_without_index(turn):
    user = turn.filled(turn.scale.mailbox)
    turn.format.remove_index_files(user, INDEX_FILE)
    with turn.format.imap(user) as imap, turn.timed():
        return imap.ok("STATUS INBOX (MESSAGES SIZE)", timeout=600).untagged[-1]


@operation("account-usage", "Virtual size of an account of many mailboxes, dovecot.index* deleted", against="maildir", peers=("maildir",))
def account_usage(turn):
    user = turn.bench.filled_account(turn.format)
    turn.format.remove_index_files(user, INDEX_FILE)
    with turn.format.imap(user) as imap, turn.timed():
        answer = imap.ok('LIST "" * RETURN (STATUS (MESSAGES SIZE))', timeout=1200)
    return sorted(raw for raw in answer.untagged if raw.startswith(b"* STATUS"))


@operation("pop3-retr", "POP3 RETR", limit=1.2)
def pop3_retr(turn):
    user = turn.filled(turn.scale.mailbox)
    digest = hashlib.sha256()
    with turn.format.pop3(user) as pop3:
        with turn.timed():
            for number in range(1, turn.scale.reads + 1):
                digest.update(pop3.retr(number))
    return digest.hexdigest()
