"""Figures that are too old, and a policy that has mail refused for now then: at every way in."""
# ctest: timeout=300 labels=quota

import signal
import time

import pytest

from support.beside import imap, lmtp, message, until
from support.hosting import Hosting
from support.usage_wire import UsageWire

KB = 1024
ANN = "ann@example.com"
ROOT = "/srv/www/example.com"
POLICY = """unavailable = "%s"
mail_stale_after = "1s"
[package.p]
limit = "100k"
web_interval = "1 min"
[account."example.com"]
package = "p"
domains = ["example.com"]
web_roots = ["/srv/www/example.com"]
"""


@pytest.fixture
def site(server_factory):
    site = Hosting(server_factory, "maildir", POLICY % "tempfail", timeout="1s")
    site.await_service()
    return site


def measured(site, size, age):
    """As the web meter would, some time ago: two intervals are what a figure may be old."""
    with UsageWire(site.server.base + "/run/hosting-usage") as meter:
        meter.ask(7, b"")
        meter.measured("example.com", ROOT, size, int(time.time()) - age)


def delivered(site, kilobytes):
    with lmtp(site.server) as delivery:
        (reply,) = delivery.try_deliver(ANN, message("d", size=kilobytes * KB))
    return reply


def expect_refused_for_now(site):
    site.server.allow_log("quota check failed: Usage of the hosting package is not known")
    reply = delivered(site, 20)
    assert reply.code == 451 and b"not known at present; try again later" in reply.text, reply
    with imap(site.server, ANN) as ann:
        answer = ann.append("INBOX", message("a", size=20 * KB))
        assert answer.code == b"UNAVAILABLE" and b"not known at present" in answer.tagged, answer
    assert site.ask_quota_status(ANN, 20 * KB).startswith("DEFER_IF_PERMIT ")
    assert site.server.lda(ANN, message("l", size=20 * KB), check=False).code == 75


def test_web_figure(site):
    measured(site, 90 * KB, age=121)
    expect_refused_for_now(site)
    assert delivered(site, 5).code == 250  # fits with the old figure, too

    # The other choice: the old figure does not count, and is still shown.
    site.write_policy(POLICY % "accept")
    site.doveadm("hosting", "reload")
    assert site.ask_quota_status(ANN, 20 * KB) == "DUNNO"
    assert delivered(site, 20).code == 250
    assert site.usage("example.com").sources["web", ROOT]["stale"] == "yes"
    with imap(site.server, ANN) as ann:
        assert b"STORAGE 116 100" in b"".join(ann.ok("GETQUOTAROOT INBOX").untagged)

    measured(site, 90 * KB, age=0)
    assert delivered(site, 20).code == 552
    assert site.usage("example.com").sources["web", ROOT]["stale"] == "no"


def test_mail_figure_for_sessions_that_never_met_the_service(site):
    site.server.allow_log(r"hosting-usage is away", r"hosting-usage")
    site.write_policy((POLICY % "tempfail").replace('"100k"', '"100M"'))  # room for all that is tried meanwhile
    site.doveadm("hosting", "reload")
    assert delivered(site, 5).code == 250
    site.signal(signal.SIGSTOP)
    try:
        until(lambda: delivered(site, 1).code != 250, "still accepted", timeout=20)
        expect_refused_for_now(site)
    finally:
        site.signal(signal.SIGCONT)
    until(lambda: delivered(site, 5).code == 250, "still refused")
