"""acl and imap_acl beside lbox: each right, given to another user of a shared namespace, allows what it says and nothing else."""

import pytest

from support.beside import DATE, DRIVER, delete_index_files, imap, message
from support.config import DEFAULT_PATHS
from support.wire import string, value

FOLDER = DEFAULT_PATHS[DRIVER].replace("~/", "")
NAMESPACES = {
    "2.3": """
namespace inbox {{
  inbox = yes
  separator = /
}}
namespace shared {{
  type = shared
  separator = /
  prefix = shared/%%u/
  location = {driver}:%%h/{folder}
  subscriptions = no
  list = children
}}
""".format(driver=DRIVER, folder=FOLDER),
    "2.4": """
namespace inbox {{
  inbox = yes
  separator = /
}}
namespace shared {{
  type = shared
  separator = /
  prefix = shared/$user/
  mail_path = %{{owner_home}}/{folder}
  subscriptions = no
  list = children
}}
""".format(folder=FOLDER),
}
SETTINGS = {
    "2.3": "plugin {\n  acl = vfile\n  acl_shared_dict = file:%h/../shared-mailboxes\n}\n",
    "2.4": "acl_driver = vfile\nacl_sharing_map {\n  dict file {\n    path = %{home}/../shared-mailboxes\n  }\n}\n",
}


@pytest.fixture(scope="module")
def server(module_server_factory):
    return module_server_factory(driver=DRIVER, plugins=("acl",), protocol_plugins={"imap": ("imap_acl",)},
                                 namespaces=NAMESPACES, extra=SETTINGS)


def share(server, owner, mailbox, rights, guest="bob"):
    with imap(server, owner) as session:
        session.ok("SETACL", mailbox, guest, rights)


def prepare(server, owner, mailbox="Shared", messages=3):
    with imap(server, owner) as session:
        session.ok("CREATE", mailbox)
        for number in range(messages):
            session.append(mailbox, message("%s %d" % (mailbox, number)), ("\\Flagged",), DATE).expect_ok()


def seen_by_owner(server, owner, mailbox="Shared"):
    """{uid: set of flags} as the owner has it."""
    with imap(server, owner) as session:
        session.select(mailbox, read_only=True)
        return {uid: set(value(items[b"FLAGS"])) - {b"\\Recent"} for uid, items in session.fetch("1:*", "FLAGS").items()}


def test_without_rights_nothing_is_there(server):
    prepare(server, "hidden")
    with imap(server, "bob") as guest:
        for command in ("SELECT shared/hidden/Shared", "EXAMINE shared/hidden/Shared", "DELETE shared/hidden/Shared",
                        "RENAME shared/hidden/Shared shared/hidden/Mine", "SELECT shared/hidden"):
            assert guest.command(command).status == "NO", command
        assert guest.append("shared/hidden/Shared", message("intruder")).status == "NO"
        assert guest.ok('LIST "" shared/hidden/*').untagged == []
    assert len(seen_by_owner(server, "hidden")) == 3


# Rights, and what each lets the guest do of: read, keep \Seen, other flags, \Deleted, expunge, insert, create a child, delete
@pytest.mark.parametrize("rights, allowed", [
    ("lr", {"read"}),
    ("lrs", {"read", "seen"}),
    ("lrw", {"read", "flag"}),
    ("lrt", {"read", "deleted"}),
    ("lrte", {"read", "deleted", "expunge"}),
    ("lri", {"read", "insert"}),
    ("lrk", {"read", "create"}),
    ("lrtex", {"read", "deleted", "expunge", "delete"}),
    ("lrswtikxe", {"read", "seen", "flag", "deleted", "expunge", "insert", "create", "delete"}),
])
def test_each_right(server, rights, allowed):
    owner, guest_name = "owner-" + rights, "guest"
    prepare(server, owner)
    share(server, owner, "Shared", rights, guest_name)
    name = "shared/%s/Shared" % owner
    with imap(server, guest_name) as guest:
        mine = string(guest.ok("MYRIGHTS", name).named("MYRIGHTS")[0].split()[-1])
        # c and d are RFC 2086's k/x and t/e/x
        assert set(mine.decode()) - set("cd") == set(rights)
        writable = bool(set(rights) & set("swte") or "i" in rights)
        answer = guest.ok("SELECT", name)
        assert answer.code == (b"READ-WRITE" if writable else b"READ-ONLY")
        assert guest.fetch("2", "BODY.PEEK[]")[2][b"BODY[]"].endswith(message("Shared 1"))

        guest.command("UID STORE 1 +FLAGS (\\Seen)")
        guest.command("UID STORE 1 +FLAGS (\\Answered kw)")
        guest.command("UID STORE 2 -FLAGS (\\Flagged)")
        guest.command("UID STORE 3 +FLAGS (\\Deleted)")
        assert guest.append(name, message("inserted")).ok == ("insert" in allowed)
        assert guest.command("UID COPY 2", name).ok == ("insert" in allowed)
        flags = seen_by_owner(server, owner)
        assert (b"\\Seen" in flags[1]) == ("seen" in allowed)
        assert (b"\\Answered" in flags[1]) == (b"kw" in flags[1]) == ("flag" in allowed)
        assert (b"\\Flagged" not in flags[2]) == ("flag" in allowed)
        assert (b"\\Deleted" in flags[3]) == ("deleted" in allowed)
        assert sorted(flags) == ([1, 2, 3, 4, 5] if "insert" in allowed else [1, 2, 3])

    if "deleted" not in allowed:
        with imap(server, owner) as session:
            session.select("Shared")
            session.ok("UID STORE 3 +FLAGS (\\Deleted)")
    with imap(server, guest_name) as guest:
        guest.ok("SELECT", name)
        guest.command("EXPUNGE")
        assert (3 not in seen_by_owner(server, owner)) == ("expunge" in allowed)
        assert guest.command("CREATE", name + "/Child").ok == ("create" in allowed)
        assert guest.command("UNSELECT").ok
        assert guest.command("DELETE", name).ok == ("delete" in allowed)
    with imap(server, owner) as session:
        listed = {string(raw.split()[-1]) for raw in session.ok('LIST "" *').untagged if b"\\NonExistent" not in raw and b"\\Noselect" not in raw}
    assert (b"Shared" not in listed) == ("delete" in allowed)
    assert (b"Shared/Child" in listed) == ("create" in allowed)


def test_copy_into_and_out_of_a_shared_mailbox(server):
    """Between two users' stores, and so not by reference."""
    prepare(server, "copies")
    share(server, "copies", "Shared", "lrswtei", "carol")
    with imap(server, "carol") as guest:
        guest.append("INBOX", message("from carol"), ("\\Answered",), DATE).expect_ok()
        guest.select("INBOX")
        guest.ok("UID COPY 1 shared/copies/Shared")
        guest.select("shared/copies/Shared")
        assert string(guest.fetch("4", "BODY.PEEK[]")[4][b"BODY[]"]) == message("from carol")
        guest.ok("UID MOVE 2 INBOX")
        guest.select("INBOX")
        copied = guest.fetch("2", "(BODY.PEEK[] INTERNALDATE FLAGS)")[2]
        assert string(copied[b"BODY[]"]) == message("Shared 1")
        assert string(copied[b"INTERNALDATE"]) == DATE.encode() and b"\\Flagged" in value(copied[b"FLAGS"])
    assert sorted(seen_by_owner(server, "copies")) == [1, 3, 4]


def test_rights_follow_the_mailbox(server):
    prepare(server, "keeper", "Old")
    share(server, "keeper", "Old", "lr", "dave")

    def acl(mailbox):
        with imap(server, "keeper") as session:
            words = [string(word) for word in session.ok("GETACL", mailbox).named("ACL")[0].split()[3:]]
        return dict(zip(words[::2], words[1::2])).get(b"dave")

    assert set(acl("Old")) == set(b"lr")
    with imap(server, "keeper") as session:
        session.ok("RENAME Old New")
    assert set(acl("New")) == set(b"lr")
    with imap(server, "dave") as guest:
        assert guest.select("shared/keeper/New")[b"EXISTS"] == 3
        assert guest.command("SELECT shared/keeper/Old").status == "NO"
    if DRIVER == "lbox":
        delete_index_files(server, "keeper")
        assert set(acl("New")) == set(b"lr")
        with imap(server, "dave") as guest:
            assert guest.select("shared/keeper/New")[b"EXISTS"] == 3
            assert guest.command("UID STORE 1 +FLAGS (\\Deleted)").status == "NO" or guest.command("EXPUNGE").named("EXPUNGE") == []
    with imap(server, "keeper") as session:
        session.ok("DELETEACL New dave")
    with imap(server, "dave") as guest:
        assert guest.command("SELECT shared/keeper/New").status == "NO"
    share(server, "keeper", "New", "lr", "dave")
    with imap(server, "keeper") as session:
        session.ok("DELETE New")
        session.ok("CREATE New")
    assert acl("New") is None
    with imap(server, "dave") as guest:
        assert guest.command("SELECT shared/keeper/New").status == "NO"


def test_owner_is_bound_by_a_mailbox_acl(server):
    """Rights that the owner's own mailbox takes from the owner."""
    prepare(server, "bound", "Archive")
    server.doveadm("acl", "set", "Archive", "user=bound", "lookup", "read", user="bound")
    with imap(server, "bound") as session:
        assert session.ok("SELECT Archive").code == b"READ-ONLY"
        assert session.append("Archive", message("no")).status == "NO"
        session.command("UID STORE 1:* +FLAGS (\\Deleted)")
        session.command("EXPUNGE")
        session.ok("UNSELECT")
        assert session.command("DELETE Archive").status == "NO"
        assert session.command("RENAME Archive Gone").status == "NO"
    assert len(seen_by_owner(server, "bound", "Archive")) == 3
    server.doveadm("acl", "delete", "Archive", "user=bound", user="bound")
    with imap(server, "bound") as session:
        session.append("Archive", message("yes")).expect_ok()
