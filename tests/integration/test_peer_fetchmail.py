"""fetchmail takes mail from lbox by POP3."""

import os
import re

from support.messages import normal_messages, own_messages
from support.migrating import courier_maildir, location
from support.peers import Fetchmail
from support.wire import Imap, Pop3, string

DRIVER = os.environ.get("LBOX_TEST_DRIVER", "lbox")


def as_fetched(message):
    """Messages as fetchmail hands them on: LF, and Return-Path is the envelope's, not the message's."""
    return re.sub(rb"^Return-Path:.*\n", b"", message.replace(b"\r\n", b"\n"), flags=re.M)


def stored(server, user):
    """What IMAP says is in INBOX, as fetchmail would hand it on, sorted."""
    with Imap(port=server.imap_port, user=user, password=server.password(user)) as imap:
        state = imap.select("INBOX", read_only=True)
        answers = imap.fetch("1:*", "BODY.PEEK[]") if state[b"EXISTS"] else {}
    return sorted(as_fetched(string(items[b"BODY[]"])) for items in answers.values())


def fetch(fetchmail):
    return sorted(map(as_fetched, fetchmail.run()))


def ordinary():
    """Own messages as clients write them, of many sizes and structures."""
    return [data for name, data in own_messages() if name.startswith("ok-") and len(data) < 300_000][::4]


def deliver(server, user, messages):
    with server.lmtp() as lmtp:
        for data in messages:
            lmtp.sendmail("sender@example.com", [user], data)


def test_without_keep(server_factory):
    server = server_factory(driver=DRIVER)
    deliver(server, "alice", ordinary())
    deliver(server, "bob", normal_messages(3, seed=31))
    everything, others = stored(server, "alice"), stored(server, "bob")
    assert len(everything) > 25
    fetchmail = Fetchmail(server.base, server, "alice", keep=False)
    assert fetch(fetchmail) == everything
    assert stored(server, "alice") == []
    assert fetch(fetchmail) == []
    deliver(server, "alice", normal_messages(2, seed=32))
    new = stored(server, "alice")
    assert len(new) == 2 and fetch(fetchmail) == new
    assert stored(server, "alice") == [] and stored(server, "bob") == others


def test_with_keep(server_factory):
    server = server_factory(driver=DRIVER)
    deliver(server, "alice", ordinary())
    everything = stored(server, "alice")
    fetchmail = Fetchmail(server.base, server, "alice", keep=True)
    assert fetch(fetchmail) == everything
    assert fetch(fetchmail) == []
    assert stored(server, "alice") == everything

    deliver(server, "alice", normal_messages(4, seed=33))
    with Pop3(port=server.pop3_port, user="alice", password=server.password("alice")) as pop3:
        pop3.dele(3)  # numbers shift, UIDLs do not
    new = fetch(fetchmail)
    assert len(new) == 4 and not set(new) & set(everything)
    server.restart()
    assert fetch(fetchmail) == []


def test_nothing_twice_after_migration(server_factory):
    """From Maildirs to lbox and back, among them one with UIDLs of a server that was there before."""
    maildir = server_factory(driver="maildir")
    server = server_factory(driver=DRIVER)
    home = maildir.user_home("courier")
    os.mkdir(home)
    os.chown(home, maildir.config.mail_uid, maildir.config.mail_uid)
    courier_maildir(maildir.mail_root("courier"), normal_messages(9, seed=34), maildir.config.mail_uid)
    deliver(maildir, "usual", normal_messages(7, seed=35))
    for user, count in (("courier", 9), ("usual", 7)):
        assert len(Fetchmail(maildir.base, maildir, user, keep=True, state=user).run()) == count

        server.doveadm("backup", "-R", *location(server.series, "maildir", maildir.mail_root(user)), user=user)
        moved = Fetchmail(maildir.base, server, user, keep=True, state=user)
        assert moved.run() == []
        deliver(server, user, normal_messages(2, seed=user))
        assert len(moved.run()) == 2

        server.doveadm("backup", *location(server.series, "maildir", maildir.mail_root(user)), user=user)
        returned = Fetchmail(maildir.base, maildir, user, keep=True, state=user)
        assert returned.run() == []
        assert stored(maildir, user) == stored(server, user)
        assert len(Fetchmail(maildir.base, maildir, user, keep=True, state="fresh-" + user).run()) == count + 2  # the control
