"""Debian's own mail programs meet a package without IMAP: what they say of it, and POP3 works."""

import imaplib
import os
import poplib
import ssl
import subprocess

import pytest

from support.messages import normal_messages
from support.peers import Fetchmail, Mbsync
from support.protocols import DENIED, POLICY, Listeners, logins, pop3_login
from support.server import HOST, PASSWORD, TIMEOUT

USER = "ann@pop.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def site(module_server_factory, certificate):
    ports = Listeners("imaps", "pop3s")
    tls = {"2.3": "ssl = yes\nssl_cert = <%s/cert\nssl_key = <%s/key\n" % (certificate, certificate),
           "2.4": "ssl = yes\nssl_server_cert_file = %s/cert\nssl_server_key_file = %s/key\n" % (certificate, certificate)}
    listeners = "".join("service %s-login {\n  inet_listener %ss {\n    port = %d\n    ssl = yes\n  }\n}\n" % (name, name, ports[name + "s"])
                        for name in ("imap", "pop3"))
    site = logins(module_server_factory, after={series: text + listeners for series, text in tls.items()})
    site.imaps, site.pop3s = ports["imaps"], ports["pop3s"]
    site.certificate = certificate
    yield site
    ports.release()


def test_mbsync_prints_the_reason(site):
    with pytest.raises(AssertionError, match="IMAP is not included in your package pop-s"):
        Mbsync(site.server.base, site.server, USER).run()


def test_fetchmail_works(site, tmp_path):
    for message in normal_messages(3, 5):
        site.server.deliver(USER, message)
    assert len(Fetchmail(str(tmp_path), site.server, USER, keep=False).run()) == 3


def mutt(tmp_path, url, *settings):
    """What it printed, and its debug log."""
    rc = tmp_path / "muttrc"
    rc.write_text('set imap_user="%s" imap_pass="%s" imap_authenticators="login"\n' % (USER, PASSWORD) + "".join(line + "\n" for line in settings))
    (tmp_path / "Mail").mkdir()
    (terminfo,) = [path for path in ("/lib/terminfo", "/usr/share/terminfo") if os.path.exists(path + "/x/xterm")][:1]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm", "TERMINFO": terminfo, "LC_ALL": "C"}
    done = subprocess.run(["script", "-qec", "stty rows 24 cols 200; mutt -n -d 2 -F %s -f %s" % (rc, url), "/dev/null"], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=TIMEOUT, check=False, env=env, cwd=tmp_path)
    return done.stdout.decode(errors="replace"), (tmp_path / ".muttdebug0").read_text(errors="replace")


@pytest.mark.parametrize("tls", ["none", "starttls", "imaps"])
def test_mutt_is_denied(site, tmp_path, tls):
    """mutt shows no text of the server's when a login fails, whichever response code it has: the reason is in its debug log alone."""
    url = "imaps://%s:%d/" % (HOST, site.imaps) if tls == "imaps" else "imap://%s:%d/" % (HOST, site.server.imap_port)
    printed, log = mutt(tmp_path, url, "set ssl_starttls=%s ssl_force_tls=%s" % ("yes" if tls == "starttls" else "no", "no" if tls == "none" else "yes"),
                        'set ssl_verify_host=no ssl_verify_dates=no certificate_file="%s/cert"' % site.certificate)
    assert "authentication failed." in printed and "not included" not in printed, printed
    assert "NO [CONTACTADMIN] " + DENIED in log, log[-2000:]


def test_mutt_prints_the_reason_that_ends_a_session(server_factory, tmp_path):
    """answer = "session": the login goes on, and the session ends with what mutt shows. Other protocols are refused at login."""
    policy = POLICY.replace("[protocols]\n", '[protocols]\nanswer = "session"\n').replace("[package.pop-s]\n", '[package.pop-s]\npop3 = "deny"\n')
    server = logins(server_factory, policy, imap_plugins=("imap_hosting",)).server
    printed, log = mutt(tmp_path, "imap://%s:%d/" % (HOST, server.imap_port), "set ssl_starttls=no ssl_force_tls=no")
    assert "[ALERT] IMAP is not included in your package pop-s." in printed, log[-2000:]
    server.await_log(r"protocol=imap: login left to the session \(deny: package pop-s \(policy:\d+\)\)")
    assert pop3_login(server, USER).text.startswith("[AUTH] POP3 is not included in your package pop-s.")


@pytest.fixture
def any_certificate():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "imaps"])
def test_imap_over_tls(site, any_certificate, implicit):
    def connect():
        if implicit:
            return imaplib.IMAP4_SSL(HOST, site.imaps, ssl_context=any_certificate)
        connection = imaplib.IMAP4(HOST, site.server.imap_port)
        connection.starttls(any_certificate)
        return connection
    connection = connect()
    with pytest.raises(imaplib.IMAP4.error, match="IMAP is not included in your package pop-s"):
        connection.login(USER, PASSWORD)
    connection.shutdown()
    with connect() as connection:
        connection.login("admin@pop.example", PASSWORD)
        assert connection.select("INBOX")[0] == "OK"


@pytest.mark.parametrize("implicit", [False, True], ids=["stls", "pop3s"])
def test_pop3_over_tls(site, any_certificate, implicit):
    user = "tls-%d@pop.example" % implicit
    site.server.deliver(user, normal_messages(1, 5)[0])
    if implicit:
        connection = poplib.POP3_SSL(HOST, site.pop3s, context=any_certificate)
    else:
        connection = poplib.POP3(HOST, site.server.pop3_port)
        connection.stls(any_certificate)
    connection.user(user)
    connection.pass_(PASSWORD)
    assert connection.stat()[0] == 1
    assert connection.retr(1)[0].startswith(b"+OK")
    connection.quit()
