"""The configurations of packaging/conf/examples on a host of their own (host.py)."""

import contextlib
import os
import re
import sqlite3
import subprocess

from .host_mail import PASSWORD
from .server import REPO, SERIES

EXAMPLES = os.path.join(REPO, "packaging", "conf", "examples")
USER = "ann@example.com"
VMAIL = 5000
SQL_FILE = "sql-virtual.sql.conf.ext" if SERIES == "2.3" else "sql-virtual.conf"  # the one that has the table
ON_MAILDIR = ("maildir:~/Maildir",) if SERIES == "2.3" else ("maildir", "~/Maildir")  # what the table says of a user who has not been moved
ON_LBOX = (None,) * len(ON_MAILDIR)


def example(name):
    with open(os.path.join(EXAMPLES, SERIES, name), encoding="utf-8") as file:
        return file.read()


def configure(host, whole, *beside):
    """/etc/dovecot with one whole configuration, and others in conf.d."""
    host.certificate()
    host.write("/etc/dovecot/dovecot.conf", example(whole + ".conf") + "!include_try conf.d/*.conf\n")
    for name in beside:
        host.write("/etc/dovecot/conf.d/90-%s.conf" % name, example(name + ".conf"))
    if whole == "sql-virtual" and SERIES == "2.3":
        host.write("/etc/dovecot/dovecot-sql.conf.ext", example(SQL_FILE))
    for name, uid in (("postfix", 6011), ("Debian-exim", 6010)):
        host.add_user(name, uid, "/nonexistent")
    os.makedirs(host.path("/var/spool/postfix/private"))


def vmail(host):
    host.add_user("vmail", VMAIL, "/srv/mail")
    os.mkdir(host.path("/srv/mail"), 0o750)
    os.chown(host.path("/srv/mail"), VMAIL, VMAIL)


def table():
    """What the example tells one to make."""
    return re.search(r"CREATE TABLE.*?\);", example(SQL_FILE).replace("\n#", "\n"), re.DOTALL).group(0)


def crypted():
    """PASSWORD as the table has it."""
    hashed = subprocess.run(["doveadm", "-c", "/dev/null", "pw", "-s", "SHA512-CRYPT", "-p", PASSWORD], capture_output=True, text=True, check=False)
    return hashed.stdout.strip() or "{PLAIN}" + PASSWORD


def in_sqlite(host, *rows):
    """Virtual users. rows: user and what follows the password."""
    vmail(host)
    with contextlib.closing(sqlite3.connect(host.path("/etc/dovecot/users.sqlite"))) as database:
        database.execute(table())
        for user, *rest in rows:
            database.execute("INSERT INTO mailbox VALUES (%s)" % ", ".join("?" * (2 + len(rest))), (user, crypted(), *rest))
        database.commit()
    os.chmod(host.path("/etc/dovecot/users.sqlite"), 0o644)


def use_postgresql(host):
    """The lines of the example that are for PostgreSQL in place of SQLite's."""
    name = "/etc/dovecot/" + ("dovecot-sql.conf.ext" if SERIES == "2.3" else "dovecot.conf")
    text = host.read(name)
    sqlite = re.search(r"^(sql_)?driver = sqlite\n.*users\.sqlite\n", text, re.MULTILINE).group(0)
    lines = re.search(r"^#(sql_)?driver = pgsql(.*\n#)+?(?=(sql_)?driver = mysql)", text, re.MULTILINE).group(0)
    changed = text.replace(sqlite, "").replace(lines, re.sub(r"^#", "", lines, flags=re.MULTILINE) + "#")
    assert "\n#driver = mysql" in changed or "\n#sql_driver = mysql" in changed
    host.write(name, changed)
