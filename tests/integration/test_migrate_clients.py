"""What clients see of doveadm lbox migrate, there and back, with mail arriving in between: POP3 clients download nothing twice, IMAP clients keep
their caches, LIST, LSUB and Sieve's folders are as before. With users of a uid each, and with one uid for all.

With $LBOX_MIGRATE_ROUNDS also from mdbox and sdbox."""
# ctest: timeout=300

import os
import re

import pytest

from support.moving import Moving, await_true
from support.peers import Fetchmail, Mbsync, numbered_messages
from support.server import SERIES
from support.wire import Imap, WireError

UID = 5101
FOLDERS = ("INBOX", "INBOX.Lists.dev", "INBOX.Sent", "INBOX.Gr&APwA3w-e")


def deliver(server, user, messages):
    with server.lmtp() as lmtp:
        for data in messages:
            lmtp.sendmail("sender@example.com", [user], data)


def files(mbsync):
    return {os.path.join(path, name).partition(":2,")[0] for path, _, names in os.walk(mbsync.mail) if path.endswith(("/cur", "/new")) for name in names}


def connect(server, user):
    return Imap(port=server.imap_port, user=user, password=server.password(user))


@pytest.mark.parametrize("driver", ["maildir", "mdbox", "sdbox"] if os.environ.get("LBOX_MIGRATE_ROUNDS") else ["maildir"])
def test_nothing_twice(server_factory, driver):
    moving = Moving(server_factory, SERIES, ["fetch", "sync"], driver=driver)
    server, messages = moving.server, iter(numbered_messages(60, seed=51))
    deliver(server, "fetch", [next(messages) for _ in range(7)])
    fetchmail = Fetchmail(server.base, server, "fetch", keep=True)
    assert len(fetchmail.run()) == 7
    with connect(server, "sync") as imap:
        imap.ok("CREATE Lists/dev")
        for _ in range(6):
            imap.append("INBOX", next(messages), ("\\Seen",)).expect_ok()
            imap.append("Lists/dev", next(messages), ("\\Flagged",)).expect_ok()
    mbsync = Mbsync(server.base, server, "sync")
    mbsync.run()
    assert len(known := files(mbsync)) == 12

    for way in ([], ["--back"]):
        moving.run(*way, users=["fetch", "sync"])
        assert fetchmail.run() == []
        mbsync.run()
        assert files(mbsync) == known  # the names have mbsync's UIDs in them
        deliver(server, "fetch", [next(messages) for _ in range(2)])
        deliver(server, "sync", [next(messages)])
        assert len(fetchmail.run()) == 2
        mbsync.run()
        assert len(files(mbsync) - known) == 1 and known <= files(mbsync)
        known = files(mbsync)
    fresh = Fetchmail(server.base, server, "fetch", keep=True, state="fresh")
    assert len(fresh.run()) == 11  # the control


def test_names_and_system_users(server_factory):
    """Namespace prefix INBOX. with separator '.'; a uid of its own for the user; Sieve sorts into folders."""
    moving = Moving(server_factory, SERIES, ["sys"], uids={"sys": UID}, prefix="INBOX.", separator=".", sieve=True)
    server, home = moving.server, moving.server.user_home("sys")
    os.mkdir(home, 0o700)
    with open(home + "/.dovecot.sieve", "w", encoding="ascii") as file:
        file.write('require "fileinto";\nif header :contains "X-List" "dev" { fileinto "INBOX.Lists.dev"; }\n')
    for path in (home, home + "/.dovecot.sieve"):
        os.chown(path, UID, UID)
    listed = b"X-List: dev\r\nSubject: for the list\r\n\r\nhello\r\n"
    with connect(server, "sys") as imap:
        for name in FOLDERS[1:]:
            imap.ok('CREATE "%s"' % name)
        imap.ok("SUBSCRIBE INBOX.Lists.dev")
        imap.ok("SUBSCRIBE INBOX.Sent")
    deliver(server, "sys", [listed, b"Subject: plain\r\n\r\nhello\r\n"])

    def seen():
        """What IMAP shows of it all."""
        with connect(server, "sys") as imap:
            lists = [sorted(re.sub(rb" ?\\(Un)?Marked", b"", line, flags=re.I) for line in imap.ok(command + ' "" "*"').untagged)
                     for command in ("LIST", "LSUB")]
            messages = {}
            for name in FOLDERS:
                state = imap.select(name, read_only=True)
                messages[name] = state[b"UIDVALIDITY"], state[b"UIDNEXT"], imap.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])") if state[b"EXISTS"] else {}
            return lists, messages

    before = seen()
    for way, count in (([], 2), (["--back"], 3)):
        rows, _ = moving.run(*way, users="sys")
        assert rows["sys"]["messages"] == count
        assert seen() == before
        deliver(server, "sys", [listed])
        before = seen()
        assert len(before[1]["INBOX.Lists.dev"][2]) == count
    for path, _, found in os.walk(home):
        assert all(os.lstat(os.path.join(path, name)).st_uid == UID for name in found), path
    assert os.path.isdir(home + "/lbox/store")


def test_hibernated_session(server_factory):
    """It comes back with what the userdb said at its login: it is not let into the old storage. 2.3 does not even disconnect it when
    others are hibernated as well."""
    moving = Moving(server_factory, SERIES, ["idle", "other"], hibernate="1s")
    server = moving.server
    server.allow_log(r"lbox: temporary failure: ", r"imap-(master|hibernate).*", r"Killed with signal 15", r"Failed to connect to .*imap-hibernate")
    deliver(server, "idle", [b"Subject: 1\r\n\r\n1\r\n"])
    session, other = connect(server, "idle"), connect(server, "other")
    for one in (session, other):
        one.select("INBOX")
        one.send("IDLE")
    await_true(lambda: not server.pids("imap"))  # hibernated
    moving.run(users="idle")
    try:
        session._stream.send(b"DONE\r\n")
        session.append("INBOX", b"Subject: 2\r\n\r\n2\r\n").expect_ok()
        expected = 2
    except (WireError, OSError):
        expected = 1
    session.close()
    other.close()
    with connect(server, "idle") as imap:
        assert imap.select("INBOX")[b"EXISTS"] == expected
    old = [name for part in ("new", "cur") for name in os.listdir("%s/%s" % (server.mail_root("idle"), part))]
    assert len(old) == 1


@pytest.mark.series("2.3")
def test_protocol_without_the_plugin(server_factory):
    moving = Moving(server_factory, SERIES, ["one"], extra="protocol lmtp {\n  mail_plugins = quota\n}\n")
    moving.server.allow_log("mail_plugins of protocol lmtp has no lbox")
    rows, done = moving.run(users="one", check=False)
    assert not rows and done.code == 64 and "mail_plugins of protocol lmtp has no lbox" in done.err
