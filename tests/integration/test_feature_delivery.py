"""Mail that comes in: Sieve, dovecot-lda, several recipients, large messages, and the settings that bear on it."""

import os

import pytest

from support.feature import User, append_uid, await_true, flags_of, incompressible, message, start, subjects
from support.wire import WireError, string

AUTOEXPUNGE = """
namespace inbox {
  inbox = yes
  separator = /
  mailbox Trash {
    auto = create
    autoexpunge = 2s
  }
  mailbox Spam {
    auto = create
    autoexpunge = 30d
    autoexpunge_max_mails = 2
  }
}
"""
ATTACHMENTS = {"2.3": "mail_attachment_dir", "2.4": "mail_ext_attachment_path"}


@pytest.fixture(scope="module")
def server(module_server_factory):
    return start(module_server_factory, driver="lbox", sieve=True)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def listed(user, mailbox="INBOX"):
    """{uid: subject}"""
    with user.imap(mailbox) as imap:
        return subjects(imap)


def bodies(user, mailbox="INBOX"):
    with user.imap(mailbox) as imap:
        return [string(items[b"BODY[]"]) for _, items in sorted(imap.fetch("1:*", "BODY.PEEK[]").items())]


# Sieve ----------------------------------------------------------------------------------------------


def test_sieve_files_mail(user):
    user.write(".dovecot.sieve", """
require ["fileinto", "mailbox", "imap4flags", "copy"];
if header :contains "subject" "list" { fileinto :create :flags ["\\\\Seen", "$List"] "Lists/dev"; stop; }
if header :contains "subject" "both" { fileinto :copy :create "Copies"; }
if header :contains "subject" "twice" { fileinto :create "One"; fileinto :create "Two"; stop; }
if header :contains "subject" "junk" { discard; stop; }
if header :contains "subject" "absent" { fileinto "Not there"; }
""")
    user.deliver("list 1", "plain", "list 2", "both", "junk", "twice", "absent")
    assert listed(user) == {1: "plain", 2: "both", 3: "absent"}  # what cannot be filed is kept
    assert listed(user, "Lists/dev") == {1: "list 1", 2: "list 2"}
    assert listed(user, "Copies") == {1: "both"}
    assert listed(user, "One") == listed(user, "Two") == {1: "twice"}
    with user.imap("Lists/dev") as imap:
        assert flags_of(imap.fetch("1", "FLAGS")[1]) - {"\\Recent"} == {"\\Seen", "$List"}


def test_sieve_by_lda(user, server):
    user.write(".dovecot.sieve", 'require ["fileinto", "mailbox"];\nfileinto :create "Sorted";\n')
    assert server.lda(user.name, message("sorted")).code == 0
    assert listed(user, "Sorted") == {1: "sorted"}
    assert listed(user) == {}


# dovecot-lda ----------------------------------------------------------------------------------------


def test_lda(user, server):
    sent = [message("one"), message("large", incompressible(1_000_000)), message("lf").replace(b"\r\n", b"\n")]
    for data in sent:
        assert server.lda(user.name, data, "-f", "sender@example.com").code == 0
    got = bodies(user)
    assert [len(got), listed(user)] == [3, {1: "one", 2: "large", 3: "lf"}]
    for data, stored in zip(sent, got):
        assert stored.endswith(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def test_lda_to_a_mailbox(user, server):
    with user.imap() as imap:
        imap.ok("CREATE Known/deep")
    server.lda(user.name, message("known"), "-m", "Known/deep")
    server.lda(user.name, message("made"), "-m", "Made", "-o", "lda_mailbox_autocreate=yes")
    server.lda(user.name, message("not made"), "-m", "Not made")
    assert listed(user, "Known/deep") == {1: "known"}
    assert listed(user, "Made") == {1: "made"}
    assert listed(user) == {1: "not made"}
    with user.imap() as imap:
        assert imap.command("SELECT \"Not made\"").status == "NO"


def test_lda_into_a_store_that_cannot_be_opened(user, server):
    server.lda(user.name, message("before"))
    store = user.root + "/store"
    os.chmod(store, 0)
    server.assert_log_clean()
    refused = server.lda(user.name, message("during"), check=False)
    server.assert_log_clean(allow=["(?i)permission denied|saved mail|INBOX"])
    assert refused.code == 75  # EX_TEMPFAIL: the MTA tries again
    os.chmod(store, 0o700)
    server.lda(user.name, message("after"))
    assert listed(user) == {1: "before", 2: "after"}


def test_lda_with_a_wrong_argument(user, server):
    assert server.lda(user.name, message("one"), "--nonsense", check=False).code == 64  # EX_USAGE
    assert listed(user) == {}


# LMTP -----------------------------------------------------------------------------------------------


def test_lmtp_keeps_the_store_of_the_last_delivery_open_for_a_moment(user, server):
    other = User(server, user.name + "-too")
    first, second = (server.mail_root(one.name) + "/store" for one in (user, other))

    def kept():
        user.deliver("to one")
        return server.open_below(first)
    await_true(kept, "it is not kept open")
    server.await_closed(first)

    def changed():
        user.deliver("to one")
        other.deliver("to the other")
        return server.open_below(second) and not server.open_below(first)
    await_true(changed, "another store does not take its place")
    server.await_closed(second)


def large_files(user):
    folder = user.server.mail_root(user.name) + "/store/l"
    return [os.stat(os.path.join(folder, name)) for name in os.listdir(folder)]


def test_a_large_message_to_many_takes_the_disk_of_one(user, server):
    users = [User(server, "%s-%d" % (user.name, n)) for n in range(5)]
    data = message("to all", incompressible(600_000))
    with user.lmtp() as lmtp:
        lmtp.deliver([one.name for one in users], data)
    (inode,) = {file.st_ino for one in users for file in large_files(one)}
    assert [file.st_nlink for one in users for file in large_files(one)] == [5] * 5
    for number, one in enumerate(users):
        assert [file.st_ino for file in large_files(one)] == [inode]
        assert bodies(one)[0].endswith(data)
        with one.imap("INBOX") as imap:
            imap.ok("STORE 1 +FLAGS (\\Deleted)")
            imap.ok("EXPUNGE")
        await_true(lambda one=one: not large_files(one), "it is not freed")
        assert all(file.st_nlink == 4 - number for other in users for file in large_files(other))


def test_several_recipients(user, server):
    users = [User(server, "%s-%d" % (user.name, n)) for n in range(5)]
    data = message("to all", incompressible(300_000))
    with user.lmtp() as lmtp:
        for _ in range(2):
            replies = lmtp.deliver([one.name for one in users], data, "sender@example.com")
            assert [reply.code for reply in replies] == [250] * 5
    for one in users:
        got = bodies(one)
        assert len(got) == 2 and all(stored.endswith(data) for stored in got)
        assert listed(one) == {1: "to all", 2: "to all"}


def test_the_same_recipient_twice(user):
    with user.lmtp() as lmtp:
        replies = lmtp.try_deliver([user.name, user.name], message("twice"))
    assert [reply.code for reply in replies] == [250, 250]
    assert set(listed(user).values()) == {"twice"}


def test_20_megabytes(user):
    data = message("huge", incompressible(20 << 20))
    with user.lmtp() as lmtp:
        lmtp.deliver(user.name, data)
    stored, = bodies(user)
    assert stored.endswith(data) and len(stored) < len(data) + 1000
    with user.imap("INBOX") as imap:
        items = imap.fetch("1", "(RFC822.SIZE BODY.PEEK[]<15000000.1000>)")[1]
        assert int(items[b"RFC822.SIZE"]) == len(stored)
        part = next(value for key, value in items.items() if key.startswith(b"BODY"))
        assert string(part) == stored[15_000_000:15_001_000]
    with user.lmtp() as lmtp:
        lmtp.deliver(user.name, message("next"))
    assert listed(user) == {1: "huge", 2: "next"}


# Settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fsync", ["always", "never", "optimized"])
def test_mail_fsync(server_factory, fsync):
    server = start(server_factory, driver="lbox", fsync=fsync)
    user = User(server, "alice")
    user.deliver("delivered", message("large", incompressible(500_000)))
    server.lda("alice", message("by lda"))
    with user.imap("INBOX") as imap:
        append_uid(imap.append("INBOX", message("appended"), ("\\Draft",)))
        imap.ok("UID STORE 1:2 +FLAGS (\\Seen own)")
        imap.ok("CREATE Other")
        imap.ok("UID MOVE 2 Other")
    server.restart()
    assert listed(user) == {1: "delivered", 3: "by lda", 4: "appended"}
    assert listed(user, "Other") == {1: "large"}
    with user.imap("INBOX") as imap:
        got = {uid: flags_of(items) - {"\\Recent"} for uid, items in imap.fetch("1:*", "FLAGS").items()}
        assert got == {1: {"\\Seen", "own"}, 3: set(), 4: {"\\Draft"}}


def test_autoexpunge(server_factory):
    server = start(server_factory, driver="lbox", namespaces=AUTOEXPUNGE)
    user = User(server, "alice")
    user.append("INBOX", "stays")
    user.append("Spam", "s1", "s2", "s3", "s4")
    user.append("Trash", "t1", "t2")
    # Autoexpunge runs when a session ends: after each look, that is.
    assert await_true(lambda: "s3" in (spam := listed(user, "Spam").values()) and len(spam) <= 2 and list(spam),
                      "Spam is cut down to two") == ["s3", "s4"]
    await_true(lambda: not listed(user, "Trash"), "Trash is emptied")
    user.append("Trash", "t3")
    assert listed(user) == {1: "stays"}
    with user.imap("Trash") as imap:
        assert (imap.state[b"EXISTS"], imap.state[b"UIDNEXT"]) == (1, 4)


@pytest.mark.parametrize("how", ["userdb", "mail_chroot"])
def test_chrooted_users(server_factory, how):
    server = start(server_factory, driver="lbox")
    homes = server.base + "/home"
    if how == "userdb":
        server.config.home = homes + "/./%u"
        server.config.extra = "valid_chroot_dirs = %s\n" % homes
    else:
        server.config.home = "/%u"
        server.config.extra = "mail_chroot = %s\n" % homes
    server.write_config()
    server.restart()
    user = User(server, "alice")
    user.write("made", "")  # the home: in the chroot, Dovecot 2.4 does not make it before it goes there
    os.mkdir(homes + "/tmp")
    os.chmod(homes + "/tmp", 0o1777)
    for data in (message("delivered"), message("large", incompressible(300_000))):
        if how == "userdb" and server.series == "2.4":
            server.lda("alice", data)  # this series chroots LMTP itself with such users: not for more than one delivery
        else:
            user.deliver(data)
    with user.imap("INBOX") as imap:
        pids = server.pids("imap")
        assert [os.readlink("/proc/%d/root" % pid) for pid in pids] == [homes]
        assert subjects(imap) == {1: "delivered", 2: "large"}
        append_uid(imap.append("INBOX", message("appended")))
        imap.ok("CREATE Other")
        imap.ok("UID MOVE 1:2 Other")
    assert listed(user) == {3: "appended"}
    with user.pop3() as pop3:
        assert pop3.stat()[0] == 1
    assert os.path.isdir(homes + "/alice/lbox/store")
    # The same store, seen from outside.
    server.doveadm("save", "-m", "Other", user="alice", input=message("saved"))
    server.lda("alice", message("by lda"))
    assert listed(user, "Other") == {1: "delivered", 2: "large", 3: "saved"}
    assert listed(user) == {3: "appended", 4: "by lda"}


def test_attachments_kept_outside_are_refused(server_factory):
    server = start(server_factory, driver="lbox")
    user = User(server, "alice")
    user.deliver("before")
    setting = ATTACHMENTS[server.series]
    server.config.extra = "%s = %s/attachments\n" % (setting, server.base)
    server.write_config()
    server.restart()
    said = "%s is set, but lbox keeps attachments in its store: unset it" % setting
    server.allow_log(said)

    since = server.log_size()
    with pytest.raises((WireError, ConnectionError, EOFError)):
        with user.imap() as imap:
            imap.ok("SELECT INBOX")
    server.await_log(r"imap\(.*Error: .*" + said, since=since)
    with pytest.raises((WireError, ConnectionError, EOFError)):
        user.pop3().stat()
    server.await_log(r"pop3\(.*Error: .*" + said, since=since)
    with user.lmtp() as lmtp:
        reply, = lmtp.try_deliver("alice", message("during"))
        assert 400 <= reply.code < 500
    server.await_log(r"lmtp\(.*Error: .*" + said, since=since)
    refused = server.lda("alice", message("during"), check=False)
    assert (refused.code, said in server.log_text()) == (75, True)
    failed = server.doveadm("fetch", "uid", "ALL", user="alice", check=False)
    assert failed.code == 75 and said in failed.err
    assert not os.path.exists(server.base + "/attachments")

    server.config.extra = ""
    server.write_config()
    server.restart()
    user.deliver("after")
    assert listed(user) == {1: "before", 2: "after"}
