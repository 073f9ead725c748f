"""hosting-usage stops, hangs or is killed: mail goes on, nothing is lost, nothing counts twice."""
# ctest: timeout=300 labels=quota processors=3

import signal
import time

import pytest

from support.beside import imap, lmtp, message, pop3, until
from support.hosting import Hosting, mail_bytes

KB = 1024
ANN, BOB = "ann@example.com", "bob@example.com"
POLICY = """%s
[package.p]
limit = "500k"
[account."example.com"]
package = "p"
domains = ["example.com"]
"""
AWAY = r"Warning: .*hosting-usage is away: mail goes on"


@pytest.fixture(params=["lbox", "maildir"])
def site(request, server_factory):
    site = Hosting(server_factory, request.param, POLICY % "", timeout="50ms")  # the default
    site.await_service()
    return site


def sized(name, kilobytes):
    return message(name, size=kilobytes * KB)


def deliver(site, user, kilobytes, count=1):
    started = time.monotonic()
    with lmtp(site.server) as delivery:
        for number in range(count):
            delivery.deliver(user, sized("d%d" % number, kilobytes))
    return time.monotonic() - started


def test_killed_again_and_again_loses_and_doubles_nothing(site):
    site.server.allow_log(AWAY, r"hosting-usage")
    for turn in range(3):
        deliver(site, ANN, 5, 2)
        site.kill()
        deliver(site, BOB, 3, 2)
    site.await_service()
    for user in (ANN, BOB):
        wanted = mail_bytes(site.server, user)
        usage = site.await_usage("example.com", lambda u: u.of("mail", user) == wanted, "not what there is (%d)" % wanted)
        assert usage.messages(user) == 6


def test_hung_service_delays_little_and_hears_it_later(site):
    site.server.allow_log(AWAY)
    deliver(site, ANN, 5)
    site.await_usage("example.com", lambda usage: usage.mail > 5 * KB)
    mark = site.server.log_size()
    service = site.pid("hosting-usage")
    site.signal(signal.SIGSTOP)
    try:
        with imap(site.server, ANN) as ann:
            started = time.monotonic()
            for number in range(5):
                ann.append("INBOX", sized("m%d" % number, 2)).expect_ok()
            ann.select("INBOX")
            ann.ok("STORE 1 +FLAGS (\\Deleted)")
            ann.ok("EXPUNGE")
            assert time.monotonic() - started < 3
        assert deliver(site, BOB, 4, 5) < 3
        with pop3(site.server, BOB) as client:
            client.dele(1)
        site.server.await_log(AWAY, since=mark)
    finally:
        site.signal(signal.SIGCONT)
    assert site.pid("hosting-usage") == service
    for user in (ANN, BOB):
        wanted = mail_bytes(site.server, user)
        site.await_usage("example.com", lambda u: u.of("mail", user) == wanted, "not what there is (%d)" % wanted)


def test_away_for_too_long_refuses_for_now_when_so_configured(site):
    site.server.allow_log(AWAY, r"quota", r"hosting-usage")
    site.write_policy(POLICY % 'unavailable = "tempfail"\nmail_stale_after = "1s"')
    site.doveadm("hosting", "reload")
    with imap(site.server, ANN) as ann:
        ann.append("INBOX", sized("known", 5)).expect_ok()
        site.signal(signal.SIGSTOP)
        try:
            def refused():
                answer = ann.append("INBOX", sized("x", 1))
                return not answer.ok and answer
            answer = until(refused, "still accepted")
            assert answer.code == b"UNAVAILABLE" and b"not known at present" in answer.tagged
        finally:
            site.signal(signal.SIGCONT)
        until(lambda: ann.append("INBOX", sized("again", 1)).ok, "still refused")


def test_killed_mail_process_has_its_user_counted_again(site):
    site.server.allow_log(r"killed with signal 9")
    session = imap(site.server, ANN)
    for number in range(10):
        session.append("INBOX", sized("m%d" % number, 3)).expect_ok()
    site.server.kill_mail_processes()
    session.close()
    wanted = mail_bytes(site.server, ANN)
    site.await_usage("example.com", lambda u: u.of("mail", ANN) == wanted and u.sources["mail", ANN]["stale"] == "no",
                     "not what there is (%d)" % wanted)


def test_recount_finds_what_changed_behind_dovecots_back(site):
    deliver(site, ANN, 5, 3)
    usage = site.await_usage("example.com", lambda u: u.of("mail", ANN) > 15 * KB and u.messages(ANN) == 3)
    if site.server.config.driver == "lbox":
        site.doveadm("hosting", "recalc", ANN)
    else:
        import os
        for folder in ("new", "cur"):
            names = os.listdir(site.server.mail_root(ANN) + "/" + folder)
            if names:
                os.unlink(site.server.mail_root(ANN) + "/" + folder + "/" + names[0])
                break
        site.doveadm("hosting", "recalc", "example.com")
        site.await_usage("example.com", lambda u: u.messages(ANN) == 2)
    wanted = mail_bytes(site.server, ANN)
    assert site.await_usage("example.com", lambda u: u.of("mail", ANN) == wanted).mail <= usage.mail
