"""The steps of packaging/demo, through the clients and servers that the integration tests use."""

import argparse
import hashlib
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "integration"))

from support.disk import allocated, remove_files  # noqa: E402
from support.messages import corpus_messages, own_messages  # noqa: E402
from support.server import HOST, Server  # noqa: E402
from support.wire import Imap, Lmtp, Pop3  # noqa: E402

USERS = ["alice", "bob", "carol", "dave"]
MIGRATED = "erin"
FREEING_TIMEOUT = 30  # seconds


def step(text):
    print("-- " + text, flush=True)


def check(condition, text):
    if not condition:
        raise SystemExit("packaging/demo: FAILED: " + text)


class Mailboxes:
    """What the demo does with one server, and what it measures."""

    def __init__(self, server, messages):
        self.server = server
        self.messages = {user: messages[number::len(USERS)] for number, user in enumerate(USERS)}

    def imap(self, user):
        return Imap(port=self.server.imap_port, user=user, password=self.server.password(user))

    def pop3(self, user):
        return Pop3(port=self.server.pop3_port, user=user, password=self.server.password(user))

    def deliver(self):
        """Delivers everything, one message at a time; returns seconds."""
        started = time.monotonic()
        with Lmtp(port=self.server.lmtp_port) as lmtp:
            for user, messages in self.messages.items():
                for _name, data in messages:
                    lmtp.deliver(user, sent(data), sender="sender@example.com")
        return time.monotonic() - started

    def compare_imap(self):
        started = time.monotonic()
        for user, messages in self.messages.items():
            with self.imap(user) as imap:
                check(imap.select(read_only=True)[b"EXISTS"] == len(messages), user + "'s count by IMAP")
                for uid, (name, data) in enumerate(messages, 1):
                    body = imap.fetch(str(uid), "BODY.PEEK[]")[uid][b"BODY[]"]
                    # IMAP has no NUL; Dovecot sends 0x80 in its place.
                    check_delivered(literal(body), sent(data).replace(b"\0", b"\x80"), name, "IMAP")
        return time.monotonic() - started

    def compare_pop3(self):
        started = time.monotonic()
        for user, messages in self.messages.items():
            with self.pop3(user) as pop3:
                check(pop3.stat()[0] == len(messages), user + "'s count by POP3")
                for number, (name, data) in enumerate(messages, 1):
                    check_delivered(pop3.retr(number), sent(data), name, "POP3")
        return time.monotonic() - started

    def disk(self):
        """Bytes of disk that the users' mail takes, index files included."""
        return sum(allocated(self.server.user_home(user))[0] for user in USERS)

    def state(self, user):
        """What a client may rely on: UIDVALIDITY, and for each message UID, flags and content."""
        with self.imap(user) as imap:
            selected = imap.select(read_only=True)
            found = imap.fetch("1:*", "(UID FLAGS INTERNALDATE)")
            for uid, items in found.items():
                items[b"FLAGS"] = frozenset(re.findall(rb"[^() ]+", items[b"FLAGS"])) - {b"\\Recent"}
                body = literal(imap.fetch(str(uid), "BODY.PEEK[]")[uid][b"BODY[]"])
                items[b"BODY[]"] = hashlib.sha256(canonical(body)).digest()
            return selected[b"UIDVALIDITY"], selected[b"UIDNEXT"], found

    def mark_some(self, user):
        """Gives messages flags and a keyword, so that there is more than defaults to keep."""
        with self.imap(user) as imap:
            exists = imap.select()[b"EXISTS"]
            for every, flag in ((2, "\\Seen"), (3, "\\Flagged"), (5, "$Important")):
                imap.ok("STORE %s +FLAGS (%s)" % (",".join(map(str, range(1, exists + 1, every))), flag))

    def delete_half(self):
        deleted = 0
        for user in USERS:
            with self.imap(user) as imap:
                exists = imap.select()[b"EXISTS"]
                half = range(1, exists + 1, 2)
                imap.ok("STORE %s +FLAGS (\\Deleted)" % ",".join(map(str, half)))
                imap.ok("EXPUNGE")
                deleted += len(half)
        return deleted

    def delete_index_files(self, users):
        """Deletes them once no process has them open, and returns how many there were."""
        self.server.await_no_sessions()
        return sum(remove_files(self.server.user_home(user)) for user in users)


def literal(value):
    """The content of a literal or quoted string in an IMAP answer."""
    if value.startswith((b"{", b"~{")):
        return value.split(b"\r\n", 1)[1]
    check(value[:1] == value[-1:] == b'"', "a string in an IMAP answer: %r" % value[:40])
    return re.sub(rb"\\(.)", rb"\1", value[1:-1])


def canonical(message):
    """With CRLF line ends, as mail travels. A CR that stands before a line end belongs to it: stores
    with LF inside, Dovecot's own, give it back as one."""
    return re.sub(rb"\r*\n", b"\r\n", message)


def sent(message):
    """A message as an MTA sends it by LMTP: every line ends with CRLF, the last one too."""
    return canonical(message + b"\r\n" if message and not message.endswith(b"\n") else message)


def check_delivered(stored, message, name, how):
    """Delivery puts header lines in front; the rest is the message to the byte."""
    stored = canonical(stored)
    added = stored[:len(stored) - len(message)]
    check(stored.endswith(message) and re.match(rb"((Return-Path|Delivered-To|Received|X-[\w-]+): .*\r\n([ \t].*\r\n)*)*\Z",
                                                 added, re.I), "%s read by %s differs from what was sent" % (name, how))


def check_same(before, after, what):
    """Compares two states of a mailbox, as Mailboxes.state() gives them."""
    for name, old, new in zip(("UIDVALIDITY", "UIDNEXT", "UIDs"), before, after):
        if isinstance(old, dict):
            for uid, items in old.items():
                check(new.get(uid) == items, "%s changed UID %d: %r is now %r" % (
                    what, uid, items, new.get(uid)))
            old, new = sorted(old), sorted(new)
        check(new == old, "%s changed %s from %r to %r" % (what, name, old, new))


def mib(size):
    return "%.1f MiB" % (size / 2**20)


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  " + row[0].ljust(widths[0]) + "".join(
            "  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:])))
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


class Demo:
    """The steps, on a server with the driver shown and one with Maildir beside it."""

    def __init__(self, driver, server, reference):
        self.driver = driver
        self.messages = own_messages() + corpus_messages()
        self.shown = Mailboxes(server, self.messages)
        self.maildir = Mailboxes(reference, self.messages)
        self.rows = [["", driver, "Maildir"]]

    def both(self, name, measure, show="{:.1f} s".format):
        """Runs a step on both servers and keeps the two figures for the table."""
        figures = measure(self.shown), measure(self.maildir)
        self.rows.append([name] + [show(figure) for figure in figures])
        return figures

    def deliver_and_read(self):
        logical = sum(len(sent(data)) for _, data in self.messages)
        step("delivering %d messages (%s) to %d users by LMTP, to %s and to Maildir" % (
            len(self.messages), mib(logical), len(USERS), self.driver))
        self.both("delivered by LMTP in", Mailboxes.deliver)
        step("reading all of them back by IMAP and by POP3, comparing every byte")
        self.both("read by IMAP in", Mailboxes.compare_imap)
        self.both("read by POP3 in", Mailboxes.compare_pop3)
        self.both("disk", Mailboxes.disk, mib)

    def migrate(self):
        step("migrating %s's Maildir to %s in %s by doveadm backup" % (USERS[0], MIGRATED, self.driver))
        self.maildir.mark_some(USERS[0])
        before = self.maildir.state(USERS[0])
        self.shown.server.doveadm("backup", "-R", "maildir:" + self.maildir.server.mail_root(USERS[0]),
                                  user=MIGRATED)
        check_same(before, self.shown.state(MIGRATED), "migration")
        step("   %d messages with the UIDVALIDITY, UIDs, flags, keywords, dates and bytes they had" %
             len(before[2]))

    def lose_index_files(self):
        step("deleting every dovecot.index* and dovecot.list.index* file")
        everyone = USERS + [MIGRATED]
        for user in USERS:
            self.shown.mark_some(user)
        before = [self.shown.state(user) for user in everyone]
        count = self.shown.delete_index_files(everyone)
        check(count > 0, "there were no index files")
        for user, state in zip(everyone, before):
            check_same(state, self.shown.state(user), "deleting %s's index files" % user)
        step("   %d files; the next login found all %d messages, with their UIDs, flags and bytes" % (
            count, sum(len(state[2]) for state in before)))

    def delete_half(self):
        step("deleting every other message by IMAP")
        full = self.shown.disk()
        deleted, _ = self.both("deleted", Mailboxes.delete_half, str)
        check(deleted * 2 >= len(self.messages), "half of the mail was to be deleted")
        if self.driver == "lbox":
            self.await_freed(full)
        self.both("disk then", Mailboxes.disk, mib)

    def await_freed(self, full):
        """At least half of what the deleted messages' share was is to be free soon."""
        sizes = [len(data) for messages in self.shown.messages.values() for _, data in messages[0::2]]
        share = sum(sizes) / sum(len(data) for _, data in self.messages)
        started = time.monotonic()
        while self.shown.disk() > full * (1 - share / 2):
            check(time.monotonic() - started < FREEING_TIMEOUT,
                  "%s of %s still taken %d s after %d %% of the bytes were deleted" % (
                      mib(self.shown.disk()), mib(full), FREEING_TIMEOUT, 100 * share))
            time.sleep(0.1)
        step("   %d %% of the bytes deleted, %s of %s free after %.1f s" % (
            100 * share, mib(full - self.shown.disk()), mib(full), time.monotonic() - started))

    def run(self):
        self.deliver_and_read()
        self.migrate()
        if self.driver == "lbox":  # the others have their index files as truth in part
            self.lose_index_files()
        self.delete_half()
        # Dovecot says so when it rebuilds the list of mailboxes, as it has to without its index files.
        self.shown.server.allow_log(r"Warning: Mailbox list rescan found \d+ lost mailboxes")
        for mailboxes in (self.shown, self.maildir):
            mailboxes.server.assert_log_clean()
        print()
        print_table(self.rows)


def main():
    parser = argparse.ArgumentParser(prog="packaging/demo")
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    parser.add_argument("--driver", default="lbox", choices=["lbox", "maildir", "sdbox", "mdbox"])
    arguments = parser.parse_args()
    with Server(driver=arguments.driver) as server:
        with Server(driver="maildir") as reference:
            step("Dovecot %s with %s in %s" % (server.series, arguments.driver, server.base))
            Demo(arguments.driver, server, reference).run()
        print("\nAll messages came back as they were sent.")
        if arguments.keep:
            server.detach()
            print("""
The server goes on:
  IMAP  {host} port {server.imap_port}
  POP3  {host} port {server.pop3_port}
  LMTP  {host} port {server.lmtp_port}
  user  {user} (or {others}), password {password}; no TLS
Its files, log and configuration are in {server.base}. To end it:
  doveadm -c {server.config_file} stop && rm -r {server.base}""".format(
                host=HOST, server=server, user=USERS[0], others=", ".join(USERS[1:] + [MIGRATED]),
                password=server.password(USERS[0])))


if __name__ == "__main__":
    main()
