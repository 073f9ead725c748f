"""Packages: what all of an account's mailboxes and other sources use together, checked at every way in."""
# ctest: timeout=300 labels=quota

import re
import threading
import time

import pytest

from support.beside import imap, lmtp, message, pop3
from support.hosting import Hosting, mail_bytes
from support.server import SERIES
from support.wire import value

KB = 1024
ANN, BOB, CYD = "ann@example.com", "bob@example.com", "cyd@other.example"
EXTRA = "eve@example.com"
POLICY = """
[package.gold]
limit = "200k"
mailbox_limit = "120k"
[package.small]
limit = "50k"
[account."example.com"]
package = "gold"
domains = ["example.com"]
external = { databases = {} }
[account."other.example"]
package = "gold"
domains = ["other.example"]
[account."third.example"]
package = "small"
domains = ["third.example"]
"""
USERDB = {
    "own@fields.example": {"hosting_account": "third.example", "hosting_package": "gold"},
    "more@fields.example": {"hosting_account": "fourth.example", "hosting_package": "small",
                            "hosting_extra_space": "50k", "hosting_mailbox_limit": "60k"},
}


@pytest.fixture(scope="module", params=["lbox", "maildir"])
def site(request, module_server_factory):
    return Hosting(module_server_factory, request.param, POLICY, userdb=USERDB)


@pytest.fixture
def empty(site):
    """The same, with nothing in any mailbox of the two accounts and no other source."""
    for user in (ANN, BOB, CYD):
        site.doveadm("expunge", "mailbox", "*", "all", user=user, check=False)
    site.doveadm("hosting", "source", "set", "example.com", "databases", "0")
    for account in ("example.com", "other.example"):
        site.await_usage(account, lambda usage: usage.total == 0)
    return site


def sized(name, kilobytes):
    return message(name, size=kilobytes * KB)


def quota(session):
    """{root: (KB used, KB limit)} as GETQUOTAROOT tells."""
    answer = session.ok("GETQUOTAROOT INBOX")
    roots = {}
    for line in answer.named("QUOTA"):
        name, items = line.split(b" ", 3)[2:]
        words = value(items.strip())
        at = words.index(b"STORAGE") if b"STORAGE" in words else None
        roots[name.decode().strip('"')] = at is not None and (int(words[at + 1]), int(words[at + 2]))
    return roots


def text_of(answer):
    return answer.tagged.decode("ascii")


def test_both_roots_are_shown(empty):
    with imap(empty.server, ANN) as ann, imap(empty.server, BOB) as bob:
        assert quota(ann) == {"Package": (0, 200), "Mailbox": (0, 120)}
        ann.append("INBOX", sized("a", 30)).expect_ok()
        assert quota(ann) == {"Package": (30, 200), "Mailbox": (30, 120)}
        bob.append("INBOX", sized("b", 20)).expect_ok()
        empty.await_usage("example.com", lambda usage: usage.mail == 50 * KB)
        assert quota(bob) == {"Package": (50, 200), "Mailbox": (20, 120)}
        assert quota(ann) == {"Package": (50, 200), "Mailbox": (30, 120)}
    empty.doveadm("hosting", "source", "set", "example.com", "databases", "40k")
    with imap(empty.server, ANN) as ann:
        assert quota(ann) == {"Package": (90, 200), "Mailbox": (30, 120)}
    usage = empty.usage("example.com")
    assert (usage.of("mail", ANN), usage.of("mail", BOB), usage.of("external", "databases")) == (30 * KB, 20 * KB, 40 * KB)
    assert usage.messages(ANN) == usage.messages(BOB) == 1
    assert usage.total == 90 * KB and usage.of("limit") == 200 * KB


def test_package_full_at_every_way_in(empty):
    server = empty.server
    empty.doveadm("hosting", "source", "set", "example.com", "databases", "60k")
    with imap(server, ANN) as ann, imap(server, BOB) as bob:
        ann.append("INBOX", sized("first", 70)).expect_ok()
        bob.append("INBOX", sized("second", 65)).expect_ok()
        empty.await_usage("example.com", lambda usage: usage.total == 195 * KB)
        why = r"Message does not fit in the hosting package: 195 KB of 200 KB used \(mail 135 KB, web 0 KB, other 60 KB\)"

        refused = ann.append("INBOX", sized("third", 10))
        assert refused.code == b"OVERQUOTA" and re.search(why, text_of(refused)), refused.tagged
        ann.ok("CREATE Other")
        ann.select("INBOX")
        refused = ann.command("COPY 1 Other")
        assert refused.code == b"OVERQUOTA" and re.search("in the hosting package", text_of(refused)), refused.tagged
        ann.ok("MOVE 1 Other")
        ann.append("INBOX", sized("fits", 5)).expect_ok()
        empty.await_usage("example.com", lambda usage: usage.total == 200 * KB)

        full = r"Hosting package is full: 200 KB of 200 KB used \(mail 140 KB, web 0 KB, other 60 KB\)"
        with lmtp(server) as delivery:
            (reply,) = delivery.try_deliver(BOB, sized("by lmtp", 3))
        assert reply.code == 552 and re.search(rb"5\.2\.2 <%s> %s" % (BOB.encode(), full.encode()), reply.text), reply
        done = server.lda(BOB, sized("by lda", 3), "-e", check=False)
        assert done.code == 77 and re.search(full, server.log_text()), done
        assert re.fullmatch("552 5.2.2 " + full, empty.ask_quota_status(BOB))
        assert empty.ask_quota_status(CYD) == "DUNNO"
        assert empty.ask_quota_status("nobody@nowhere.example") == "DUNNO"

        # Deleting always works, and makes room for both.
        ann.select("Other")
        ann.ok("STORE 1 +FLAGS (\\Deleted)")
        ann.ok("EXPUNGE")
        empty.await_usage("example.com", lambda usage: usage.total == 130 * KB)
        assert empty.ask_quota_status(BOB) == "DUNNO"
        with lmtp(server) as delivery:
            delivery.deliver(BOB, sized("by lmtp", 3))


def test_replace_over_the_limit(empty):
    if SERIES == "2.3":
        pytest.skip("REPLACE is new in Dovecot 2.4")
    with imap(empty.server, ANN) as ann:
        ann.append("INBOX", sized("draft", 100)).expect_ok()
        empty.doveadm("hosting", "source", "set", "example.com", "databases", "90k")
        ann.select("INBOX")
        data = sized("longer", 115)
        refused = ann.command("REPLACE 1 INBOX", b"{%d+}\r\n%s" % (len(data), data))
        assert refused.code == b"OVERQUOTA", refused.tagged
        data = sized("a bit longer", 105)
        ann.command("REPLACE 1 INBOX", b"{%d+}\r\n%s" % (len(data), data)).expect_ok()
        empty.await_usage("example.com", lambda usage: usage.mail == 105 * KB)


def test_each_mailbox_has_its_limit(empty):
    with imap(empty.server, ANN) as ann, imap(empty.server, BOB) as bob:
        ann.append("INBOX", sized("most", 115)).expect_ok()
        refused = ann.append("INBOX", sized("more", 10))
        assert refused.code == b"OVERQUOTA"
        assert "Message does not fit in the mailbox: 115 KB of 120 KB used" in text_of(refused)
        bob.append("INBOX", sized("more", 10)).expect_ok()
        with lmtp(empty.server) as delivery:
            replies = delivery.try_deliver([ANN, BOB], sized("to both", 10))
        assert [reply.code for reply in replies] == [552, 250]
        assert b"in the mailbox" in replies[0].text
        assert empty.ask_quota_status(ANN, 10 * KB).startswith("552 5.2.2 Message does not fit in the mailbox")
        assert empty.ask_quota_status(BOB, 10 * KB) == "DUNNO"


def test_other_accounts_are_not_affected(empty):
    empty.doveadm("hosting", "source", "set", "example.com", "databases", "300k")
    with imap(empty.server, ANN) as ann, imap(empty.server, CYD) as cyd:
        assert ann.append("INBOX", sized("x", 1)).code == b"OVERQUOTA"
        cyd.append("INBOX", sized("x", 90)).expect_ok()
        assert quota(cyd)["Package"] == (90, 200)


def test_user_of_no_account_is_not_limited(site):
    with imap(site.server, "free@nowhere.example") as session:
        session.append("INBOX", sized("x", 300)).expect_ok()
        assert not any(quota(session).values())


def test_userdb_fields_win(site):
    with imap(site.server, "own@fields.example") as session:
        assert quota(session) == {"Package": (0, 200), "Mailbox": (0, 120)}
        session.append("INBOX", sized("x", 60)).expect_ok()  # the account's own package has 50 KB
        site.await_usage("third.example", lambda usage: usage.of("mail", "own@fields.example") == 60 * KB)
    with imap(site.server, "more@fields.example") as session:
        assert quota(session) == {"Package": (0, 100), "Mailbox": (0, 60)}
        session.append("INBOX", sized("x", 55)).expect_ok()
        assert "in the mailbox" in text_of(session.append("INBOX", sized("y", 6)))


def shows_within_a_second(site):
    started = time.monotonic()
    wanted = mail_bytes(site.server, ANN)
    site.await_usage("example.com", lambda usage: usage.mail == wanted, "not %d" % wanted, timeout=10)
    taken = time.monotonic() - started
    assert taken < 1 + 0.5, "%.2f s, several looks at the figure included" % taken


def test_deleting_shows_within_a_second(empty):
    with lmtp(empty.server) as delivery:
        for number in range(6):
            delivery.deliver(ANN, sized("m%d" % number, 10))
    shows_within_a_second(empty)
    with pop3(empty.server, ANN) as client:
        client.dele(1)
        client.dele(2)
    shows_within_a_second(empty)
    with imap(empty.server, ANN) as session:
        session.select("INBOX")
        session.ok("STORE 1:2 +FLAGS (\\Deleted)")
        session.ok("EXPUNGE")
        shows_within_a_second(empty)
        session.ok("CREATE Sub")
        session.ok("COPY 1 Sub")
        shows_within_a_second(empty)
        session.ok("DELETE Sub")
        shows_within_a_second(empty)
    assert empty.usage("example.com").messages(ANN) == 2


def test_racing_deliveries_go_over_by_one_message_each(empty):
    """Twelve connections at once deliver 10 KB messages into a package of 200 KB until refused."""
    size, threads = 10, 12
    taken = []

    def work(number):
        with lmtp(empty.server) as delivery:
            user = (ANN, BOB)[number % 2]
            for turn in range(40):
                (reply,) = delivery.try_deliver(user, sized("r%d.%d" % (number, turn), size))
                if reply.code != 250:
                    assert reply.code == 552, reply
                    return
                taken.append(number)
        raise AssertionError("never refused")

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    usage = empty.await_usage("example.com", lambda u: u.messages(ANN) + u.messages(BOB) == len(taken))
    most = 200 * KB + threads * (size * KB + 500)  # with LMTP's own header lines
    assert 180 * KB < usage.total <= most, usage.rows
