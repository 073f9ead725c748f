"""A server whose users' storages the userdb names, and doveadm lbox migrate run beside it."""

import json
import os
import subprocess
import time

from .server import REPO

PLACES = {"maildir": "maildir:~/Maildir", "sdbox": "sdbox:~/sdbox", "mdbox": "mdbox:~/mdbox", "lbox": "lbox:~/lbox"}

HOOK = """#!/bin/sh
set -eu
{before}
LBOX_PASSWD_FILE={base}/userdb {repo}/packaging/migrate-hook-passwd "$@"
{after}
"""


def fields(server_series, driver):
    place = PLACES[driver]
    if server_series == "2.3":
        return {"mail": place}
    return {"mail_driver": driver, "mail_path": place.partition(":")[2]}


class Moving:
    """The users of one server, and their way between storages."""

    def __init__(self, factory, series, users, driver="maildir", uids=None, **options):
        """uids: those of users that have one of their own."""
        self.users, self.driver = users, driver
        own = {user: {"uid": uid, "gid": uid} for user, uid in (uids or {}).items()}
        self.server = factory(driver=driver, lbox=True, in_place=True,
                              userdb={user: {**own.get(user, {}), **fields(series, driver)} for user in users}, **options)
        self.state = self.server.base + "/migrate"

    def hook(self, before="", after=""):
        path = self.server.base + "/hook"
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(HOOK.format(base=self.server.base, repo=REPO, before=before, after=after))
        os.chmod(path + ".new", 0o755)
        os.rename(path + ".new", path)
        return path

    def command(self, *arguments, users=None, hook=None):
        who = ["-A"] if users is None else ["-u", users] if isinstance(users, str) else ["-F", self._file(users)]
        return ["doveadm", "-c", self.server.config_file, "-f", "json", "lbox", "migrate", *who, "--from", PLACES[self.driver],
                "--hook", hook or self.hook(), "--state", self.state, *arguments]

    def _file(self, users):
        path = self.server.base + "/users"
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(user + "\n" for user in users)
        return path

    def run(self, *arguments, check=True, **options):
        """({user: row of the report}, what was told on stderr)"""
        done = self.server.run(*self.command(*arguments, **options), check=False)
        rows = {row["user"]: row for row in json.loads(done.out or b"[]")}
        assert not check or done.code == 0, (rows, done.err)
        return rows, done

    def start(self, *arguments, **options):
        """The same as a process that goes on."""
        return subprocess.Popen([*self.server._beside(), *self.command(*arguments, **options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def driver_of(self, user):
        """By what the userdb says."""
        with open(self.server.base + "/userdb", encoding="ascii") as file:
            line = next(line for line in file if line.startswith(user + ":"))
        return "lbox" if "lbox:" in line or "driver=lbox" in line else self.driver

    def gate(self, user):
        try:
            with open(self.server.user_home(user) + "/.lbox-migrate", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def state_of(self, user):
        try:
            with open("%s/%s.state" % (self.state, user), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""


def await_true(condition, timeout=60, step=0.01):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(step)
