"""Sessions: checked when they begin, however they came, and again when the policy changes under them."""

import time

import pytest

from support.beside import until
from support.protocols import DENIED, POLICY, Line, Listeners, imap_login, logins, pop3_login

ALLOWED = POLICY.replace('[package.pop-s]\nimap = "deny"', "[package.pop-s]")
WARNED = POLICY.replace('[package.pop-s]\nimap = "deny"', '[package.pop-s]\nimap = "warn"')
GRACE = POLICY.replace('[package.pop-s]\nimap = "deny"', '[package.pop-s]\nimap = { access = "deny", from = "2199-12-31" }')
NOTICE_LIMIT = 30  # s within which a change is felt


def sessions(server_factory, policy=POLICY, **options):
    return logins(server_factory, policy, imap_plugins=("imap_hosting",), extra="hosting_login_table = %(state)s/policy.logins\n", **options)


def logged_in(server, user="ann@pop.example", **options):
    line = Line(options.pop("port", server.imap_port), **options)
    line.socket.settimeout(NOTICE_LIMIT)
    line.send("a LOGIN %s pass" % user)
    assert line.answer("a ")[-1].startswith("a OK")
    return line


def noop(line):
    """What came unasked until a NOOP was answered."""
    line.send("n NOOP")
    lines = line.answer("n ")
    assert lines[-1].startswith("n OK"), lines
    return lines[:-1]


def test_denied_where_auth_has_no_module(server_factory):
    site = sessions(server_factory, module="")
    with logged_in(site.server) as line:
        assert line.read() == "* BYE [ALERT] " + DENIED
        assert line.read() == ""
    site.server.await_log(r"hosting: session ends \(deny: package pop-s \(policy:\d+\)\)")
    with logged_in(site.server, "bob@full.example") as line:
        assert noop(line) == []


@pytest.mark.parametrize("policy, warning", [
    (WARNED, "IMAP is not included in your package pop-s."),
    (GRACE, "IMAP is not included in your package pop-s and will stop working on 2199-12-31.")], ids=["warn", "grace"])
def test_a_warning_comes_once_a_day(server_factory, policy, warning):
    server = sessions(server_factory, policy).server
    with logged_in(server) as line:
        assert line.read().startswith("* OK [ALERT] " + warning)
        assert noop(line) == []
    with logged_in(server) as line:
        assert noop(line) == []
    with logged_in(server, "admin@pop.example") as line:
        assert noop(line) == []


def test_exempt_sessions_stay(server_factory):
    ports = Listeners("webmail")
    site = sessions(server_factory, POLICY.replace("[protocols]\n", '[protocols]\nexempt_ports = [%d]\nexempt_networks = ["127.0.0.9"]\n'
                                                   % ports["webmail"]),
                    after="service imap-login {\n  inet_listener webmail {\n    port = %d\n  }\n}\nlogin_trusted_networks = 127.0.0.9\n"
                          % ports["webmail"])
    with logged_in(site.server, port=ports["webmail"]) as line:
        assert noop(line) == []
    with logged_in(site.server, source="127.0.0.9") as line:
        assert noop(line) == []
    # The session sees the user's address, not the webmail's: that it is exempt comes from auth.
    with Line(site.server.imap_port, source="127.0.0.9") as line:
        line.send('i ID ("x-originating-ip" "203.0.113.5")')
        line.answer("i ")
        line.send("a LOGIN ann@pop.example pass")
        assert line.answer("a ")[-1].startswith("a OK")
        assert noop(line) == []
    ports.release()


def test_open_sessions_feel_a_change(server_factory):
    """The denied one ends, working or idle; others, and POP3, go on."""
    site = sessions(server_factory, ALLOWED)
    server = site.server
    with logged_in(server) as line, logged_in(server) as idle, logged_in(server, "admin@pop.example") as other, \
            Line(server.pop3_port) as pop3:
        idle.send("b SELECT INBOX")
        idle.answer("b ")
        idle.send("c IDLE")
        assert idle.read().startswith("+ ")
        pop3.send("USER ann@pop.example")
        pop3.read()
        pop3.send("PASS pass")
        assert pop3.read().startswith("+OK")
        site.write_policy(POLICY)
        began = time.monotonic()
        assert line.read() == "* BYE [ALERT] " + DENIED
        assert idle.read() == "* BYE [ALERT] " + DENIED
        assert time.monotonic() - began < NOTICE_LIMIT
        assert noop(other) == []
        pop3.send("STAT")
        assert pop3.read() == "+OK 0 0"
    assert imap_login(server, "ann@pop.example").text == "NO [CONTACTADMIN] " + DENIED
    assert pop3_login(server, "ann@pop.example").ok
    site.write_policy(ALLOWED)
    until(lambda: imap_login(server, "ann@pop.example").ok, "the package's IMAP does not come back")


def test_a_session_without_the_service_goes_on(server_factory):
    site = sessions(server_factory, module="", timeout="50ms")
    site.server.allow_log("hosting-usage", r"service\(hosting-usage\)")
    with logged_in(site.server) as line:  # the service answers
        assert line.read().startswith("* BYE ")
    site.signal(19)  # SIGSTOP: it hangs
    try:
        with logged_in(site.server) as line:
            assert noop(line) == []
    finally:
        site.signal(18)


def test_explain(server_factory):
    site = sessions(server_factory)

    def explain(*args):
        return {row["setting"]: row["value"] for row in site.rows("policy", "explain", *args)}

    line = open(site.policy_file, encoding="utf-8").read().split("\n").index("[package.pop-s]") + 2
    where = "package pop-s (%s:%d)" % (site.policy_file, line)
    assert explain("--service", "imap", "ann@pop.example") == {
        "user": "ann@pop.example", "account": "pop", "package": explain("ann@pop.example")["package"],
        "imap": "deny: " + where, "imap text": DENIED}
    assert explain("ann@pop.example")["pop3"] == "allow: default: no rule"
    assert explain("--service", "imap", "admin@pop.example")["imap"].startswith("allow: user admin@pop.example (")
    assert explain("--service", "imap", "--package", "full", "ann@pop.example")["imap"] == "allow: default: no rule"
    assert explain("--service", "imap", "--master", "ann@pop.example")["imap"] == "allow: %s, exempt as a master user" % where
    assert explain("nobody@nowhere.example")["account"].startswith("none")
    refused = site.doveadm("hosting", "policy", "explain", "--rip", "1.2", "ann@pop.example", check=False)
    assert refused.code != 0 and "--rip takes an address" in refused.err
    site.server.allow_log("--rip takes an address")
