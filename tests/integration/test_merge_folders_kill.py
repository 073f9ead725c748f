"""merge-folders killed at any point and run again: nothing is lost, nothing there twice.

Longer: LBOX_MERGE_ROUNDS=20 ... pytest -s test_merge_folders_kill.py
"""
# ctest: timeout=300 labels=quota

import collections
import os
import pathlib
import random
import subprocess
import time

import pytest

from support.hosting import Hosting
from support.messages import normal_messages
from support.tools import fill_store

ROUNDS = int(os.environ.get("LBOX_MERGE_ROUNDS", "1"))
FIRST, GROWTH = 0.05, 1.3  # s that the first run has at most, too few for any machine; how that grows with each kill
POLICY = """
[package.pop]
imap = "deny"
[account.pop]
package = "pop"
domains = ["pop.example"]
"""
FOLDERS, EACH, INBOX = 2, 250, 5  # batches are of 200


def fill_maildir(server, user):
    root, owner = server.mail_root(user), server.config.mail_uid
    data = normal_messages(1, seed=1)[0].replace(b"\r\n", b"\n")
    for folder, count in [("", INBOX)] + [("/.Box%d" % n, EACH) for n in range(FOLDERS)]:
        for part in ("cur", "new", "tmp"):
            os.makedirs(root + folder + "/" + part)
        for n in range(count):
            with open("%s%s/cur/17000%05d.M%dP1%s.host:2,S" % (root, folder, n, n, folder.replace("/.", "")), "wb") as file:
                file.write(b"X-Number: %d of %s\n" % (n, folder.encode() or b"INBOX") + data)
    for path, _, files in os.walk(server.user_home(user)):
        for entry in [path] + [os.path.join(path, name) for name in files]:
            os.chown(entry, owner, owner)


def messages(site, user):
    """How often each message is where: {what it is: [mailbox, ...]}."""
    field = "guid" if site.server.config.driver == "lbox" else "hdr.x-number"
    found = collections.defaultdict(list)
    for line in site.doveadm("-f", "tab", "fetch", "-u", user, field + " mailbox", "all").text.splitlines()[1:]:
        name, mailbox = line.split("\t")
        found[name].append(mailbox)
    return found


def remove_abandoned_locks(root):
    """Maildir's lock outlives the process that took it by two minutes, which are not waited for here. A recount's own is gone sooner."""
    for lock in pathlib.Path(root).rglob("dovecot-uidlist.lock"):
        try:
            inode, deadline = lock.stat().st_ino, time.monotonic() + 5
            while time.monotonic() < deadline and lock.stat().st_ino == inode:
                time.sleep(0.05)
            if lock.stat().st_ino == inode:
                lock.unlink()
        except FileNotFoundError:
            pass


def merge(site, user, seconds):
    """Returns whether it was done by then."""
    process = subprocess.Popen([*site.server._beside(), "doveadm", "-c", site.server.config_file, "hosting", "merge-folders", user],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait() == 0


@pytest.mark.parametrize("driver", ["lbox", "maildir"])
def test_killed_and_run_again(server_factory, driver):
    site = Hosting(server_factory, driver, POLICY)
    site.server.allow_log("recount", "hosting-usage")
    killed = 0
    for number in range(ROUNDS):
        user = "ann%d@pop.example" % number
        if driver == "lbox":
            fill_store(site.server, user, FOLDERS, EACH, INBOX)
        else:
            fill_maildir(site.server, user)
        before = messages(site, user)
        assert len(before) == FOLDERS * EACH + INBOX
        seconds = FIRST
        while not merge(site, user, seconds * random.random()):
            killed += 1
            seconds *= GROWTH
            remove_abandoned_locks(site.server.mail_root(user))
        assert messages(site, user) == {name: ["INBOX"] for name in before}
    assert killed
    print("killed %d times" % killed)
