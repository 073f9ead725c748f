"""doveadm hosting policy apply: ends what is newly denied, hibernated sessions too, and leaves everybody else alone."""

import contextlib
import json
import socketserver
import threading
import time

import pytest

from support.beside import until
from support.protocols import DENIED, POLICY, Line, Listeners, logins, sasl_plain

PORTS = ("web-imap", "web-pop3", "sieve", "web-sieve", "submission", "web-submission")
LISTENERS = """
service imap-login {
  inet_listener web-imap {
    port = %(web-imap)d
  }
}
service pop3-login {
  inet_listener web-pop3 {
    port = %(web-pop3)d
  }
}
service managesieve-login {
  inet_listener sieve {
    port = %(sieve)d
  }
  inet_listener web-sieve {
    port = %(web-sieve)d
  }
}
service submission-login {
  inet_listener submission {
    port = %(submission)d
  }
  inet_listener submissions {
    port = 0
  }
  inet_listener web-submission {
    port = %(web-submission)d
  }
}
submission_relay_host = 127.0.0.1
submission_relay_port = %(relay)d
auth_cache_size = 1M
"""
SERVICES = {"2.3": "protocols = imap pop3 lmtp sieve submission\n", "2.4": "protocols {\n  sieve = yes\n  submission = yes\n}\n"}
LIMIT = 30  # s
USER, OTHER = "ann@pop.example", "admin@pop.example"


class Relay(socketserver.StreamRequestHandler):
    """What Dovecot's submission service hands mail to: it agrees to everything."""

    def handle(self):
        self.wfile.write(b"220 relay ESMTP\r\n")
        for _ in self.rfile:
            self.wfile.write(b"250 relay\r\n")


@pytest.fixture(scope="module")
def relay():
    service = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
    service.daemon_threads = True
    threading.Thread(target=service.serve_forever, daemon=True).start()
    yield service.server_address[1]
    service.shutdown()
    service.server_close()


@pytest.fixture(scope="module", params=["lbox", "maildir"])
def site(request, module_server_factory, relay):
    ports = Listeners(*PORTS)
    numbers = {name: ports[name] for name in PORTS}
    exempt = "exempt_ports = %s\n" % [port for name, port in numbers.items() if name.startswith("web")]
    denied = POLICY.replace("[protocols]\n", "[protocols]\n" + exempt)
    package = denied[denied.index("[package.pop-s]"):denied.index("[account.pop]")]
    allowed = denied.replace(package, "[package.pop-s]\n")
    site = logins(module_server_factory, allowed, driver=request.param, imap_plugins=("imap_hosting",), hibernate="1s",
                  extra="hosting_login_table = %(state)s/policy.logins\n",
                  after={series: text + LISTENERS % {**numbers, "relay": relay} for series, text in SERVICES.items()})
    site.ports = numbers
    site.allowed, site.no_imap = allowed, denied.replace(package, '[package.pop-s]\nimap = "deny"\n')
    site.denied = denied.replace(package, package + 'pop3 = "deny"\n')
    yield site
    ports.release()


@contextlib.contextmanager
def connected(port, *exchanges):
    """A session: each command, and how its answer begins."""
    with Line(port) as line:
        line.socket.settimeout(LIMIT)
        for command, answer in exchanges:
            line.send(command)
            line.answer(answer)
        yield line


def idle(server, user):
    return connected(server.imap_port, ("a LOGIN %s pass" % user, "a OK"), ("a SELECT INBOX", "a OK"), ("b IDLE", "+ "))


def sieve(port):
    return connected(port, ('AUTHENTICATE "PLAIN" "%s"' % sasl_plain(USER), "OK"))


def submission(port):
    return connected(port, ("EHLO client.example", "250 "), ("AUTH PLAIN " + sasl_plain(USER), "235 "))


def pop3(port):
    return connected(port, ("USER " + USER, "+OK"), ("PASS pass", "+OK"))


def apply(site, policy):
    """Sessions that were to end, and whether they have."""
    site.write_policy(policy)
    began = time.monotonic()
    rows = site.rows("policy", "apply")
    assert time.monotonic() - began < LIMIT / 2
    return sorted((row["user"], row["service"].removeprefix("manage"), row["session"]) for row in rows)  # managesieve, in 2.4


def asleep(site, user):
    hibernating = site.server.pids("imap-hibernate")
    rows = [row for row in json.loads(site.doveadm("-f", "json", "who", "-1").out) if row["username"] == user]
    return bool(rows) and all(int(row["pid"]) in hibernating for row in rows)


def test_hibernated_sessions(site):
    server = site.server
    site.write_policy(site.allowed)
    site.doveadm("hosting", "reload")
    with idle(server, USER) as denied, idle(server, OTHER) as other, pop3(server.pop3_port) as allowed:
        until(lambda: not server.pids("imap"), "the sessions do not hibernate")
        assert apply(site, site.no_imap) == [(USER, "imap", "ended")]
        assert denied.answer("* BYE")[-1] == "* BYE [ALERT] " + DENIED
        assert asleep(site, OTHER)  # nobody else was woken
        other.send("DONE")
        assert other.answer("b ")[-1].startswith("b OK")
        allowed.send("STAT")
        assert allowed.read() == "+OK 0 0"
    until(lambda: site.rows("policy", "apply") == [], "the session is still there")


def test_exempt_sessions_of_all_protocols_stay(site):
    if site.server.config.driver != "maildir":
        pytest.skip("one storage will do")
    ports, server = site.ports, site.server
    site.write_policy(site.allowed)
    site.doveadm("hosting", "reload")
    with contextlib.ExitStack() as stack:
        def both(open_session, name, port):
            return [stack.enter_context(open_session(each)) for each in (port, ports["web-" + name])]
        def imap(port):
            return connected(port, ("a LOGIN %s pass" % USER, "a OK"), ("a SELECT INBOX", "a OK"))
        sessions = [both(sieve, "sieve", ports["sieve"]), both(submission, "submission", ports["submission"]),
                    both(pop3, "pop3", server.pop3_port), both(imap, "imap", server.imap_port)]
        rows = apply(site, site.denied)
        assert [row for row in rows if row[2] == "ended"] == [(USER, name, "ended") for name in ("imap", "pop3", "sieve", "submission")]
        for (denied, exempt), (command, answer) in zip(sessions, (("NOOP", "OK"), ("NOOP", "250 "), ("NOOP", "+OK"), ("x NOOP", "x OK"))):
            denied.file.read()  # until it hangs up
            exempt.send(command)
            exempt.answer(answer)
