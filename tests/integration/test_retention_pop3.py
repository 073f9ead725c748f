"""How long POP3 mail stays: by delivery and by retrieval, with a notice and an expiry folder, on a clock that tests set."""
# ctest: timeout=300 labels=quota

import subprocess
import time

import pytest

from support.beside import imap, lmtp, message, pop3, until
from support.hosting import Hosting
from support.tools import fill_store

DAY = 86400
POLICY = """
[package.delivered]
imap = "deny"
pop3_retention = { days = 14, notice_days = 0 }
[package.all]
imap = "deny"
pop3_retention = { days = 14, notice_days = 0, unretrieved = "delete" }
[package.retrieved]
imap = "deny"
pop3_retention = { days = 3, from = "retrieval", notice_days = 0 }
[package.told]
imap = "deny"
pop3_retention = { days = 14, notice_days = 7, unretrieved = "delete", notice_subject = "Gr\\u00fc\\u00dfe {package}", notice_text = "{count} of {user}\\nfrom {date}\\n{folders}\\n" }
limit = "40k"
[package.expiry]
imap = "deny"
pop3_retention = { days = 14, notice_days = 0, unretrieved = "delete", expiry_folder = "Expired", expiry_days = 30 }
[package.both]
pop3_retention = { days = 14, notice_days = 0, unretrieved = "delete" }
[package.both-kept]
pop3_retention = { days = 14, notice_days = 0, unretrieved = "delete", with_imap = true }
"""
POLICY += """
[protocols.text.af]
retention_subject = "Ou pos van {user}"
retention_text = "{count} boodskappe\\n{folders}\\n"
folders = "Gidse: {list}"
[account."af.test"]
package = "told"
language = "af"
domains = ["af.test"]
"""
NAMES = ["delivered", "all", "retrieved", "told", "expiry", "both", "both-kept"]
POLICY += "".join('[account."%s.test"]\npackage = "%s"\ndomains = ["%s.test"]\n' % (name, name, name) for name in NAMES)


@pytest.fixture(scope="module", params=["lbox", "maildir"])
def site(request, module_server_factory):
    site = Hosting(module_server_factory, request.param, POLICY)
    site.driver = request.param
    return site


def deliver(site, user, *names, **options):
    with lmtp(site.server) as delivery:
        for name in names:
            assert delivery.deliver([user], message(name, **options)) is not None


def run(site, user, days=0, *options):
    """Rows of a run `days` from now."""
    return site.rows("retention", "run", "--now", str(int(time.time() + days * DAY)), *options, user)


def subjects(site, user, box="INBOX"):
    text = site.doveadm("fetch", "-u", user, "hdr.subject", "mailbox", box).text
    return [line.split(": ", 1)[1] for line in text.splitlines() if line.startswith("hdr.subject: ")]


def retrieve(site, user, *numbers):
    with pop3(site.server, user) as client:
        for number in numbers:
            client.retr(number)


def test_after_delivery(site):
    user = "u@delivered.test"
    deliver(site, user, "fetched", "never")
    retrieve(site, user, 1)
    before = site.await_usage("delivered.test", lambda usage: usage.mail > 0).mail
    assert run(site, user, 13) == []
    (row,) = run(site, user, 15, "--dry-run")
    assert (row["action"], row["mailbox"], row["uid"], row["rule"]) == ("delete", "INBOX", "1", "retention")
    assert subjects(site, user) == ["fetched", "never"]
    assert [row["uid"] for row in run(site, user, 15)] == ["1"]
    assert subjects(site, user) == ["never"]
    assert run(site, user, 3000) == []
    site.await_usage("delivered.test", lambda usage: 0 < usage.mail < before, "what went is still counted")


def test_also_what_was_never_fetched(site):
    user = "u@all.test"
    deliver(site, user, "one", "two")
    assert run(site, user, 13) == []
    assert len(run(site, user, 15)) == 2
    assert subjects(site, user) == []


def test_after_retrieval(site):
    user = "u@retrieved.test"
    deliver(site, user, "whole", "headers", "top-whole", "no-quit", "never", size=900)
    with pop3(site.server, user) as client:
        client.retr(1)
        client.top(2, 0)
        client.top(3, 1000)
    cut = pop3(site.server, user)
    cut.retr(4)
    cut.close()
    assert run(site, user, 2) == []
    rows = run(site, user, 4)
    if site.driver == "lbox":
        assert [row["uid"] for row in rows] == ["1", "3"]
        assert all(row["retrieved"] for row in rows)
        assert subjects(site, user) == ["headers", "no-quit", "never"]
    else:
        # Dovecot's own storages do not keep the time; the keyword tells that it was fetched.
        assert rows == [] and len(subjects(site, user)) == 5
        found = site.doveadm("search", "-u", user, "mailbox", "INBOX", "keyword", "$POP3Retrieved").text.split()[1::2]
        assert found == ["1", "3"]


def test_the_first_retrieval_counts_and_survives_the_index(site):
    if site.driver != "lbox":
        pytest.skip("only lbox keeps the time")
    user = "again@retrieved.test"
    deliver(site, user, "one")
    retrieve(site, user, 1)
    (first,) = run(site, user, 4, "--dry-run")
    subprocess.run("find %s -name 'dovecot*index*' -delete" % site.server.user_home(user), shell=True, check=True)
    retrieve(site, user, 1)
    (row,) = run(site, user, 4, "--dry-run")
    assert row["retrieved"] == first["retrieved"] != ""
    assert len(run(site, user, 4)) == 1


def test_notice_before_the_first_deletion(site):
    user = "u@told.test"
    deliver(site, user, "one", "two", size=19000)
    site.doveadm("save", "-u", user, "-m", "INBOX", input=message("three"), check=False)
    site.doveadm("mailbox", "create", "-u", user, "Old")
    site.doveadm("move", "-u", user, "Old", "mailbox", "INBOX", "subject", "three", check=False)
    before = len(subjects(site, user))
    (row,) = run(site, user, 15, "--dry-run")
    assert row["action"] == "notice" and len(subjects(site, user)) == before
    (row,) = run(site, user, 15)
    assert row["action"] == "notice"
    # Delivered although the package is full.
    text = site.doveadm("fetch", "-u", user, "text", "mailbox", "INBOX", "header", "auto-submitted", "auto-generated").text
    assert "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe=20told?=" in text
    assert "%d of %s" % (before, user) in text and "To: <%s>" % user in text
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 22 * DAY))
    assert "from " + day in text
    (row,) = run(site, user, 21)
    assert row["action"] == "wait" and len(subjects(site, user)) == before + 1
    assert len(run(site, user, 22.1)) == before + 1  # the notice is as old by then
    assert subjects(site, user) == []
    deliver(site, user, "later")
    assert [row["action"] for row in run(site, user, 40)] == ["delete"], "one notice an account"


def test_notice_in_the_language_of_the_account(site):
    user = "u@af.test"
    deliver(site, user, "one", "two")
    site.doveadm("mailbox", "create", "-u", user, "Old")
    site.doveadm("move", "-u", user, "Old", "mailbox", "INBOX", "subject", "two")
    assert [row["action"] for row in run(site, user, 15)] == ["notice"]
    text = site.doveadm("fetch", "-u", user, "text", "mailbox", "INBOX", "header", "auto-submitted", "auto-generated").text
    assert "Subject: Ou pos van u@af.test" in text
    assert "1 boodskappe\n" in text.replace("\r", "") and "Gidse: Old (1)\n" in text.replace("\r", "")


def test_rules_are_shown_with_their_place(site):
    lines = open(site.policy_file, encoding="utf-8").read().split("\n")
    where = "package expiry (%s:%d)" % (site.policy_file, lines.index("[package.expiry]") + 3)
    wanted = "14 days after delivery, also what POP3 never fetched, then in Expired for 30 days: " + where
    for rows in (site.rows("account", "show", "expiry.test"), site.rows("policy", "explain", "u@expiry.test"),
                 site.rows("policy", "explain", "--service", "pop3", "u@expiry.test")):
        shown = {row["setting"]: row["value"] for row in rows}
        assert shown["pop3_retention"] == wanted
        assert shown["pop3_dele"] == "delete: default" and shown["pop3_into_inbox"] == "false: default"
    shown = {row["setting"]: row["value"] for row in site.rows("account", "show", "both.test")}
    assert shown["pop3_retention"].startswith("none (the user may use IMAP): package both (")


def test_expiry_folder(site):
    user = "u@expiry.test"
    deliver(site, user, "one", "two")
    assert [row["action"] for row in run(site, user, 15)] == ["move", "move"]
    assert subjects(site, user) == [] and subjects(site, user, "Expired") == ["one", "two"]
    assert run(site, user, 29) == []
    assert [(row["action"], row["rule"]) for row in run(site, user, 31)] == [("delete", "expiry folder")] * 2
    assert subjects(site, user, "Expired") == []


def test_users_with_imap(site):
    for user, kept in (("u@both.test", True), ("u@both-kept.test", False)):
        deliver(site, user, "one")
        assert (run(site, user, 15) == []) == kept
        assert bool(subjects(site, user)) == kept


@pytest.mark.parametrize("session", ["pop3", "imap", "lmtp"])
def test_by_itself_at_the_end_of_a_session(site, session):
    if site.driver != "lbox":
        pytest.skip("one storage will do")
    user = "%s@%s.test" % (session, "both-kept" if session == "imap" else "all")
    fill_store(site.server, user, 0, 0, 700)  # messages of 2023

    def end_session():
        if session == "lmtp":
            deliver(site, user, "new")
        else:
            with (pop3 if session == "pop3" else imap)(site.server, user):
                pass

    def messages():
        return int(site.doveadm("mailbox", "status", "-u", user, "messages", "INBOX").text.split("messages=")[1])

    new = 1 if session == "lmtp" else 0
    end_session()
    until(lambda: messages() == 200 + new, "a bounded step takes 500")
    end_session()
    until(lambda: messages() == 2 * new, "what is old does not go")
    assert subjects(site, user) == ["new"] * 2 * new


def test_what_retention_removed_is_traced(site):
    user = "traced@all.test"
    deliver(site, user, "one")
    run(site, user, 15)
    (row,) = site.rows("trace", user)
    assert (row["rule"], row["mailbox"], row["message_id"]) == ("retention", "INBOX", "<one@beside.lbox.example>")
