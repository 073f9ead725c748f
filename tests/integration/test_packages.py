"""What the Debian packages put into /etc, beside Debian's own configuration of Dovecot: taken in, and without effect once a package is gone.

packaging/test-deb does the same with the packages themselves.
"""
# ctest: timeout=300 labels=quota

import imaplib
import json
import os
import re
import shutil
import smtplib
import socket
import subprocess

import pytest

from support.beside import until
from support.host import LIBRARIES, Host
from support.host_mail import PASSWORD, deliver, imap, subjects
from support.host_packages import CONF, FILES, GATES, enable, installed
from support.server import SERIES, TIMEOUT


def plugins(host, service):
    """Which mail_plugins a service has. 2.4 shows for a protocol what it has beyond the global ones."""
    found = set()
    for where in (["-f", "protocol=" + service],) if SERIES == "2.3" else ([], ["-f", "protocol=" + service]):
        shown = host.run("doveconf", *where, "-h", "mail_plugins")
        assert not shown.err
        found |= set(re.findall(r"\w+", shown.text)) - {"yes"}
    return found


def complaints(host):
    """But for auth that starts before hosting-usage has written its first table."""
    return [line for line in host.complaints() if "policy.logins: No such file" not in line]


def beside_postfix(host):
    """The example, which has some of the same services."""
    with open(os.path.join(CONF, "examples", SERIES, "postfix.conf"), encoding="utf-8") as file:
        host.write("/etc/dovecot/conf.d/90-postfix.conf", file.read())
    host.add_user("postfix", 6011, "/nonexistent")
    os.makedirs(host.path("/var/spool/postfix/private"))
    assert host.run("doveconf", "-n").text.count("port = 12340") == 1


def ask_quota_status(host, recipient, size):
    """What Postfix would be told before DATA."""
    with host.network(), socket.create_connection(("127.0.0.1", 12340), timeout=TIMEOUT) as connection:
        connection.sendall(b"request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=SMTP\nsender=s@example.org\n"
                           b"recipient=%s\nsize=%d\n\n" % (recipient.encode(), size))
        return connection.makefile().readline().strip().removeprefix("action=")


@pytest.fixture(scope="module")
def host():
    with Host() as host:
        installed(host)
        host.boot()
        yield host


def test_nothing_is_in_effect_at_first(host):
    with_files = host.run("doveconf", "-n")
    for target in FILES:
        os.rename(host.path(target), host.path(target) + ".away")
    without = host.run("doveconf", "-n")
    for target in FILES:
        os.rename(host.path(target) + ".away", host.path(target))
    assert (with_files.out, with_files.err) == (without.out, "")


def test_enabled(host):
    """Every process that touches mail has the plugins, whatever other files of conf.d set before and after; it delivers, counts and refuses."""
    enable(host)
    shown = host.run("doveconf", "-n")
    assert not shown.err
    for service, more in (("imap", {"imap_quota", "imap_hosting", "imap_acl"}), ("lmtp", {"sieve"}), ("pop3", set()), ("doveadm", set())):
        assert plugins(host, service) >= {"acl", "lbox", "quota", "hosting"} | more, service
    assert host.run("doveadm", "hosting", "config", "check").code == 0
    beside_postfix(host)
    host.start()
    until(lambda: host.run("doveadm", "hosting", "status", check=False).code == 0, "hosting-usage does not answer")
    deliver(host, "ann", "first")
    assert os.listdir(host.path("/home/ann/lbox/store")) and not os.listdir(host.path("/var/mail"))
    with imap(host, "ann") as session:
        assert subjects(session) == ["first"]
        assert session.namespace()[1] == [b'(("" "/")) NIL NIL']
        assert re.fullmatch(rb"Package \(STORAGE [1-9]\d? 100\)", session.getquota("Package")[1][0])
        assert session.append("INBOX", None, None, b"Subject: large\r\n\r\n" + b"x" * 76 * 2000 + b"\r\n")[0] == "NO"
    assert ask_quota_status(host, "ann", 1000) == "DUNNO"
    assert ask_quota_status(host, "ann", 200_000).startswith("552 5.2.2 Message does not fit in the hosting package")
    rows = {row["kind"]: row for row in json.loads(host.run("doveadm", "-f", "json", "hosting", "usage", "ann").out)}
    assert int(rows["mail"]["messages"]) == 1
    with open(host.path("/srv/www/ann/page"), "wb") as file:
        file.write(b"x" * 20000)
        os.fchown(file.fileno(), 1001, 1001)
    host.run("doveadm", "hosting", "recalc", "--web", "ann")
    until(lambda: any(row["kind"] == "web" and int(row["bytes"]) >= 20000
                      for row in json.loads(host.run("doveadm", "-f", "json", "hosting", "usage", "ann").out)), "the web meter does not count")
    assert not complaints(host)


def test_removed_and_installed_again(host):
    """As dpkg leaves it: conffiles stay, all else goes. Dovecot starts; mail waits, and is there again with the package."""
    host.stop()
    before = {name: os.stat(os.path.join(where, name)).st_mtime_ns for where, _, names in os.walk(host.path("/home/ann/lbox/store")) for name in names}
    gone = [path for path in host.run("find", LIBRARIES, "-type", "f").text.split() if not os.path.exists(path)] + list(GATES)
    assert len(gone) >= 11
    with Host(build=False) as without:
        for folder in ("etc", "home", "usr/share/dovecot", "srv", "var/lib/dovecot", "var/spool/postfix"):
            shutil.rmtree(without.path(folder))
            subprocess.run(["cp", "-a", host.path(folder), without.path(folder)], check=True)
        for name in GATES:
            os.unlink(without.path(name))
        without.boot()
        for name in gone:
            assert without.run("test", "-e", name, check=False).code == 1, name
        shown = without.run("doveconf", "-n")
        assert not shown.err and "hosting" not in shown.text
        without.start()
        with pytest.raises(smtplib.SMTPException) as refused:
            deliver(without, "ann", "meanwhile")
        assert re.search(r"\(4\d\d, ", str(refused.value)), refused.value
        with without.network():
            session = imaplib.IMAP4("127.0.0.1", timeout=60)
        with pytest.raises(imaplib.IMAP4.error):
            session.login("ann", PASSWORD)
            session.select("INBOX")
        said = without.complaints()
        assert said and all("lbox" in line for line in said), said
        assert set(os.listdir(without.path("/home/ann"))) <= set(os.listdir(host.path("/home/ann"))), "nothing was put elsewhere"
    after = {name: os.stat(os.path.join(where, name)).st_mtime_ns for where, _, names in os.walk(host.path("/home/ann/lbox/store")) for name in names}
    assert after == before
    host.start()
    with imap(host, "ann") as session:
        assert subjects(session) == ["first"]
    assert not complaints(host)
