"""The other protocols, a proxy in front, and what is no login process of Dovecot's: Postfix."""

import smtplib

import pytest

from support.exim import PROGRAM, Exim
from support.peers import Postfix
from support.protocols import DENIED, AuthClient, Line, Listeners, imap_login, logins, sasl_plain

SIEVE_DENIED = "ManageSieve is not included in your package pop-s. Upgrade: https://my.example.com/"
SUBMISSION_DENIED = "Submission is not included in your package pop-s. Upgrade: https://my.example.com/"
SMTP_DENIED = "SMTP is not included in your package pop-s. Upgrade: https://my.example.com/"


@pytest.fixture(scope="module")
def site(module_server_factory):
    ports = Listeners("sieve", "submission")
    listeners = """
service managesieve-login {
  inet_listener sieve {
    port = %d
  }
}
service submission-login {
  inet_listener submission {
    port = %d
  }
  inet_listener submissions {
    port = 0
  }
}
""" % (ports["sieve"], ports["submission"])
    site = logins(module_server_factory, after={
        "2.3": "protocols = imap pop3 lmtp sieve submission\nsubmission_relay_host = 127.0.0.1\n" + listeners,
        "2.4": "protocols {\n  sieve = yes\n  submission = yes\n}\nsubmission_relay_host = 127.0.0.1\n" + listeners})
    site.ports = ports
    site.server.allow_log(r"submission\(.*connect\(127\.0\.0\.1:25\) failed")  # there is nobody to relay to
    yield site
    ports.release()


def sieve_login(site, user):
    with Line(site.ports["sieve"]) as line:
        line.answer("OK")
        line.send('AUTHENTICATE "PLAIN" "%s"' % sasl_plain(user))
        return line.read()


def submission_login(site, user):
    with Line(site.ports["submission"]) as line:
        line.send("EHLO client.example")
        line.answer("250 ")
        line.send("AUTH PLAIN " + sasl_plain(user))
        return line.read()


def test_managesieve(site):
    assert sieve_login(site, "ann@pop.example") == 'NO "%s"' % SIEVE_DENIED
    assert sieve_login(site, "bob@full.example").startswith("OK")


def test_submission(site):
    assert submission_login(site, "ann@pop.example") == "525 5.7.13 " + SUBMISSION_DENIED
    assert submission_login(site, "bob@full.example").startswith("235 ")


def test_sasl_for_postfix(server_factory):
    site = logins(server_factory, after="service auth {\n  unix_listener auth-postfix {\n    mode = 0666\n  }\n}\n"
                                        "auth_failure_delay = 2 s\n")
    postfix = AuthClient(site.server.base + "/run/auth-postfix")
    denied = postfix.login("ann@pop.example")
    assert denied[0] == "FAIL" and "reason=" + SMTP_DENIED in denied
    assert postfix.login("bob@full.example")[0] == "OK"
    wrong = postfix.login("ann@pop.example", "wrong")
    assert wrong[0] == "FAIL" and not [field for field in wrong if field.startswith("reason=")]
    postfix.close()


def test_postfix_tells_the_reason(server_factory):
    site = logins(server_factory, after="service auth {\n  unix_listener auth-postfix {\n    mode = 0666\n  }\n}\n")
    with Postfix(site.server, sasl=site.server.base + "/run/auth-postfix") as postfix:
        with postfix.smtp() as smtp, pytest.raises(smtplib.SMTPAuthenticationError) as denied:
            smtp.login("ann@pop.example", "pass")
        assert denied.value.smtp_code == 535 and SMTP_DENIED in denied.value.smtp_error.decode()
        with postfix.smtp() as smtp:
            assert smtp.login("bob@full.example", "pass")[0] == 235


@pytest.mark.skipif(PROGRAM is None, reason="no Exim")
def test_exim_refuses(server_factory):
    """Exim has an answer of its own for whatever auth refuses; the reason is in Dovecot's log, and in what auth told Exim."""
    site = logins(server_factory, after="service auth {\n  unix_listener auth-exim {\n    mode = 0666\n  }\n}\n")
    with Exim(site.server, site.server.base + "/run/auth-exim") as exim:
        with exim.smtp() as smtp, pytest.raises(smtplib.SMTPAuthenticationError) as denied:
            smtp.login("ann@pop.example", "pass")
        print(denied.value.smtp_code, denied.value.smtp_error, exim.log_text())
        assert denied.value.smtp_code == 535
        with exim.smtp() as smtp:
            assert smtp.login("bob@full.example", "pass")[0] == 235
    site.server.await_log(r"user=<ann@pop.example>, protocol=smtp: login denied \(deny: package pop-s \(policy:\d+\)\)")


def test_a_denied_login_is_not_proxied(server_factory):
    behind = server_factory(driver="maildir")
    port = behind.imap_port
    site = logins(server_factory, passdbs={
        "2.3": "passdb {\n  driver = static\n  args = password=pass proxy=y host=127.0.0.1 port=%d pass=pass\n}\n" % port,
        "2.4": "passdb static {\n  password = pass\n  fields {\n    proxy = y\n    host = 127.0.0.1\n    port = %d\n    pass = pass\n  }\n}\n" % port,
    })
    assert imap_login(site.server, "bob@full.example").ok
    behind.await_log("Log(in|ged in): user=<bob@full.example>")
    assert imap_login(site.server, "ann@pop.example").text == "NO [CONTACTADMIN] " + DENIED
    assert imap_login(site.server, "admin@pop.example").ok
    behind.await_log("Log(in|ged in): user=<admin@pop.example>")
    assert "ann@pop.example" not in behind.log_text()
