"""A PostgreSQL on a host of its own (host.py): its socket is that host's /run/postgresql, users are known by their uids (peer).

    with Postgres(host) as database:
        database.run("CREATE TABLE ...")
"""

import glob
import os
import signal
import subprocess

from .beside import until
from .processes import kill

OWNER = "postgres"  # the package's system user
PEERS = "local all postgres peer\nlocal mail dovecot peer map=dovecots\nlocal mail mailadmin peer map=admins\n"
# Nothing of it has to outlive the test.
OPTIONS = {"listen_addresses": "", "unix_socket_directories": "/run/postgresql", "fsync": "off", "shared_buffers": "16MB", "max_connections": "20",
           "jit": "off", "autovacuum": "off"}


class Postgres:
    """A database `mail` with a role for Dovecot, whose auth-worker is root, and one, mailadmin, that root may take."""

    def __init__(self, host):
        self.host, self._process = host, None
        self._data = "/var/lib/dovecot/postgresql"  # the host's own
        self._programs = max(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))

    def __enter__(self):
        for folder in ("/run/postgresql", self._data):
            os.mkdir(self.host.path(folder))
            self.host.run("chown", OWNER, folder)
        self._as_owner("initdb", "-D", self._data, "--no-sync", "--no-locale", "--encoding=UTF8", "--auth=peer")
        self.host.write(self._data + "/pg_hba.conf", PEERS)
        self.host.write(self._data + "/pg_ident.conf", "admins root mailadmin\ndovecots dovecot dovecot\ndovecots root dovecot\n")
        self.start()
        try:
            self._sql("postgres", "CREATE DATABASE mail; CREATE ROLE dovecot LOGIN; CREATE ROLE mailadmin LOGIN")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        options = [word for pair in OPTIONS.items() for word in ("-c", "%s=%s" % pair)]
        with open(self.host.base + "/postgres.log", "ab") as log:
            self._process = subprocess.Popen(self.host._inside(*self._owned("postgres", "-D", self._data, *options)),
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: self.host.run(*self._owned("pg_isready", "-q", "-h", "/run/postgresql"), check=False).code == 0 or self._process.poll() is not None,
              "PostgreSQL does not answer")
        assert self._process.poll() is None, self.log_text()

    def stop(self):
        """At once, sessions or not."""
        if self._process is not None:
            with open("/proc/%d/task/%d/children" % (self._process.pid, self._process.pid), encoding="ascii") as file:
                kill([int(pid) for pid in file.read().split()], signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def _owned(self, program, *arguments):
        return ["setpriv", "--reuid", OWNER, "--regid", OWNER, "--clear-groups", "%s/%s" % (self._programs, program), *arguments]

    def _as_owner(self, program, *arguments, **options):
        return self.host.run(*self._owned(program, *arguments), **options)

    def _sql(self, database, text):
        lines = ["%s;\n" % one for one in text.split("; ")]  # CREATE DATABASE wants to be alone
        return self._as_owner("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", "/run/postgresql", database, input="".join(lines).encode()).text

    def run(self, text):
        """SQL as the database's owner; rows as lines with "|"."""
        return self._as_owner("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", "/run/postgresql", "mail", input=text.encode()).text

    def log_text(self):
        with open(self.host.base + "/postgres.log", encoding="utf-8", errors="replace") as file:
            return file.read()
