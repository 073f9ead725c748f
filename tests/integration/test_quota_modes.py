"""What a package does with its limit: refuse, bill or only report; switches, and words for the mail server."""
# ctest: timeout=300 labels=quota

import json
import re

import pytest

from support.beside import imap, lmtp, message, until
from support.hosting import Hosting

KB = 1024
ANN, BOB = "ann@example.com", "bob@example.com"
PACKAGE = """
[package.p]
limit = "100k"
%s
[account."example.com"]
package = "p"
domains = ["example.com"]
"""
EVENTS = {
    "2.3": "metric refused {\n  filter = event=hosting_refused\n}\n"
           "metric changed {\n  filter = event=hosting_usage_changed\n  fields = delivered saved\n}\n",
    "2.4": "metric refused {\n  filter = event=hosting_refused\n}\n"
           "metric changed {\n  filter = event=hosting_usage_changed\n  fields = delivered saved\n}\n",
}


@pytest.fixture
def made(server_factory):
    def make(package="", service="", driver="maildir", **options):
        site = Hosting(server_factory, driver, service + PACKAGE % package, **options)
        site.await_service()
        return site
    return make


def sized(name, kilobytes):
    return message(name, size=kilobytes * KB)


def deliver(site, user, kilobytes):
    with lmtp(site.server) as delivery:
        (reply,) = delivery.try_deliver(user, sized("d", kilobytes))
    return reply


def reconfigure(site, extra):
    """By a restart: a reload leaves connections to processes that are about to end."""
    site.server.config.extra = extra
    site.server.write_config()
    site.server.restart()
    site.await_service()


def metric(site, name):
    rows = json.loads(site.doveadm("-f", "json", "stats", "dump").out)
    return next((int(row["count"]) for row in rows if row["metric_name"] == name), 0)


def test_report_refuses_nothing_and_counts(made):
    site = made('over_limit = "report"', extra="")
    reconfigure(site, site.server.config.extra + EVENTS[site.server.series])
    mark = site.server.log_size()
    assert deliver(site, ANN, 80).code == 250
    assert deliver(site, ANN, 30).code == 250  # over
    assert site.ask_quota_status(ANN) == "DUNNO"
    with imap(site.server, BOB) as bob:
        bob.append("INBOX", sized("over, too", 10)).expect_ok()
        assert b"STORAGE 121 100" in b"".join(bob.ok("GETQUOTAROOT INBOX").untagged)
    site.server.await_log(r"lmtp\(ann@example.com\).*accepted since the package only reports: Message does not fit", since=mark)
    site.server.await_log(r"imap\(bob@example.com\).*accepted since the package only reports: Hosting package is full", since=mark)
    site.await_usage("example.com", lambda usage: usage.mail > 120 * KB)
    until(lambda: [row["refused"] for row in site.rows("usage")] == ["2"], "refusals are not counted")
    until(lambda: metric(site, "refused") == 2, "no event")
    assert metric(site, "changed") == 3


def test_bill_accepts_up_to_the_hard_limit(made):
    site = made('over_limit = "bill"\nhard_limit = "150k"\noverage = { price = "20.00", currency = "ZAR", per = "10k" }')
    assert deliver(site, ANN, 95).code == 250
    assert deliver(site, BOB, 40).code == 250  # over the limit, to be paid for
    site.await_usage("example.com", lambda usage: usage.mail > 135 * KB)
    with imap(site.server, ANN) as ann:
        assert b"STORAGE 136 100" in b"".join(ann.ok("GETQUOTAROOT INBOX").untagged)
    refused = deliver(site, ANN, 20)
    assert refused.code == 552 and b"of 150 KB used" in refused.text
    assert deliver(site, ANN, 10).code == 250


def test_limits_change_under_open_sessions(made):
    site = made()
    with imap(site.server, ANN) as ann:
        ann.append("INBOX", sized("a", 90)).expect_ok()
        assert ann.append("INBOX", sized("b", 20)).code == b"OVERQUOTA"
        site.write_policy(PACKAGE.replace("100k", "130k") % "")
        until(lambda: ann.append("INBOX", sized("b", 20)).ok, "the new limit does not come")
        assert ann.append("INBOX", sized("c", 40)).code == b"OVERQUOTA"
        # A bad file leaves the last good one in force.
        site.server.allow_log(r"hosting\.toml:\d+:\d+: expected", "policy (in use )?stays")
        mark = site.server.log_size()
        site.write_policy(PACKAGE.replace("100k", "much") % "")
        site.server.await_log(r"hosting\.toml:6:9: expected a size", since=mark)
        assert ann.append("INBOX", sized("c", 40)).code == b"OVERQUOTA"
        # The off-switch.
        site.write_policy("enforce = false\n" + PACKAGE % "")
        until(lambda: ann.append("INBOX", sized("c", 40)).ok, "the switch does nothing")
        assert site.ask_quota_status(ANN) == "DUNNO"
        site.write_policy(PACKAGE % "")
        until(lambda: ann.append("INBOX", sized("d", 1)).code == b"OVERQUOTA", "the switch cannot be turned back")
        assert site.ask_quota_status(ANN).startswith("552 5.2.2 Hosting package is full: ")


def test_messages_are_limited(made):
    site = made("message_limit = 3")
    for turn in range(3):
        assert deliver(site, (ANN, BOB)[turn % 2], 1).code == 250
    refused = deliver(site, ANN, 1)
    assert refused.code == 552 and b"Hosting package is full: 3 of 3 messages" in refused.text
    with imap(site.server, BOB) as bob:
        assert b"MESSAGE 3 3" in b"".join(bob.ok("GETQUOTAROOT INBOX").untagged)
        bob.select("INBOX")
        assert bob.command("UID COPY 1 INBOX").code == b"OVERQUOTA"


def test_grace_is_for_one_delivery(made):
    site = made('grace = "30k"')
    assert deliver(site, ANN, 90).code == 250
    with imap(site.server, ANN) as ann:
        assert ann.append("INBOX", sized("no delivery", 20)).code == b"OVERQUOTA"
    assert deliver(site, ANN, 20).code == 250
    site.await_usage("example.com", lambda usage: usage.mail > 110 * KB)
    assert deliver(site, ANN, 1).code == 552


def test_refusals_can_be_temporary(made):
    site = made(service="over_limit_reply = 452\n")
    assert deliver(site, ANN, 95).code == 250
    refused = deliver(site, ANN, 20)
    assert refused.code == 451 and b"in the hosting package" in refused.text
    with imap(site.server, ANN) as ann:
        assert ann.append("INBOX", sized("x", 20)).code == b"OVERQUOTA"


def test_dovecots_own_setting_for_temporary_refusals(made):
    site = made(extra={"2.3": "", "2.4": ""})
    reconfigure(site, site.server.config.extra + "quota_full_tempfail = yes\n")
    assert deliver(site, ANN, 95).code == 250
    refused = deliver(site, ANN, 20)
    assert refused.code == 452 and re.search(rb"4\.2\.2 <ann@example\.com> Message does not fit", refused.text)


@pytest.mark.parametrize("driver", ["lbox", "maildir"])
def test_roots_that_do_not_enforce_and_mailboxes_left_out(made, driver):
    """As Dovecot's own settings have it."""
    site = made(driver=driver, mailbox_root=False, extra={
        "2.3": "quota_rule = Spam:ignore\nquota_rule2 = Trash:storage=+50%%",
        "2.4": "namespace inbox {\n  mailbox Spam {\n    quota_ignore = yes\n  }\n"
               "  mailbox Trash {\n    quota_storage_percentage = 150\n  }\n}\n"})
    with imap(site.server, ANN) as ann:
        ann.ok("CREATE Spam")
        ann.ok("CREATE Trash")
        ann.append("INBOX", sized("a", 80)).expect_ok()
        ann.append("Spam", sized("s", 70)).expect_ok()
        site.await_usage("example.com", lambda usage: usage.mail == 80 * KB)
        assert ann.append("INBOX", sized("b", 30)).code == b"OVERQUOTA"
        ann.append("Trash", sized("t", 30)).expect_ok()
        site.await_usage("example.com", lambda usage: usage.mail == 110 * KB)
        assert ann.append("Trash", sized("t", 50)).code == b"OVERQUOTA"
        # Moving always works, also out of a mailbox that does not count.
        ann.select("Spam")
        ann.ok("UID MOVE 1 INBOX")
        ann.select("INBOX")
        ann.ok("UID MOVE 1 Trash")
        site.await_usage("example.com", lambda usage: usage.mail == 180 * KB)


def test_trash_is_emptied_to_make_room(made):
    site = made(plugins=("trash",), extra={
        "2.3": "trash = /dev/null", "2.4": ""})
    server = site.server
    with open(server.base + "/trash.conf", "w", encoding="ascii") as file:
        file.write("1 Trash\n")
    reconfigure(site, server.text({
        "2.3": server.config.extra.replace("/dev/null", server.base + "/trash.conf"),
        "2.4": server.config.extra + "namespace inbox {\n  mailbox Trash {\n    trash_priority = 1\n  }\n}\n"}))
    with imap(server, ANN) as ann:
        ann.ok("CREATE Trash")
        for number in range(4):
            ann.append("Trash", sized("old %d" % number, 15)).expect_ok()
        ann.append("INBOX", sized("a", 35)).expect_ok()
        ann.append("INBOX", sized("b", 20)).expect_ok()
        site.await_usage("example.com", lambda usage: usage.mail == 85 * KB)
        assert ann.select("Trash")[b"EXISTS"] == 2
        assert ann.append("INBOX", sized("c", 60)).code == b"OVERQUOTA"  # too big even then
        assert ann.select("INBOX")[b"EXISTS"] == 2
