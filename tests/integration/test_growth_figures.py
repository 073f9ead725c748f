"""How fast accounts grow, and what that leads to: history, causes and forecasts of real deliveries on a clock that the test sets;
the web side alone; hosting-usage restarted and killed; what operators are shown."""
# ctest: timeout=300 labels=quota

import csv
import datetime
import io
import json
import signal

import pytest

from support.beside import imap, lmtp, message, pop3, until
from support.hosting import Hosting
from support.usage_wire import UsageWire

DAY = 86400
KB = 1024
ANN = "ann@example.com"
ROOT = "/srv/www/web.example"
STRANGE = "=cmd|' /C calc'!A1\u202egpj.exe\u2066"  # an account that would be a formula, and turn what follows round

POLICY = """
[package.gold]
limit = "1900k"
over_limit = "bill"
hard_limit = "1G"
overage = { price = "20.00", currency = "ZAR", per = "100k", basis = "end" }
warn_days = 14
warn_overage = "0"
[package.web]
limit = "10M"
warn_percent = [50, 90]
pop3_retention = { days = 14, unretrieved = "delete", with_imap = true, notice_days = 0 }
[account."example.com"]
package = "gold"
domains = ["example.com"]
[account."web.example"]
package = "web"
domains = ["web.example"]
web_roots = ["%s"]
[account."%s"]
package = "web"
domains = ["strange.example"]
""" % (ROOT, STRANGE)


@pytest.fixture(scope="module")
def site(module_server_factory):
    site = Hosting(module_server_factory, "lbox", POLICY, clock=True)
    site.await_service()
    return site


def history(site, account, what="days"):
    return site.rows("growth", "--history", what, account)


def warnings(site, account):
    """Rules and thresholds of the warnings that were due, in their order."""
    return ["%s %s" % (row["rule"], row["threshold"]) for row in site.rows("growth", "--warnings", account)]


def forecast(site, account):
    (row,) = site.rows("growth", account)
    return row


def measured(site, size):
    """The web meter's figure, as its process would give it."""
    with UsageWire(site.server.base + "/run/hosting-usage") as meter:
        meter.ask(7, b"")
        meter.measured("web.example", ROOT, size, site.now())


def utc(site):
    return datetime.datetime.fromtimestamp(site.now(), datetime.timezone.utc)


def day_after(site, account):
    """A day goes by; the account has been looked at."""
    site.advance(DAY)
    day = utc(site).strftime("%Y-%m-%d")
    until(lambda: any(row["at"].startswith(day) for row in history(site, account, "hours")), "no record of " + day)


def deliver(site, user, size, name="m"):
    with lmtp(site.server) as delivery:
        delivery.deliver(user, message(name, size=size))


def messages_are(site, number):
    site.await_usage("example.com", lambda usage: ("mail", ANN) in usage.sources and usage.messages(ANN) == number)


@pytest.fixture(scope="module")
def grown(site):
    """Nine days: 100 KB come each day by LMTP; some is saved and removed by IMAP, some removed by POP3."""
    server = site.server
    number = 0
    for day in range(9):
        deliver(site, ANN, 100 * KB, "day%d" % day)
        number += 1
        if day == 3:
            with imap(server, ANN) as session:
                session.select("INBOX")
                session.append("INBOX", message("saved", size=50 * KB))
                session.ok("STORE 1 +FLAGS (\\Deleted)")
                session.ok("EXPUNGE")
        if day == 5:
            with pop3(server, ANN) as session:
                session.dele(1)
                session.quit()
            number -= 1
        messages_are(site, number)
        day_after(site, "example.com")
    return site


def test_history_has_the_causes(grown):
    # A pass that comes once a day here sees what came since the one before; the last day has not ended.
    rows = history(grown, "example.com")
    assert len(rows) == 8, rows
    assert rows[0]["delivered"] == "" and rows[0]["change"] == ""  # nothing is known of the day before
    for row, before in zip(rows[1:], rows):
        assert int(row["total"]) == int(row["mail"]) and int(row["change"]) == int(row["mail"]) - int(before["mail"])
        assert 100 * KB <= int(row["delivered"]) < 103 * KB
        assert int(row["change"]) == (int(row["delivered"]) + int(row["saved"]) - int(row["removed_pop3"])
                                      - int(row["removed_imap"]) - int(row["removed_retention"])), row
    assert [50 * KB <= int(row["saved"]) < 52 * KB for row in rows[1:]] == [day == 3 for day in range(1, 8)]
    assert [100 * KB <= int(row["removed_imap"]) < 103 * KB for row in rows[1:]] == [day == 3 for day in range(1, 8)]
    assert [100 * KB <= int(row["removed_pop3"]) < 103 * KB for row in rows[1:]] == [day == 5 for day in range(1, 8)]
    total = forecast(grown, "example.com")["total"]
    assert history(grown, "example.com", "hours")[-1]["total"] == total
    sources = history(grown, "example.com", "sources")
    assert {row["source"] for row in sources} == {ANN} and len(sources) == 8
    assert sources[-1]["bytes"] == total


def test_forecast(grown):
    row = forecast(grown, "example.com")
    assert row["package"] == "gold" and row["limit"] == str(1900 * KB) and row["mail"] == row["total"]
    growth, total = int(row["growth_a_day"]), int(row["total"])
    assert 80 * KB < growth < 105 * KB, row
    # 950 KB have come and 200 KB gone.
    assert 70 <= int(row["kept_percent"]) <= 85, row
    expected = (1900 * KB - total) / growth
    assert abs(int(row["days_to_full"]) - expected) <= 1.5, row
    full = utc(grown).date() + datetime.timedelta(int(row["days_to_full"]))
    assert row["full_on"] == str(full)
    assert row["currency"] == "ZAR" and float(row["price"]) == 20 * -(-int(row["overage"]) // (100 * KB))
    # Seven days were behind it for the first time on the last one. What the month costs depends on how much of it is left.
    given = warnings(grown, "example.com")
    assert given.count("days 14") == 1 and set(given) <= {"days 14", "overage 0.00"} and row["warnings"] == str(len(given)), given


def test_restart_and_kill_keep_all_and_repeat_nothing(grown):
    def known():
        row = forecast(grown, "example.com")
        return (history(grown, "example.com"), history(grown, "example.com", "sources"), warnings(grown, "example.com"),
                {name: row[name] for name in ("growth_a_day", "mail", "kept_percent", "warnings")})
    before = known()
    for sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        if sig == signal.SIGKILL:
            grown.kill()
        else:
            pid = grown.pid("hosting-usage")
            grown.signal(sig)
            until(lambda: pid not in grown.server.pids("hosting-usage"), "hosting-usage does not end")  # pylint: disable=cell-var-from-loop
        grown.await_service()
        assert known() == before
    # Over a threshold, killed as soon as it is known; then hours go by with more kills.
    deliver(grown, ANN, 1000 * KB, "much")
    until(lambda: "percent 90" in warnings(grown, "example.com"), "no warning")
    for _ in range(3):
        mail = forecast(grown, "example.com")["mail"]
        deliver(grown, ANN, KB, "little")
        until(lambda: forecast(grown, "example.com")["mail"] != mail, "no report")  # pylint: disable=cell-var-from-loop
        grown.kill()
        grown.await_service()
        grown.advance(3600)
        hour = utc(grown).strftime("%Y-%m-%d %H:")
        until(lambda: any(row["at"].startswith(hour) for row in history(grown, "example.com", "hours")), "no record of " + hour)  # pylint: disable=cell-var-from-loop
    given = warnings(grown, "example.com")
    assert given.count("percent 90") == 1 and given.count("days 14") == 1, given
    assert len(given) == len(set(given))


def test_web_side_alone(site):
    """No mail moves: Dovecot's own quota_warning would see nothing."""
    measured(site, 4 << 20)
    site.await_usage("web.example", lambda usage: usage.web == 4 << 20)
    assert warnings(site, "web.example") == []
    measured(site, 6 << 20)
    until(lambda: warnings(site, "web.example") == ["percent 50"], "no warning of the web side")
    (row,) = site.rows("growth", "--warnings", "web.example")
    assert row["percent"] == "60.0" and row["total"] == str(6 << 20) and row["level"] == "notice"
    site.kill()
    site.await_service()
    measured(site, 10 << 20)
    until(lambda: warnings(site, "web.example") == ["percent 50", "percent 90"], "no warning of the web side")
    assert site.rows("growth", "--warnings", "web.example")[1]["level"] == "full"
    assert forecast(site, "web.example")["web"] == str(10 << 20)


def test_what_operators_see(grown):
    accounts = {row["account"]: row for row in grown.rows("growth")}
    shown = STRANGE.replace("\u202e", "?").replace("\u2066", "?")
    assert set(accounts) == {"example.com", "web.example", shown}
    assert accounts[shown]["growth_a_day"] in ("", "0")
    top = [row["account"] for row in grown.rows("growth", "--top", "1")]
    assert top == ["example.com"]
    # web.example is full.
    soon = [row["account"] for row in grown.rows("growth", "--soon", "30")]
    assert "web.example" in soon and shown not in soon
    table = list(csv.reader(io.StringIO(grown.doveadm("hosting", "growth", "--csv").text)))
    assert table[0][0] == "account" and len(table) == 4
    assert {row[0] for row in table[1:]} == {"example.com", "web.example", "'" + shown}
    assert all(len(row) == len(table[0]) and row[0][0] not in "=+-@\t\r" for row in table)
    lines = grown.doveadm("hosting", "growth").text.splitlines()
    assert len(lines) == 4 and lines[0].split()[0] == "account" and "\u202e" not in "".join(lines)
    assert json.loads(grown.doveadm("-f", "json", "hosting", "growth", STRANGE).out)[0]["account"] == shown
    grown.server.allow_log(r"hosting: growth: --|hosting: no account of that name")
    for wrong, complaint in ((("--top", "0"), "takes a number"), (("--soon", "-1"), "takes a number"), (("--top", "1", "example.com"), "all accounts"),
                             (("--history", "days"), "of one account"), (("--history", "years", "example.com"), "takes days"),
                             (("nobody.example",), "no account")):
        answer = grown.doveadm("hosting", "growth", *wrong, check=False)
        assert answer.code != 0 and complaint in answer.err, (wrong, answer.err)


def hour_after(site, account):
    """An hour goes by; the account, whose figures have changed, has been looked at."""
    site.advance(3600)
    hour = utc(site).strftime("%Y-%m-%d %H:")
    until(lambda: any(row["at"].startswith(hour) for row in history(site, account, "hours")), "no record of " + hour)


def test_removed_by_retention(site):
    eve = "eve@strange.example"
    for name in ("old", "older"):
        deliver(site, eve, 30 * KB, name)
    site.await_usage(STRANGE, lambda usage: usage.mail > 60 * KB)
    hour_after(site, STRANGE)
    site.doveadm("hosting", "retention", "run", "--now", str(site.now() + 30 * DAY), eve)
    site.await_usage(STRANGE, lambda usage: usage.mail == 0)
    hour_after(site, STRANGE)
    last = history(site, STRANGE, "hours")[-1]
    assert 60 * KB < int(last["removed_retention"]) < 63 * KB and last["removed_imap"] == last["removed_pop3"] == "0", last
    assert int(last["change"]) == -int(last["removed_retention"])
    assert forecast(site, STRANGE)["kept_percent"] in ("", "0")
