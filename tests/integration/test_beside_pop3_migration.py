"""pop3_migration: mail fetched from another server by IMAP into lbox gets the POP3 unique ids of that server, so that a client that
leaves mail on the server downloads nothing twice."""

from support.beside import DATE, DRIVER, delete_index_files, imap, lmtp, message, pop3
from support.wire import string

REMOTE = """
imapc_host = 127.0.0.1
imapc_port = {imap}
imapc_user = {user}
imapc_password = pass
pop3c_host = 127.0.0.1
pop3c_port = {pop3}
pop3c_user = {user}
pop3c_password = pass
"""
MIGRATION = {
    "2.3": """
imapc_features = rfc822.size fetch-headers
mail_prefetch_count = 20
namespace pop3 {{
  prefix = POP3-MIGRATION-NS/
  separator = /
  location = pop3c:
  inbox = no
  list = no
  hidden = yes
}}
plugin {{
  pop3_migration_mailbox = POP3-MIGRATION-NS/INBOX
}}
""",
    "2.4": """
mail_prefetch_count = 20
namespace pop3 {{
  prefix = POP3-MIGRATION-NS/
  separator = /
  mail_driver = pop3c
  mail_path =
  mailbox_list_layout = fs
  inbox = no
  list = no
  hidden = yes
}}
pop3_migration_mailbox = POP3-MIGRATION-NS/INBOX
""",
}


def remote(source, series, user):
    return (REMOTE + MIGRATION[series]).format(imap=source.imap_port, pop3=source.pop3_port, user=user)


def test_unique_ids_come_along(server_factory):
    # The old server makes them in a way of its own.
    source = server_factory(driver="maildir", lbox=False, extra={"2.3": "pop3_uidl_format = %f\n", "2.4": "pop3_uidl_format = %{filename}\n"})
    with imap(source, "alice") as session:
        for number in range(12):
            session.append("INBOX", message("mail %d" % number, 500 + 1000 * number), ("\\Seen",) if number % 2 else (), DATE).expect_ok()
        session.ok("CREATE Archive")
        session.select("INBOX")
        session.ok("UID COPY 3 Archive")
        session.ok("UID STORE 4,7 +FLAGS (\\Deleted)")
        session.ok("EXPUNGE")
        uids = session.search("ALL")
    with pop3(source, "alice") as client:
        old = client.uidl()
        sizes = client.list()
    assert len(old) == 10

    server = server_factory(driver=DRIVER, plugins=("pop3_migration",))
    server.config.extra = remote(source, server.series, "alice")
    server.write_config()
    server.doveadm("backup", "-R", "imapc:", user="alice")
    with pop3(server, "alice") as client:
        assert client.uidl() == old and client.list() == sizes
    with imap(server, "alice") as session:
        session.select("INBOX")
        assert session.search("ALL") == uids
        got = session.fetch("1:*", "(BODY.PEEK[] INTERNALDATE)")
        assert string(got[uids[0]][b"BODY[]"]) == message("mail 0", 500)
        assert all(string(items[b"INTERNALDATE"]) == DATE.encode() for items in got.values())

    # Mail that comes on either side, and again from there.
    with imap(source, "alice") as session:
        session.append("INBOX", message("later", 700), (), DATE).expect_ok()
    server.doveadm("backup", "-R", "imapc:", user="alice")
    with pop3(source, "alice") as client:
        old = client.uidl()
    with pop3(server, "alice") as client:
        assert client.uidl() == old
    if DRIVER == "lbox":
        delete_index_files(server, "alice")
        with pop3(server, "alice") as client:
            assert client.uidl() == old
    with lmtp(server) as delivery:
        delivery.deliver("alice", message("delivered here"))
    with pop3(server, "alice") as client:
        new = client.uidl()
        assert [new[number] for number in old] == list(old.values()) and len(new) == len(old) + 1
