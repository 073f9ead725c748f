"""trash and lazy_expunge beside lbox: what is deleted without, or other than, the client asked for."""

import pytest

from support.beside import DATE, DRIVER, filling, imap, lmtp, message, pop3
from support.config import DEFAULT_PATHS
from support.server import SERIES
from support.wire import string

KB = 1024
FOLDER = DEFAULT_PATHS[DRIVER]


def bodies(session, mailbox):
    """{uid: message} of a mailbox; {} if there is none."""
    if not session.command("SELECT", mailbox).ok:
        return {}
    return {uid: string(items[b"BODY[]"]) for uid, items in session.fetch("1:*", "BODY.PEEK[]").items()} if session.search("ALL") else {}


def expunge(session, mailbox, uids):
    session.select(mailbox)
    session.ok("UID STORE %s +FLAGS (\\Deleted)" % uids)
    session.ok("EXPUNGE")


# trash

QUOTA = {
    "2.3": "plugin {\n  quota = count:all\n  quota_vsizes = yes\n  quota_rule = *:storage=100K\n  quota_grace = 0\n  trash = %s\n}\n",
    "2.4": "quota all {\n  quota_storage_size = 100K\n  quota_storage_grace = 0\n}\n",
}
TRASH_NAMESPACE_24 = """
namespace inbox {
  inbox = yes
  separator = /
  mailbox Spam {
    trash_priority = 1
  }
  mailbox Trash {
    trash_priority = 2
  }
}
"""


@pytest.fixture(scope="module")
def trash_server(module_server_factory, tmp_path_factory):
    priorities = tmp_path_factory.mktemp("trash") / "priorities"
    priorities.write_text("1 Spam\n2 Trash\n")
    priorities.parent.chmod(0o755)
    for folder in list(priorities.parents)[:3]:
        folder.chmod(folder.stat().st_mode | 0o055)
    return module_server_factory(driver=DRIVER, plugins=("quota", "trash"), protocol_plugins={"imap": ("imap_quota",)},
                                 extra=QUOTA["2.3"] % priorities if SERIES == "2.3" else QUOTA["2.4"],
                                 namespaces=TRASH_NAMESPACE_24 if SERIES == "2.4" else None)


def fill_trash(server, user):
    """80 KB: 40 in INBOX, 2 x 10 in Spam, 20 in Trash."""
    with imap(server, user) as session:
        for mailbox in ("Spam", "Trash"):
            session.command("CREATE", mailbox)
        for mailbox, kilobytes, name in (("INBOX", 40, "keep"), ("Spam", 10, "older"), ("Spam", 10, "newer"), ("Trash", 20, "trashed")):
            session.append(mailbox, message(name, kilobytes * KB), (), DATE).expect_ok()


def names(session, mailbox):
    return [data.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for _, data in sorted(bodies(session, mailbox).items())]


def test_trash_makes_room(trash_server):
    fill_trash(trash_server, "alice")
    with imap(trash_server, "alice") as session, imap(trash_server, "alice") as other:
        other.select("Spam")
        session.append("INBOX", message("fits", 20 * KB)).expect_ok()
        assert names(session, "Spam") == ["older", "newer"], "nothing goes while there is room"
        session.append("INBOX", message("one more", 5 * KB)).expect_ok()
        left = names(session, "Spam")
        assert left == ["newer"] or SERIES == "2.3" and left == []  # 2.3 makes room twice, before and after the save
        assert names(session, "Trash") == ["trashed"]
        other.noop()
        assert len(other.search("ALL")) == len(left)
        session.append("INBOX", message("bigger", 13 * KB)).expect_ok()
        assert names(session, "Spam") == [] and len(names(session, "Trash")) <= 1
        assert names(session, "INBOX") == ["keep", "fits", "one more", "bigger"]
        assert session.append("INBOX", message("no room left", 40 * KB)).code == b"OVERQUOTA"


def test_trash_stays_when_it_would_not_help(trash_server):
    fill_trash(trash_server, "bob")
    with imap(trash_server, "bob") as session:
        assert session.append("INBOX", message("too big", 70 * KB)).code == b"OVERQUOTA"
        assert names(session, "Spam") == ["older", "newer"] and names(session, "Trash") == ["trashed"]


def test_trash_makes_room_for_delivery(trash_server):
    fill_trash(trash_server, "carol")
    with lmtp(trash_server) as delivery:
        delivery.deliver("carol", message("delivered", 45 * KB))
        (refused,) = delivery.try_deliver("carol", message("too much", 60 * KB))
    assert refused.code == 552
    with imap(trash_server, "carol") as session:
        assert names(session, "INBOX") == ["keep", "delivered"]
        assert names(session, "Spam") == [] and len(names(session, "Trash")) <= 1


# lazy_expunge

def lazy_settings(mailbox, more=""):
    if SERIES == "2.3":
        return "plugin {\n  lazy_expunge = %s\n%s}\n" % (mailbox, "  lazy_expunge_only_last_instance = yes\n" if more else "")
    return "lazy_expunge_mailbox = %s\n%s" % (mailbox, "lazy_expunge_only_last_instance = yes\n" if more else "")


def test_expunged_mail_moves(server_factory):
    server = server_factory(driver=DRIVER, plugins=("lazy_expunge",), extra=lazy_settings("EXPUNGED"))
    data = {name: message(name, size) for name, size in (("one", 1000), ("two", 2000), ("three", 300_000), ("four", 0))}
    with imap(server, "alice") as session:
        for name in ("one", "two", "three"):
            session.append("INBOX", data[name], ("\\Answered", "kw"), DATE).expect_ok()
        session.ok("CREATE Work")
        session.append("Work", data["four"], (), DATE).expect_ok()
        expunge(session, "INBOX", "1,3")
        assert session.search("ALL") == [2]
        assert sorted(bodies(session, "EXPUNGED").values()) == sorted([data["one"], data["three"]])
        got = session.fetch("1:*", "(INTERNALDATE FLAGS RFC822.SIZE)")
        for items in got.values():
            assert string(items[b"INTERNALDATE"]) == DATE.encode() and b"\\Answered" in items[b"FLAGS"] and b"kw" in items[b"FLAGS"]
        with pop3(server, "alice") as client:
            client.dele(1)
        assert sorted(bodies(session, "EXPUNGED").values()) == sorted([data["one"], data["two"], data["three"]])
        assert bodies(session, "INBOX") == {}
        server.doveadm("expunge", "mailbox", "Work", "all", user="alice")
        assert data["four"] in bodies(session, "EXPUNGED").values()
        # A MOVE is no loss, and what is expunged from EXPUNGED itself is gone.
        session.select("EXPUNGED")
        session.ok("UID MOVE 1 Work")
        assert len(bodies(session, "EXPUNGED")) == 3
        expunge(session, "EXPUNGED", "1:*")
        assert bodies(session, "EXPUNGED") == {} and list(bodies(session, "Work").values()) == [data["one"]]


@pytest.mark.skipif(DRIVER != "lbox", reason="takes a driver whose copies share their body")
def test_only_the_last_instance_moves(server_factory):
    server = server_factory(driver=DRIVER, plugins=("lazy_expunge",), extra=lazy_settings("EXPUNGED", "only last"))
    with imap(server, "bob") as session:
        session.append("INBOX", message("shared", 3000), (), DATE).expect_ok()
        session.append("INBOX", message("alone", 3000), (), DATE).expect_ok()
        session.ok("CREATE Work")
        session.select("INBOX")
        session.ok("UID COPY 1 Work")
        session.ok("UID COPY 1 Work")
        expunge(session, "INBOX", "1:2")
        assert list(bodies(session, "EXPUNGED").values()) == [message("alone", 3000)]
        expunge(session, "Work", "1")
        assert len(bodies(session, "EXPUNGED")) == 1
        expunge(session, "Work", "2")
        assert sorted(bodies(session, "EXPUNGED").values()) == sorted([message("alone", 3000), message("shared", 3000)])


@pytest.mark.skipif(DRIVER != "lbox", reason="takes a driver whose copies share their body")
def test_both_copies_at_once_leave_one(server_factory):
    """The last two instances of a message go in one transaction: one of them has to be kept."""
    server = server_factory(driver=DRIVER, plugins=("lazy_expunge",), extra=lazy_settings("EXPUNGED", "only last"))
    with imap(server, "dan") as session:
        session.append("INBOX", message("twice", 3000), (), DATE).expect_ok()
        session.select("INBOX")
        session.ok("UID COPY 1 INBOX")
        expunge(session, "INBOX", "1:*")
        assert list(bodies(session, "EXPUNGED").values()) == [message("twice", 3000)]


OTHER_NAMESPACE = {
    "2.3": """
namespace inbox {
  inbox = yes
  separator = /
}
namespace expunged {
  prefix = Gone/
  separator = /
  hidden = yes
  list = no
  location = %s:~/expunged
}
""" % DRIVER,
    "2.4": """
namespace inbox {
  inbox = yes
  separator = /
}
namespace expunged {
  prefix = Gone/
  separator = /
  hidden = yes
  list = no
  mail_path = ~/expunged
}
""",
}


def test_expunged_mail_moves_to_another_store(server_factory):
    server = server_factory(driver=DRIVER, plugins=("lazy_expunge",), namespaces=OTHER_NAMESPACE, extra=lazy_settings("Gone/All"))
    text = filling(200_000)
    with imap(server, "erin") as session:
        for number in range(3):
            session.append("INBOX", message("gone %d" % number) + text, ("\\Flagged",), DATE).expect_ok()
        expunge(session, "INBOX", "1:2")
        assert sorted(bodies(session, "Gone/All").values()) == [message("gone %d" % number) + text for number in (0, 1)]
        assert all(b"\\Flagged" in items[b"FLAGS"] for items in session.fetch("1:*", "FLAGS").values())
        assert list(bodies(session, "INBOX")) == [3]
        assert b"Gone" not in b"".join(session.ok('LIST "" *').untagged)
        expunge(session, "Gone/All", "1")
        assert list(bodies(session, "Gone/All")) == [2]
