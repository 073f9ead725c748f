"""Mail users in a chroot: without a socket in there mail goes on and the next delivery puts the figure right; with one all is as ever."""
# ctest: timeout=300 labels=quota

import os

import pytest

from support.beside import imap, lmtp, message
from support.hosting import Hosting

KB = 1024
ANN = "ann@example.com"
POLICY = """
[package.p]
limit = "100k"
[account."example.com"]
package = "p"
domains = ["example.com"]
"""
INSIDE = {
    "2.3": "protocol imap {\n  plugin {\n    hosting_socket = /hosting-usage\n    hosting_spool = /spool\n  }\n}\n",
    "2.4": "protocol imap {\n  hosting_socket = /hosting-usage\n  hosting_spool = /spool\n}\n",
}


@pytest.fixture(params=["lbox", "maildir"])
def made(request, server_factory):
    def make(inside):
        site = Hosting(server_factory, request.param, POLICY, home="/%u")
        server = site.server
        server.config.extra += "mail_chroot = %s/home\n" % server.base
        if inside:
            listener = "  unix_listener %s/home/hosting-usage {\n    mode = 0666\n  }\n" % server.base
            head = "service hosting-usage {\n"
            server.config.extra = server.config.extra.replace(head, head + listener) + server.text(INSIDE)
        server.write_config()
        server.restart()
        site.await_service()
        return site
    return make


def delivered(site, kilobytes):
    with lmtp(site.server) as delivery:
        (reply,) = delivery.try_deliver(ANN, message("d", size=kilobytes * KB))
    return reply.code


def is_in_chroot(site):
    """Whether the session at hand is: what is outside must not be what the mail is."""
    (pid,) = site.server.pids("imap")
    return os.path.samefile("/proc/%d/root" % pid, site.server.base + "/home")


def test_without_a_socket_inside(made):
    site = made(inside=False)
    site.server.allow_log(r"hosting-usage is away", r"the usage of ann@example.com could not be reported nor kept", r"stats-writer")
    assert delivered(site, 10) == 250
    site.await_usage("example.com", lambda usage: 10 * KB < usage.mail < 11 * KB)
    with imap(site.server, ANN) as ann:
        assert is_in_chroot(site)
        ann.append("INBOX", message("a", size=120 * KB)).expect_ok()  # no limit is known in there
    assert site.usage("example.com").mail < 11 * KB
    assert delivered(site, 1) == 552 or delivered(site, 1) == 552  # the first one tells the service what there is
    site.await_usage("example.com", lambda usage: usage.mail > 130 * KB)
    site.doveadm("expunge", "mailbox", "INBOX", "larger", str(50 * KB), user=ANN)
    site.doveadm("hosting", "recalc", ANN)  # counts from outside
    site.await_usage("example.com", lambda usage: usage.mail < 13 * KB)


def test_with_a_socket_inside(made):
    site = made(inside=True)
    site.server.allow_log(r"stats-writer")
    assert delivered(site, 10) == 250
    with imap(site.server, ANN) as ann:
        assert is_in_chroot(site)
        ann.append("INBOX", message("a", size=80 * KB)).expect_ok()
        site.await_usage("example.com", lambda usage: usage.mail > 90 * KB)
        assert ann.append("INBOX", message("b", size=20 * KB)).code == b"OVERQUOTA"
    assert delivered(site, 20) == 552
