"""The examples of docs/packages.md, as they are there: settings of both series, and users from a passwd-file, from SQL and from LDAP."""
# ctest: timeout=300 labels=quota

import os
import re
import shutil
import sqlite3
import tempfile

import pytest

from support.beside import imap, message
from support.directory import Directory
from support.docs import block_after
from support.hosting import Hosting
from support.server import SERIES

KB = 1024
POLICY = """
[package.gold]
limit = "200k"
[package.small]
limit = "50k"
[account."example.com"]
package = "gold"
"""
USERS = [  # user, account, package, extra space, mailbox limit; and the limits that hold then, in KB
    ("own@a.example", "example.com", None, None, None, 200, 0),
    ("other@a.example", "example.com", "small", "50k", "60k", 100, 60),
    ("new@a.example", "fields.example", "small", "", "", 50, 0),
    ("empty@a.example", "", "", "", "", 0, 0),
    ("free@a.example", None, None, None, None, 0, 0),
]

ATTRIBUTES = ("customer", "tier", "extraSpace", "mailboxMax")  # of the directory, for what follows the user


@pytest.fixture
def folder():
    """One that auth can read, whatever the umask of the one who runs the tests."""
    path = tempfile.mkdtemp(prefix="lbox-users-", dir="/run")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


def limits(site, user):
    """KB of package and mailbox, 0 for none, as the user sees them; there is some mail then."""
    with imap(site.server, user) as session:
        session.append("INBOX", message("x", size=10 * KB)).expect_ok()
        text = b"".join(session.ok("GETQUOTAROOT INBOX").untagged)
    found = dict(re.findall(rb'QUOTA "?(\w+)"? \(STORAGE \d+ (\d+)\)', text))
    return int(found.get(b"Package", 0)), int(found.get(b"Mailbox", 0))


def test_users_from_sql(folder, server_factory):
    database = folder + "/users.sqlite"
    text = block_after("packages.md", "**SQL, Dovecot %s**" % SERIES).replace("/etc/dovecot/users.sqlite", database)
    assert database in text
    if SERIES == "2.3":
        with open(folder + "/dovecot-sql.conf.ext", "w", encoding="ascii") as file:
            file.write(text)
        text = "userdb {\n  driver = sql\n  args = %s\n}\n" % file.name
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE users (user, home, uid, gid, customer, tier, extra, mailbox_max)")
    site = Hosting(server_factory, "maildir", POLICY, userdb_text=text)
    with sqlite3.connect(database) as connection:
        for user, account, package, extra, mailbox, _, _ in USERS:
            connection.execute("INSERT INTO users VALUES (?, ?, 5000, 5000, ?, ?, ?, ?)",
                               (user, site.server.user_home(user), account, package, extra, mailbox))
    os.chmod(database, 0o644)
    site.await_service()
    for user, *_, package, mailbox in USERS:
        assert limits(site, user) == (package, mailbox), user
    assert {row["account"] for row in site.rows("usage")} == {"example.com", "fields.example"}


def test_users_from_a_passwd_file(folder, server_factory):
    line = block_after("packages.md", "## Accounts from the userdb")
    os.mkdir(folder + "/mail")
    os.chown(folder + "/mail", 5000, 5000)
    with open(folder + "/users", "w", encoding="ascii") as file:
        file.write(line.replace("/srv/mail", folder + "/mail"))
    text = {"2.3": "userdb {\n  driver = passwd-file\n  args = username_format=%%u %s\n}\n",
            "2.4": "userdb passwd-file {\n  passwd_file_path = %s\n  auth_username_format = %%{user}\n}\n"}[SERIES] % file.name
    site = Hosting(server_factory, "maildir", POLICY, userdb_text=text)
    site.await_service()
    assert limits(site, "own@example.com") == (200, 0)


def test_settings(server_factory, tmp_path):
    """Of each series: what is in the file is taken by Dovecot, beside what every server has."""
    site = Hosting(server_factory, "maildir", POLICY)
    server = site.server
    with open(server.config_file, encoding="utf-8") as file:
        head, rest = file.read().replace(server.config.extra, "").split("protocols", 1)  # 2.4 wants its versions first
    blocks = [block_after("packages.md", "**Dovecot %s**" % SERIES), block_after("packages.md", "**Both**"),
              block_after("packages.md", "## Metrics")]
    text = "\n".join(blocks)
    if SERIES == "2.4":
        text = text.replace("= $default_internal_user", "= $SET:default_internal_user")
    example = tmp_path / "dovecot.conf"
    example.write_text("%s%s\nprotocols%s" % (head, text, rest))
    server.allow_log("Global setting mail_plugins won't change")  # the test's own list follows
    shown = server.run("doveconf", "-c", str(example), "-n").text
    for wanted in ("service hosting-usage", "service hosting-recount", "service hosting-webmeter", "service quota-status",
                   "hosting-mailbox", "quota_status_overquota", "metric hosting_refused"):
        assert wanted in shown, wanted


@pytest.fixture
def directory(folder):
    os.mkdir(folder + "/mail")
    os.chown(folder + "/mail", 5000, 5000)
    made = Directory(folder, ATTRIBUTES, [
        {"mail": user, "homeDirectory": "%s/mail/%s" % (folder, user), **dict(zip(ATTRIBUTES, values))} for user, *values, _, _ in USERS])
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_users_from_ldap(folder, directory, server_factory):
    text = block_after("packages.md", "**LDAP, Dovecot %s**" % SERIES)
    if SERIES == "2.3":
        with open(folder + "/dovecot-ldap.conf.ext", "w", encoding="ascii") as file:
            file.write("hosts = 127.0.0.1:%d\nbase = dc=example\nuser_filter = (&(objectClass=posixAccount)(mail=%%u))\n%s" % (
                directory.port.number, text))
        text = "userdb {\n  driver = ldap\n  args = %s\n}\n" % file.name
    else:
        text = "ldap_uris = ldap://127.0.0.1:%d\nldap_base = dc=example\n%s" % (directory.port.number, text)
    site = Hosting(server_factory, "maildir", POLICY, userdb_text=text)
    site.await_service()
    for user, *_, package, mailbox in USERS:
        assert limits(site, user) == (package, mailbox), user
    assert {row["account"] for row in site.rows("usage")} == {"example.com", "fields.example"}
