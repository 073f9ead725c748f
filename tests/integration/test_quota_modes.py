"""What a package does with its limit: refuse, bill or only report; switches, and words for the mail server."""
# ctest: timeout=300 labels=quota

import json
import re

import pytest

from support.beside import file_of, imap, lmtp, message, until
from support.docs import block_after
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
METRICS = block_after("packages.md", "## Metrics")
BY_ACCOUNT = {
    "2.3": "metric by_account {\n  filter = event=hosting_*\n  group_by = account\n}\n",
    "2.4": "metric by_account {\n  filter = event=hosting_*\n  group_by account {\n  }\n}\n",
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


def metrics(site):
    """{name: {field: {...}, "count": ...}} as doveadm has them, sub-metrics by name_value."""
    rows = json.loads(site.doveadm("-f", "json", "stats", "dump").out)
    found = {}
    for row in rows:
        found.setdefault(row["metric_name"], {})[row["field"]] = row
    return found


def metric(site, name, field="duration", key="count"):
    return int(metrics(site).get(name, {}).get(field, {}).get(key, 0))


def test_report_refuses_nothing_and_counts(made):
    site = made('over_limit = "report"', extra="")
    reconfigure(site, site.server.config.extra + METRICS)
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
    until(lambda: metric(site, "hosting_would_refuse") == 2, "no event")
    assert metric(site, "hosting_refused") == 0
    assert metric(site, "hosting_usage") == 3


def test_metrics_name_no_account_unless_they_should(made):
    site = made(extra="")
    extra = site.server.config.extra
    for named in (False, True):
        setting = {"2.3": "plugin {\n  hosting_event_account = yes\n}\n", "2.4": "hosting_event_account = yes\n"}
        reconfigure(site, extra + METRICS + site.server.text(BY_ACCOUNT) + (site.server.text(setting) if named else ""))
        with imap(site.server, BOB) as bob:
            bob.append("INBOX", sized("b", 40)).expect_ok()
            assert bob.append("INBOX", sized("b", 80)).code == b"OVERQUOTA"
            bob.select("INBOX")
            bob.ok("STORE 1 +FLAGS (\\Deleted)")
            bob.ok("EXPUNGE")
        until(lambda: metric(site, "hosting_refused") == 1, "no event of the refusal")
        assert metric(site, "hosting_refused", "bytes", "sum") == 80 * KB
        until(lambda: metric(site, "hosting_usage", "removed_imap", "sum") == 40 * KB, "no event of the usage")
        assert metric(site, "hosting_usage", "saved", "sum") == 40 * KB
        names = [name for name in metrics(site) if name.startswith("by_account_") and name != "by_account_"]
        assert names == (["by_account_example.com"] if named else []), names


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
    assert refused.code == 452 and re.search(rb"4\.2\.2 <ann@example\.com> Message does not fit in the hosting package", refused.text)
    assert site.server.lda(ANN, sized("l", 20), check=False).code == 75
    with imap(site.server, ANN) as ann:
        assert ann.append("INBOX", sized("x", 20)).code == b"OVERQUOTA"


def test_temporary_refusals_beside_sieve(made):
    site = made(service="over_limit_reply = 452\n", sieve=True)
    assert deliver(site, ANN, 95).code == 250
    refused = deliver(site, ANN, 20)
    assert refused.code == 452 and b"4.2.2" in refused.text
    file_of(site.server, ANN, ".dovecot.sieve", 'require "fileinto";\nfileinto "INBOX";\n')
    refused = deliver(site, ANN, 20)
    assert refused.code == 452 and b"4.2.2" in refused.text
    site.server.allow_log(r"sieve")


def test_a_refusal_counts_once(made):
    """quota-status refuses what then never comes; what it lets pass is counted by who delivers it."""
    site = made()
    assert deliver(site, ANN, 95).code == 250

    def refused():
        return [int(row["refused"]) for row in site.rows("usage")]
    assert site.ask_quota_status(ANN, 1 * KB) == "DUNNO"
    assert deliver(site, ANN, 20).code == 552
    until(lambda: refused() == [1], "not counted")
    assert site.ask_quota_status(BOB, 20 * KB).startswith("552")
    until(lambda: refused() == [2], "not counted")
    with imap(site.server, ANN) as ann:
        assert ann.append("INBOX", sized("x", 20)).code == b"OVERQUOTA"
    until(lambda: refused() == [3], "not counted")
    usage = site.usage("example.com")
    assert usage.mail > 95 * KB and not usage.of("mail", BOB)


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


@pytest.mark.parametrize("driver", ["lbox", "sdbox", "mdbox"])
def test_beside_dovecots_own_root_for_the_mailbox(made, driver):
    """Dovecot's count driver has the mailbox's limit, and refuses in its own words."""
    site = made(driver=driver, mailbox_root=False, extra={
        "2.3": "quota2 = count:Own\nquota2_rule = *:storage=60k",
        "2.4": "quota Own {\n  quota_driver = count\n  quota_storage_size = 60k\n}\n"})
    with imap(site.server, ANN) as ann, imap(site.server, BOB) as bob:
        ann.append("INBOX", sized("a", 20)).expect_ok()
        ann.select("INBOX")
        ann.ok("CREATE Work")
        ann.ok("COPY 1 Work")
        text = b"".join(ann.ok("GETQUOTAROOT INBOX").untagged).replace(b'"', b"")
        assert b"Package (STORAGE 40 100" in text and b"Own (STORAGE 40 60" in text, text
        refused = ann.append("INBOX", sized("b", 25))
        assert refused.code == b"OVERQUOTA" and b"hosting package" not in refused.tagged
        bob.append("INBOX", sized("c", 50)).expect_ok()
        site.await_usage("example.com", lambda usage: usage.mail == 90 * KB)
        refused = ann.append("INBOX", sized("d", 15))
        assert refused.code == b"OVERQUOTA" and b"in the hosting package" in refused.tagged
        ann.ok("STORE 1 +FLAGS (\\Deleted)")
        ann.ok("EXPUNGE")
        ann.ok("RENAME Work Older")
        usage = site.await_usage("example.com", lambda usage: usage.mail == 70 * KB)
        row = usage.sources["mail", ANN]
        assert (row["bytes"], row["messages"]) == (str(20 * KB), "1")
        # Compressed mail takes less of the host's disk than it counts.
        assert (0 < int(row["disk"]) < 20 * KB) == (driver == "lbox"), row
        ann.ok("DELETE Older")
        site.await_usage("example.com", lambda usage: usage.of("mail", ANN) == 0)
