"""POP3 and IMAP on one mailbox: what DELE means, which session removed what, and mail that POP3 does not see."""
# ctest: timeout=300 labels=quota

import glob
import os
import time

import pytest

from support.beside import imap, lmtp, message, pop3
from support.hosting import Hosting
from support.peers import Fetchmail

DAY = 86400
POLICY = """
[package.delete]
pop3_dele = { means = "delete", warn = true }
[package.hide]
pop3_dele = { means = "hide" }
[package.defer]
pop3_dele = { means = "defer", days = 14 }
[package.pop]
imap = "deny"
limit = "60k"
[package.one]
imap = "deny"
pop3_into_inbox = true
"""
POLICY += """
[protocols.text.af]
removal_subject = "POP3 verwyder pos"
removal_text = "{count} van {user}\\n"
[account."af.test"]
package = "delete"
language = "af"
domains = ["af.test"]
"""
NAMES = ["delete", "hide", "defer", "pop", "one"]
POLICY += "".join('[account."%s.test"]\npackage = "%s"\ndomains = ["%s.test"]\n' % (name, name, name) for name in NAMES)


@pytest.fixture(scope="module", params=["lbox", "maildir"])
def site(request, module_server_factory):
    site = Hosting(module_server_factory, request.param, POLICY, sieve=True)
    site.driver = request.param
    return site


def deliver(site, user, *names, **options):
    with lmtp(site.server) as delivery:
        for name in names:
            delivery.deliver([user], message(name, **options))


def run(site, user, days=0, *options):
    return site.rows("retention", "run", "--now", str(int(time.time() + days * DAY)), *options, user)


def subjects(site, user, box="INBOX"):
    text = site.doveadm("fetch", "-u", user, "hdr.subject", "mailbox", box).text
    return [line.split(": ", 1)[1] for line in text.splitlines() if line.startswith("hdr.subject: ")]


def listed(site, user):
    with pop3(site.server, user) as client:
        return client.stat()[0]


def dele(site, user, *numbers):
    with pop3(site.server, user) as client:
        for number in numbers:
            client.retr(number)
            client.dele(number)


def test_delete_and_warn_once(site):
    user = "u@delete.test"
    deliver(site, user, "one", "two", "three")
    dele(site, user, 1)
    assert subjects(site, user) == ["two", "three", "A POP3 program deletes your mail from the server"]
    dele(site, user, 1)
    assert subjects(site, user) == ["three", "A POP3 program deletes your mail from the server"]


def test_warning_in_the_language_of_the_account(site):
    user = "u@af.test"
    deliver(site, user, "one", "two")
    dele(site, user, 1)
    assert subjects(site, user) == ["two", "POP3 verwyder pos"]
    assert "1 van u@af.test" in site.doveadm("fetch", "-u", user, "text", "mailbox", "INBOX", "header", "auto-submitted", "auto-generated").text


def test_hide(site):
    user = "u@hide.test"
    deliver(site, user, "one", "two")
    dele(site, user, 1)
    with pop3(site.server, user) as client:
        assert client.stat()[0] == 1 and b"Subject: two" in client.retr(1)
    with imap(site.server, user) as session:
        assert session.select("INBOX")[b"EXISTS"] == 2
    assert run(site, user, 3000) == []


def test_defer(site):
    user = "u@defer.test"
    deliver(site, user, "one", "two")
    dele(site, user, 1)
    assert listed(site, user) == 2, "another computer is to get it, too"
    dele(site, user, 1)
    assert run(site, user, 13) == []
    (row,) = run(site, user, 15)
    assert (row["uid"], row["rule"]) == ("1", "deferred DELE")
    assert subjects(site, user) == ["two"]


def test_no_quit_no_dele(site):
    for name in ("delete", "hide", "defer"):
        user = "cut@%s.test" % name
        deliver(site, user, "one")
        client = pop3(site.server, user)
        client.retr(1)
        client.dele(1)
        client.close()
        assert listed(site, user) == 1
        assert subjects(site, user) == ["one"] and site.rows("trace", user) == []


def test_trace(site):
    user = "trace@delete.test"
    deliver(site, user, "one", "two", "three", "four")
    dele(site, user, 1)
    with imap(site.server, user) as session:
        session.ok("CREATE Old")
        session.select("INBOX")
        session.ok("UID MOVE 2 Old")
        session.ok("UID STORE 3 +FLAGS (\\Deleted)")
        session.ok("EXPUNGE")
        session.ok("DELETE Old")
    rows = [row for row in site.rows("trace", user) if row["message_id"].startswith("<")]
    wanted = [("DELE", "pop3", "INBOX", "1", "", "one"), ("move", "imap", "INBOX", "2", "Old", "two"),
              ("expunge", "imap", "INBOX", "3", "", "three")]
    seen = [(r["rule"], r["protocol"], r["mailbox"], r["uid"], r["to"], r["message_id"][1:].split("@")[0]) for r in rows]
    assert seen[:3] == wanted
    assert seen[3][0] == "mailbox deleted" and seen[3][2] == "Old" and seen[3][5] == "two"
    assert all(row["session"] and row["address"] == "127.0.0.1" and int(row["bytes"]) > 100 for row in rows)
    (row,) = site.rows("trace", "--message-id", "three@beside.lbox.example", user)
    assert row["rule"] == "expunge"
    assert site.rows("trace", "--since", str(int(time.time()) + 60), user) == []
    assert len(site.rows("trace", "--since", "1 hour", user)) == len(site.rows("trace", user))


def test_folders_and_merge(site):
    user = "u@pop.test"
    deliver(site, user, "inbox")
    for box in ("Work", "Trash", "Empty", "Sub/Deep"):
        site.doveadm("mailbox", "create", "-u", user, box)
    for box, names in (("Work", ["w1", "w2"]), ("Trash", ["t"]), ("Sub/Deep", ["d"])):
        for name in names:
            site.doveadm("save", "-u", user, "-m", box, input=message(name))
    site.doveadm("flags", "add", "-u", user, "\\Flagged $label", "mailbox", "Work", "subject", "w2")
    before = site.doveadm("fetch", "-u", user, "date.received guid size.virtual", "mailbox", "Work").text
    # A copy of what INBOX has already, as a merge that was killed leaves it.
    site.doveadm("copy", "-u", user, "Work", "mailbox", "INBOX", "subject", "inbox")
    rows = {row["mailbox"]: row for row in site.rows("folders", user)}
    assert {name: row["kind"] for name, row in rows.items()} == {"Work": "", "Trash": "trash", "Sub/Deep": ""}
    assert rows["Work"]["messages"] == "3"
    # Full, or nearly so: merging takes no room.
    deliver(site, user, "filling", size=55000)
    rows = {row["mailbox"]: row["moved"] for row in site.rows("merge-folders", user)}
    assert rows == {"Work": "3", "Trash": "0", "Sub/Deep": "1"}
    got = sorted(subjects(site, user))
    copies = got.count("inbox")
    assert copies == 1 or site.driver == "maildir"  # Maildir gives a copy a GUID of its own
    assert sorted(set(got)) == ["d", "filling", "inbox", "w1", "w2"]
    assert site.doveadm("search", "-u", user, "mailbox", "INBOX", "flagged", "keyword", "$label", "subject", "w2").text
    for line in before.splitlines():
        if line.startswith("date.received"):
            assert line in site.doveadm("fetch", "-u", user, "date.received", "mailbox", "INBOX").text
    assert {row["mailbox"] for row in site.rows("folders", user)} == {"Trash"}
    site.doveadm("hosting", "merge-folders", "--all", user)
    assert "t" in subjects(site, user)
    assert site.rows("folders", user) == []
    assert listed(site, user) == len(subjects(site, user))


def test_uidls_stay(site):
    """Restarts, loss of the index, another package: a client fetches nothing twice."""
    user = "uidl@delete.test"
    deliver(site, user, "one", "two", "three")

    def uidl():
        with pop3(site.server, user) as client:
            return list(client.uidl().values())

    before = uidl()
    site.server.restart()
    site.await_service()
    assert uidl() == before
    for old, new in (("delete", "hide"), ("hide", "pop"), ("pop", "delete")):
        policy = POLICY.replace('[account."delete.test"]\npackage = "delete"', '[account."delete.test"]\npackage = "%s"' % new)
        site.write_policy(policy)
        site.doveadm("hosting", "reload")
        assert uidl() == before, (old, new)
    if site.driver == "lbox":
        for path in glob.glob("%s/**/dovecot*index*" % site.server.user_home(user), recursive=True):
            os.unlink(path)
        site.server.allow_log(r"Mailbox list rescan found")
        assert uidl() == before


SIEVE = """require ["fileinto", "imap4flags"];
if header :contains "subject" "sort" { addflag "\\\\Flagged"; fileinto "Work"; }
"""


def test_sieve_fileinto_of_a_user_without_imap(site):
    for user, box in (("u@one.test", "INBOX"), ("sieve@pop.test", "Work")):
        script = site.server.user_home(user) + "/.dovecot.sieve"
        site.doveadm("mailbox", "create", "-u", user, "Work")
        with open(script, "w", encoding="utf-8") as file:
            file.write(SIEVE)
        os.chown(script, site.server.config.mail_uid, site.server.config.mail_uid)
        deliver(site, user, "sort this", "that")
        assert subjects(site, user) == (["sort this", "that"] if box == "INBOX" else ["that"])
        assert subjects(site, user, "Work") == ([] if box == "INBOX" else ["sort this"])
        assert site.doveadm("search", "-u", user, "mailbox", box, "flagged").text.count("\n") == 1
        assert listed(site, user) == (2 if box == "INBOX" else 1)


def test_set_package(site):
    """Down and up again, with what it means; a session that is open sees the new rules."""
    user = "set@delete.test"
    site.write_policy(POLICY)
    site.doveadm("hosting", "reload")
    deliver(site, user, "big", size=70000)
    deliver(site, user, "one")
    site.await_usage("delete.test", lambda usage: usage.mail > 70000)
    text = open(site.policy_file, encoding="utf-8").read()

    def changes(*args):
        return {(row["user"], row["what"]): row for row in site.rows("account", "set-package", *args)}

    rows = changes("--dry-run", "delete.test", "pop")
    assert open(site.policy_file, encoding="utf-8").read() == text
    assert rows["", "package"]["after"] == "pop" and "over by" in rows["", "limit"]["note"]
    assert rows[user, "imap"]["before"] == "allow" and rows[user, "imap"]["after"] == "deny"
    assert "merge-folders " + user in rows[user, "folders"]["note"] and (user, "Sent") in rows
    with pop3(site.server, user) as client:
        assert changes("delete.test", "pop") == rows
        assert client.ok("NOOP")
    changed = open(site.policy_file, encoding="utf-8").read()
    assert changed == text.replace('[account."delete.test"]\npackage = "delete"', '[account."delete.test"]\npackage = "pop"')
    with lmtp(site.server) as delivery:
        (reply,) = delivery.try_deliver(user, message("refused"))
        assert reply.code == 552
    assert changes("delete.test", "delete")[user, "imap"]["after"] == "allow"
    assert open(site.policy_file, encoding="utf-8").read() == text
    with lmtp(site.server) as delivery:
        delivery.deliver(user, message("accepted"))
    site.server.allow_log(r"Error: hosting: the policy has no")
    assert site.doveadm("hosting", "account", "set-package", "delete.test", "none", check=False).code == 65
    assert site.doveadm("hosting", "account", "set-package", "nobody", "pop", check=False).code == 65


def test_fetchmail_is_traced_and_retrieves(site):
    user = "fetch@delete.test"
    deliver(site, user, "one", "two")
    fetchmail = Fetchmail(site.server.base, site.server, user, keep=False)
    assert len(fetchmail.run()) == 2
    assert [row["rule"] for row in site.rows("trace", user)] == ["DELE", "DELE"]
