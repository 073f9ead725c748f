"""virtual beside lbox: a mailbox made of two lbox mailboxes shows, changes and follows both."""

import shutil

import pytest

from support.beside import DATE, DRIVER, file_of, imap, lmtp, message, until
from support.wire import string, value

NAMESPACES = {
    "2.3": """
namespace inbox {
  inbox = yes
  separator = /
}
namespace virtual {
  prefix = virtual/
  separator = /
  location = virtual:~/virtual
}
""",
    "2.4": """
namespace inbox {
  inbox = yes
  separator = /
}
namespace virtual {
  prefix = virtual/
  separator = /
  mail_driver = virtual
  mail_path = ~/virtual
  mailbox_list_layout = fs
  mailbox_root_directory_name =
  mailbox_directory_name =
}
""",
}


@pytest.fixture(scope="module")
def server(module_server_factory):
    return module_server_factory(driver=DRIVER, plugins=("virtual",), namespaces=NAMESPACES)


def prepare(server, user):
    with imap(server, user) as session:
        session.ok("CREATE Work")
        for mailbox, count in (("INBOX", 3), ("Work", 2)):
            for number in range(count):
                session.append(mailbox, message("%s %d" % (mailbox, number), 1000 + number), ("\\Seen",) if number == 0 else (), DATE).expect_ok()
    file_of(server, user, "virtual/All/dovecot-virtual", "INBOX\nWork\n  ALL\n")
    file_of(server, user, "virtual/Unseen/dovecot-virtual", "INBOX\nWork\n  UNSEEN\n")
    file_of(server, user, "virtual/Flagged/dovecot-virtual", "*\n-virtual/*\n  FLAGGED\n")


def subjects(session, uids="1:*"):
    """{subject: uid} of the selected mailbox."""
    found = session.fetch(uids, "(BODY.PEEK[HEADER.FIELDS (Subject)])")
    return {string(next(v for k, v in items.items() if k.startswith(b"BODY["))).split(b":", 1)[1].strip().decode(): uid
            for uid, items in found.items()}


def flags(session, uid):
    return set(value(session.fetch(str(uid), "FLAGS")[uid][b"FLAGS"])) - {b"\\Recent"}


def test_select_and_fetch(server):
    prepare(server, "reader")
    with imap(server, "reader") as session:
        assert session.select("virtual/All")[b"EXISTS"] == 5
        names = subjects(session)
        assert sorted(names) == ["INBOX 0", "INBOX 1", "INBOX 2", "Work 0", "Work 1"]
        for name, uid in names.items():
            got = session.fetch(str(uid), "(BODY.PEEK[] RFC822.SIZE INTERNALDATE)")[uid]
            data = message(name, 1000 + int(name[-1]))
            assert string(got[b"BODY[]"]) == data and int(got[b"RFC822.SIZE"]) == len(data)
            assert string(got[b"INTERNALDATE"]) == DATE.encode()
        assert session.search("BODY lorem") == sorted(names.values())
        assert session.select("virtual/Unseen")[b"EXISTS"] == 3
        assert b"(MESSAGES 5 UNSEEN 3)" in session.ok("STATUS virtual/All (MESSAGES UNSEEN)").named("STATUS")[0]


def test_changes_reach_the_real_mailboxes(server):
    prepare(server, "writer")
    with imap(server, "writer") as session, imap(server, "writer") as real:
        session.select("virtual/All")
        names = subjects(session)
        session.ok("UID STORE %d +FLAGS (\\Flagged kw)" % names["Work 1"])
        session.ok("UID STORE %d -FLAGS (\\Seen)" % names["INBOX 0"])
        real.select("Work")
        assert flags(real, 2) == {b"\\Flagged", b"kw"}
        real.select("INBOX")
        assert flags(real, 1) == set()
        session.ok("UID COPY %d Work" % names["INBOX 1"])
        session.ok("UID STORE %d +FLAGS (\\Deleted)" % names["INBOX 2"])
        session.ok("EXPUNGE")
        real.noop()
        assert sorted(subjects(real)) == ["INBOX 0", "INBOX 1"]
        real.select("Work")
        assert sorted(subjects(real)) == ["INBOX 1", "Work 0", "Work 1"]
        session.noop()
        assert sorted(subjects(session)) == ["INBOX 0", "INBOX 1", "Work 0", "Work 1"] and len(session.search("ALL")) == 5
        assert session.select("virtual/Flagged")[b"EXISTS"] == 1
        assert string(session.fetch("1:*", "BODY.PEEK[]").popitem()[1][b"BODY[]"]) == message("Work 1", 1001)


def test_changes_of_the_real_mailboxes_show(server):
    prepare(server, "watcher")
    with imap(server, "watcher") as session, imap(server, "watcher") as real:
        assert session.select("virtual/All")[b"EXISTS"] == 5
        real.select("Work")
        with lmtp(server) as delivery:
            delivery.deliver("watcher", message("fresh"))

        def has(count):
            session.noop()
            return len(session.search("ALL")) == count

        until(lambda: has(6), "new mail does not show")
        assert "fresh" in subjects(session)
        real.ok("UID STORE 1 +FLAGS (\\Answered)")
        uid = subjects(session)["Work 0"]
        until(lambda: session.noop() and b"\\Answered" in flags(session, uid), "a flag does not show")
        real.ok("UID STORE 1 +FLAGS (\\Deleted)")
        real.ok("EXPUNGE")
        until(lambda: has(5), "an expunge does not show")
        assert "Work 0" not in subjects(session)
        with session.idle() as idle:
            real.append("Work", message("while idle")).expect_ok()
            idle.wait_for(b"EXISTS")
        assert "while idle" in subjects(session)


def test_whole_again_after_its_own_index_is_lost(server):
    prepare(server, "loser")
    with imap(server, "loser") as session:
        session.select("virtual/All")
        before = subjects(session)
    until(lambda: not server.pids("imap"), "imap does not end")
    home = server.user_home("loser")
    for name in ("All", "Unseen"):
        shutil.rmtree(home + "/virtual/" + name)
    file_of(server, "loser", "virtual/All/dovecot-virtual", "INBOX\nWork\n  ALL\n")
    with imap(server, "loser") as session:
        session.select("virtual/All")
        assert sorted(subjects(session)) == sorted(before)
