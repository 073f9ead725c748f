"""Figures are exact after random work by several sessions, with mail processes and the service killed on the way.

The longer run: LBOX_QUOTA_ROUNDS=200 LBOX_QUOTA_SEED=... pytest -s test_quota_exact.py
"""
# ctest: timeout=600 labels=quota

import os
import random
import time

import pytest

from support.beside import file_of, imap, lmtp, message, pop3
from support.hosting import Hosting, mail_bytes

KB = 1024
USERS = ["ann@example.com", "bob@example.com"]
BOXES = ["INBOX", "Work", "Old", "Sub/Deep"]
ROUNDS = int(os.environ.get("LBOX_QUOTA_ROUNDS", "3"))
STEPS = 25
POLICY = """
[package.p]
limit = "%s"
[account."example.com"]
package = "p"
domains = ["example.com"]
"""


class Work:
    """One step at a time, of every kind that changes how much mail there is; refusals and lost connections are part of it."""

    def __init__(self, site, seed):
        self.site = site
        self.random = random.Random(seed)
        self.number = 0

    def step(self):
        user = self.random.choice(USERS)
        kind = self.random.choice([self.deliver] * 4 + [self.append] * 3 + [self.copy, self.move, self.expunge, self.expunge,
                                                                          self.rename, self.delete, self.pop, self.many])
        try:
            kind(user)
        except (OSError, EOFError, AssertionError) as problem:
            if isinstance(problem, AssertionError) and "closed" not in str(problem) and "NO [" not in str(problem):
                raise

    def message(self):
        self.number += 1
        return message("n%d" % self.number, size=self.random.choice([700, 2000, 9000, 30000]) + self.random.randrange(500))

    def deliver(self, user):
        with lmtp(self.site.server) as delivery:
            delivery.try_deliver([user] if self.random.random() < 0.7 else USERS, self.message())

    def session(self, user):
        return imap(self.site.server, user)

    def box(self):
        return self.random.choice(BOXES)

    def append(self, user):
        with self.session(user) as session:
            box = self.box()
            session.command("CREATE %s" % box)
            for _ in range(self.random.randrange(1, 4)):
                session.append(box, self.message())

    def selected(self, session):
        """Selects a mailbox with mail in it; returns how many there are."""
        for box in self.random.sample(BOXES, len(BOXES)):
            if session.command("SELECT %s" % box).ok:
                count = len(session.search("ALL"))
                if count:
                    return count
        return 0

    def some(self, count):
        first = self.random.randrange(1, count + 1)
        return "%d:%d" % (first, min(count, first + self.random.randrange(4)))

    def copy(self, user):
        with self.session(user) as session:
            count = self.selected(session)
            if count:
                session.command("COPY %s %s" % (self.some(count), self.box()))

    def move(self, user):
        with self.session(user) as session:
            count = self.selected(session)
            if count:
                session.command("MOVE %s %s" % (self.some(count), self.box()))

    def expunge(self, user):
        with self.session(user) as session:
            count = self.selected(session)
            if count:
                session.command("STORE %s +FLAGS (\\Deleted)" % self.some(count))
                session.command("EXPUNGE")

    def rename(self, user):
        with self.session(user) as session:
            old, new = self.random.sample(BOXES[1:], 2)
            session.command("RENAME %s %s" % (old, new))

    def delete(self, user):
        with self.session(user) as session:
            session.command("DELETE %s" % self.random.choice(BOXES[1:]))

    def pop(self, user):
        with pop3(self.site.server, user) as client:
            count = client.stat()[0]
            for number in range(1, min(count, 2) + 1):
                client.dele(number)

    def many(self, user):
        """Kills somebody while appending."""
        session = self.session(user)
        tags = [session.send_append("INBOX", self.message()) for _ in range(6)]
        session.wait(tags[0])
        victim = self.random.choice(["imap", "hosting-usage", "neither"])
        if victim == "imap":
            self.site.server.kill_mail_processes()
        elif victim == "hosting-usage":
            self.site.kill()
        else:
            for tag in tags[1:]:
                session.wait(tag)
        session.close()


def check(site, seed, timeout=60):
    site.await_service()
    for user in USERS:
        wanted = mail_bytes(site.server, user)
        # A user whose session was killed is counted again once the service has noticed.
        site.await_usage("example.com", lambda u: u.of("mail", user) == wanted,
                         "seed %d: %s is not at %d" % (seed, user, wanted), timeout=timeout)
    usage = site.usage("example.com")
    site.doveadm("hosting", "recalc", "example.com")
    again = site.await_usage("example.com", lambda u: all(
        u.sources["mail", user]["stale"] == "no" for user in USERS if ("mail", user) in u.sources))
    assert (again.total, again.mail) == (usage.total, usage.mail), seed


@pytest.mark.parametrize("driver", ["lbox", "maildir"])
def test_figures_are_exact_after_random_work(server_factory, driver):
    seed = int(os.environ.get("LBOX_QUOTA_SEED", "1"))
    site = Hosting(server_factory, driver, POLICY % "400k", timeout="50ms")
    site.server.allow_log(r"hosting-usage", r"killed with signal 9", r"Connection (lost|closed)", r"Disconnected")
    site.await_service()
    started = time.monotonic()
    for turn in range(ROUNDS):
        work = Work(site, seed + turn)
        for _ in range(STEPS):
            work.step()
        check(site, seed + turn)
    print("%d rounds in %.0f s" % (ROUNDS, time.monotonic() - started))


def test_what_the_service_does_not_know_is_seen(server_factory):
    """The control: a message that came behind Dovecot's back is in no figure until it is counted."""
    site = Hosting(server_factory, "maildir", POLICY % "400k")
    site.await_service()
    for user in USERS:
        with imap(site.server, user) as session:
            session.append("INBOX", message("known", size=3 * KB)).expect_ok()
    check(site, 0)
    file_of(site.server, USERS[0], "Maildir/new/1.unknown.host", message("unknown", size=2 * KB))
    with pytest.raises(AssertionError, match="is not at"):
        check(site, 0, timeout=2)
    site.doveadm("hosting", "recalc", USERS[0])
    check(site, 0)
