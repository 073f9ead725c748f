"""fts beside lbox: SEARCH BODY answers from the index (2.3: lucene, since 2.3.19's squat crashes with any driver; 2.4: flatcurve), after every way in which mail comes, goes and moves."""

import os
import re

import pytest

from support.beside import DATE, DRIVER, delete_index_files, files_below, imap, incompressible, lmtp, message
from support.server import SERIES

PLUGINS = ("fts", "fts_lucene" if SERIES == "2.3" else "fts_flatcurve")
PACKAGE = "dovecot-lucene" if SERIES == "2.3" else "dovecot-flatcurve"
pytestmark = pytest.mark.skipif(not os.path.exists("/usr/lib/dovecot/modules/lib21_%s_plugin.so" % PLUGINS[1]), reason="needs Debian's " + PACKAGE)
# fts_enforced, fts_search_read_fallback: no answer but from the index
SETTINGS = {
    "2.3": "plugin {\n  fts = lucene\n  fts_lucene = whitespace_chars=@. no_snowball\n  fts_enforced = yes\n  fts_autoindex = %s\n}\n",
    "2.4": "language en {\n  default = yes\n  language_filters = lowercase\n  language_tokenizers = generic email-address\n}\nfts flatcurve {\n}\nfts_search_read_fallback = no\nfts_autoindex = %s\n",
}


def server_with(factory, autoindex):
    server = factory(driver=DRIVER, plugins=PLUGINS, extra={series: text % autoindex for series, text in SETTINGS.items()})
    if SERIES == "2.3":  # with any driver: lucene says so of each new index, and fts sends a wrong greeting (INDEXER_HANDSHAKE in fts-indexer.c)
        server.allow_log(r"Warning: fts-lucene: Settings have changed, rebuilding index for mailbox",
                         r"indexer: Error: conn unix:indexer .*didn't reply with a valid VERSION line: 1\t0\tindexer\tindexer")
    elif autoindex == "yes":
        # With any driver: where two processes open the folder at once, flatcurve may see the other's lock file go
        # (fts_flatcurve_xapian_db_iter_next); the search indexes what was left.
        server.allow_log(r"indexer-worker\(.*Error: fts-flatcurve: .*stat\(.*fts-flatcurve/\) failed: No such file or directory",
                         r"indexer-worker\(.*Error: Mailbox \w+: Status lookup failed: Internal error occurred")
    return server


def lookup(server, user, word, mailbox="INBOX"):
    """UIDs that the index alone has for a word."""
    out = server.doveadm("fts", "lookup", "mailbox", mailbox, "body", word, user=user).text
    found = []
    for line in out.splitlines():
        for piece in re.findall(r"[\d:,]+", line.rpartition("uids")[2] if "uids" in line else line.partition(":")[2]):
            for span in piece.split(","):
                first, _, last = span.partition(":")
                if first:
                    found += range(int(first), int(last or first) + 1)
    return sorted(set(found))


@pytest.mark.parametrize("autoindex", ["no", "yes"])
def test_search_follows_the_mailbox(server_factory, autoindex):
    server = server_with(server_factory, autoindex)
    with imap(server, "alice") as session, imap(server, "alice") as other:
        session.ok("CREATE Work")
        for number, word in enumerate(("walrus", "otter", "walrus", "badger"), 1):
            session.append("INBOX", message("animal %d" % number, 3000, ["The %s swims." % word]), (), DATE).expect_ok()
        session.select("INBOX")
        other.select("INBOX")
        assert session.search("BODY walrus") == [1, 3]
        assert session.search("TEXT otter") == [2]
        assert other.search("BODY badger") == [4]
        assert session.search("BODY penguin") == []

        with lmtp(server) as delivery:
            delivery.deliver("alice", message("delivered", 200_000, ["Another walrus."]))
        session.noop()
        assert session.search("BODY walrus") == [1, 3, 5]
        other.noop()
        assert other.search("BODY walrus") == [1, 3, 5]

        session.ok("UID COPY 1,2 Work")
        session.ok("UID MOVE 3 Work")
        assert session.search("BODY walrus") == [1, 5]
        session.ok("UID STORE 1 +FLAGS (\\Deleted)")
        session.ok("EXPUNGE")
        assert session.search("BODY walrus") == [5]
        session.select("Work")
        assert session.search("BODY walrus") == [1, 3]
        assert session.search("BODY otter") == [2]
        session.ok("RENAME Work Play")
        session.select("Play")
        assert session.search("BODY walrus") == [1, 3]


def test_the_index_knows_and_forgets(server_factory):
    """What `doveadm fts lookup` finds comes from the index, not from the messages."""
    server = server_with(server_factory, "no")
    with imap(server, "bob") as session:
        for number in range(1, 4):
            session.append("INBOX", message("m %d" % number, 0, ["narwhal number %d" % number])).expect_ok()
        server.doveadm("index", "INBOX", user="bob")
        assert lookup(server, "bob", "narwhal") == [1, 2, 3]
        session.append("INBOX", message("m 4", 0, ["one more narwhal"])).expect_ok()
        assert lookup(server, "bob", "narwhal") == [1, 2, 3], "not indexed yet"
        session.select("INBOX")
        assert session.search("BODY narwhal") == [1, 2, 3, 4]
        assert lookup(server, "bob", "narwhal") == [1, 2, 3, 4], "the search has brought it up to date"
        session.ok("UID STORE 2 +FLAGS (\\Deleted)")
        session.ok("EXPUNGE")
        assert session.search("BODY narwhal") == [1, 3, 4]
    server.doveadm("fts", "rescan", user="bob")
    server.doveadm("index", "INBOX", user="bob")
    assert lookup(server, "bob", "narwhal") == [1, 3, 4]
    if DRIVER == "lbox":
        delete_index_files(server, "bob")
        with imap(server, "bob") as session:
            session.select("INBOX")
            assert session.search("BODY narwhal") == [1, 3, 4]


@pytest.mark.skipif(DRIVER != "lbox", reason="takes away a body as lbox keeps it")
def test_an_indexed_search_reads_no_body(server_factory):
    server = server_with(server_factory, "no")
    with imap(server, "carol") as session:
        session.append("INBOX", message("big", 0, ["platypus"]) + incompressible(300_000, "fts")).expect_ok()
        session.append("INBOX", message("small", 0, ["platypus"])).expect_ok()
        server.doveadm("index", "INBOX", user="carol")
        (large,) = files_below(server.mail_root("carol") + "/store/l")
        os.rename(large, large + ".away")
        session.select("INBOX")
        assert session.search("BODY platypus") == [1, 2]
        os.rename(large + ".away", large)
        assert len(session.fetch("1", "BODY.PEEK[]")) == 1
