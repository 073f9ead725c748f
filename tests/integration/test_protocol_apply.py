"""doveadm hosting policy apply: ends what is newly denied, hibernated sessions too, and leaves everybody else alone."""

import time

from support.beside import until
from support.protocols import DENIED, POLICY, Line, logins

ALLOWED = POLICY.replace('[package.pop-s]\nimap = "deny"', "[package.pop-s]")
NO_POP3 = POLICY.replace('[package.pop-s]\n', '[package.pop-s]\npop3 = "deny"\n')
LIMIT = 30  # s


def idle(server, user):
    line = Line(server.imap_port)
    line.socket.settimeout(LIMIT)
    for command in ("LOGIN %s pass" % user, "SELECT INBOX"):
        line.send("a " + command)
        assert line.answer("a ")[-1].startswith("a OK")
    line.send("b IDLE")
    assert line.read().startswith("+ ")
    return line


def test_apply(server_factory):
    site = logins(server_factory, ALLOWED, driver="lbox", imap_plugins=("imap_hosting",), hibernate="1s",
                  extra="hosting_login_table = %(state)s/policy.logins\n", after="auth_cache_size = 1M\n")
    server = site.server
    with idle(server, "ann@pop.example") as denied, idle(server, "admin@pop.example") as other, Line(server.pop3_port) as pop3:
        pop3.socket.settimeout(LIMIT)
        pop3.send("USER ann@pop.example")
        pop3.read()
        pop3.send("PASS pass")
        assert pop3.read().startswith("+OK")
        until(lambda: not server.pids("imap"), "the sessions do not hibernate")
        site.write_policy(NO_POP3)
        began = time.monotonic()
        rows = {(row["user"], row["service"]): row["session"] for row in site.rows("policy", "apply")}
        assert time.monotonic() - began < LIMIT
        assert rows == {("ann@pop.example", "imap"): "ended", ("ann@pop.example", "pop3"): "ended"}
        assert denied.answer("* BYE")[-1] == "* BYE [ALERT] " + DENIED.replace(" POP3 works: pop.example.com port 995.", "")
        assert "Server shutting down" in pop3.read()
        assert not server.pids("imap")  # nobody else was woken
        other.send("DONE")
        assert other.answer("b ")[-1].startswith("b OK")
    assert site.rows("policy", "apply") == []
