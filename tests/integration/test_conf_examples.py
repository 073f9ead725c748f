"""The configurations of packaging/conf/examples, as they are there: Dovecot reads them without a word, and mail comes and is read."""
# ctest: timeout=300

import imaplib
import os
import re
import shutil
import subprocess

import pytest

from support.examples import EXAMPLES, USER, VMAIL, configure, example, in_sqlite
from support.exim import PROGRAM as EXIM
from support.host import SANDBOX, Host
from support.host_mail import PASSWORD, deliver, imap, subjects
from support.server import SERIES

WHOLE = ("sql-virtual", "system-users", "proxy")
BESIDE = ("postfix", "exim", "sieve", "inbox-prefix", "backend")


def stores(host, home):
    return sorted(os.listdir(host.path(home + "/lbox/store")))


def test_every_file_is_named_here():
    assert {name for name in os.listdir(os.path.join(EXAMPLES, SERIES)) if name.endswith(".conf")} == {name + ".conf" for name in WHOLE + BESIDE}


@pytest.mark.parametrize("whole", WHOLE)
def test_dovecot_reads_them(whole):
    """Each alone, and with all that may stand beside it: no warning, and every setting arrives."""
    with Host() as host:
        configure(host, whole)
        host.boot()
        for beside in ((), BESIDE) if whole != "proxy" else ((),):
            for name in beside:
                host.write("/etc/dovecot/conf.d/90-%s.conf" % name, example(name + ".conf"))
            shown = host.run("doveconf", "-n")
            assert not shown.err
            text = shown.text
            for name in (whole, *beside):
                for key in re.findall(r"^\s*(\w+) =", example(name + ".conf"), re.MULTILINE):
                    assert key.removeprefix("ssl_server_") in text or key in ("address", "default_password_scheme", "group"), (name, key)


@pytest.fixture(scope="module")
def sql():
    with Host() as host:
        configure(host, "sql-virtual", "postfix", "exim", "sieve", "inbox-prefix")
        old = ("maildir:~/Maildir",) if SERIES == "2.3" else ("maildir", "~/Maildir")
        in_sqlite(host, (USER, *[None] * len(old)), ("old@example.com", *old))
        yield host.start()
        assert not host.complaints()


def test_virtual_users_with_prefix(sql):
    """Through the sockets of both MTAs; folders are INBOX.Name."""
    deliver(sql, USER, "by Postfix", "/var/spool/postfix/private/dovecot-lmtp")
    deliver(sql, USER, "by Exim", "/run/dovecot/lmtp-exim")
    assert stores(sql, "/srv/mail/example.com/ann") and os.stat(sql.path("/srv/mail/example.com/ann")).st_uid == VMAIL
    with imap(sql, USER) as session:
        assert subjects(session) == ["by Postfix", "by Exim"]
        assert session.namespace()[1] == [b'(("INBOX." ".")) NIL NIL']
        assert session.create("INBOX.Sent.2024")[0] == "OK"
        assert session.copy("1", "INBOX.Sent.2024")[0] == "OK"
        assert subjects(session, "INBOX.Sent.2024") == ["by Postfix"]
        assert session.create("Sent")[0] == "NO"
    assert sql.run("doveadm", "user", "*").text.split() == [USER, "old@example.com"]


def test_users_who_have_not_been_moved(sql):
    deliver(sql, "old@example.com", "to Maildir")
    with imap(sql, "old@example.com") as session:
        assert subjects(session) == ["to Maildir"]
    assert os.listdir(sql.path("/srv/mail/example.com/old/Maildir/cur")) and not os.path.exists(sql.path("/srv/mail/example.com/old/lbox"))


def test_sieve(sql):
    home = sql.path("/srv/mail/example.com/ann")
    os.makedirs(home, exist_ok=True)
    script = 'require ["fileinto", "mailbox"];\nif header :is "Subject" "sorted" { fileinto :create "INBOX.Lists.sorted"; }\n'
    sql.run("doveadm", "sieve", "put", "-u", USER, "-a", "main", input=script.encode())
    assert os.path.exists(home + "/sieve/main.sieve") and os.path.islink(home + "/.dovecot.sieve")
    deliver(sql, USER, "sorted")
    with imap(sql, USER) as session:
        assert subjects(session, "INBOX.Lists.sorted") == ["sorted"]
        assert "sorted" not in subjects(session)


def test_system_users():
    """Each customer's processes and files are the customer's own."""
    with Host() as host:
        configure(host, "system-users")
        for name, uid in (("ann", 1001), ("cid", 1002)):
            home = "/home/" + name
            host.add_user(name, uid, home, PASSWORD)
            os.mkdir(host.path(home), 0o700)
            os.chown(host.path(home), uid, uid)
        host.start()
        for name, uid in (("ann", 1001), ("cid", 1002)):
            deliver(host, name + "@example.com", "for " + name)
            with imap(host, name) as session:
                assert subjects(session) == ["for " + name]
            assert {os.stat(os.path.join(where, one)).st_uid for where, folders, files in os.walk(host.path("/home/" + name)) for one in folders + files} == {uid}
        assert not host.complaints()


def test_proxy():
    """Logins and deliveries reach the host behind; it sees the client's address, not the proxy's."""
    with Host(addresses=("10.0.0.10", "10.0.0.11")) as proxy, Host(network_of=proxy) as behind:
        configure(proxy, "proxy")
        proxy.write("/etc/dovecot/conf.d/99-test.conf", "listen = 127.0.0.1, 10.0.0.10\nauth_failure_delay = 0\n")  # both hosts have one network here
        configure(behind, "sql-virtual", "backend")
        behind.write("/etc/dovecot/conf.d/99-test.conf", "listen = 10.0.0.11\nauth_failure_delay = 0\n")
        in_sqlite(behind, (USER, *[None] * (1 if SERIES == "2.3" else 2)))
        proxy.start()
        behind.start()
        deliver(proxy, USER, "through the proxy")
        assert stores(behind, "/srv/mail/example.com/ann") and not os.path.exists(proxy.path("/srv/mail"))
        with imap(proxy, USER) as session:
            assert subjects(session) == ["through the proxy"]
        assert proxy.await_log(r"proxy.*[Ss]tarted proxying to")
        behind.await_log(r"user=<%s>.*rip=127\.0\.0\.1" % USER)
        with proxy.network(), pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            imaplib.IMAP4("127.0.0.1", timeout=60).login(USER, "wrong")
        assert not proxy.complaints() and not behind.complaints()


def test_sandbox_is_that_of_the_unit():
    """What hosts of these tests protect is what Debian's unit protects."""
    unit = next((path for path in ("/lib/systemd/system/dovecot.service", "/usr/lib/systemd/system/dovecot.service") if os.path.exists(path)), None)
    assert unit
    with open(unit, encoding="utf-8") as file:
        found = dict(line.strip().split("=", 1) for line in file if re.match(r"(Private|Protect|Restrict|ReadOnly|Inaccessible|Capab|NoNew|System)", line))
    assert found == SANDBOX
    with Host() as host:
        host.boot()
        for folder in ("/etc", "/usr", "/usr/lib/dovecot", "/usr/share/dovecot", "/boot"):
            assert "Read-only" in host.run("touch", folder + "/touched", check=False).err, folder
        for folder in ("/home", "/srv", "/run", "/tmp", "/var/lib/dovecot"):
            host.run("touch", folder + "/touched")
        assert host.run("ls", "/tmp").text == "touched\n" and "vda" not in host.run("ls", "/dev").text


def test_postfix_knows_the_settings(tmp_path):
    shutil.copy(os.path.join(EXAMPLES, "postfix-main.cf"), tmp_path / "main.cf")
    shutil.copy("/usr/share/postfix/master.cf.dist", tmp_path / "master.cf")
    with open(tmp_path / "main.cf", "a", encoding="utf-8") as file:
        file.write("compatibility_level = 3.6\n")
    shown = subprocess.run(["postconf", "-n", "-c", str(tmp_path)], capture_output=True, text=True, check=True)
    assert not shown.stderr and "check_policy_service inet:127.0.0.1:12340" in shown.stdout


@pytest.mark.skipif(EXIM is None, reason="no Exim")
def test_exim_knows_the_settings(sql):
    sql.write("/etc/exim.conf", example("../exim-dovecot.conf").replace("begin routers", "never_users =\nbegin routers", 1))
    shutil.copy(EXIM, sql.path("/tmp/exim4"))
    shown = sql.run("/tmp/exim4", "-C", "/etc/exim.conf", "-bP", "transports")
    assert "driver = lmtp" in shown.text and "socket = /run/dovecot/lmtp-exim" in shown.text
    routed = sql.run("/tmp/exim4", "-C", "/etc/exim.conf", "-bt", USER)
    assert "transport = dovecot_lmtp" in routed.text
