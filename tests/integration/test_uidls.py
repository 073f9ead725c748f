"""POP3 unique ids are the same forever, in both usual formats: migration from a Maildir with its dovecot-uidlist, restarts, loss of
the index files, another package there and back, rules that move mail. A client that leaves mail on the server fetches nothing twice."""
# ctest: timeout=300 labels=quota

import pytest

from support.beside import delete_index_files, message
from support.hosting import Hosting
from support.messages import normal_messages
from support.snapshot import uidl_list

POLICY = """
[package.imap]
[package.pop-s]
imap = "deny"
pop3_retention = { days = 36500, notice_days = 0 }
pop3_dele = { means = "defer" }
pop3_into_inbox = true
[account.a]
package = "imap"
domains = ["a.example"]
"""
FORMATS = {"uid": {"2.3": "pop3_uidl_format = %08Xu%08Xv\n", "2.4": "pop3_uidl_format = %{uid | hex(8)}%{uidvalidity | hex(8)}\n"},
           "guid": {"2.3": "pop3_uidl_format = %g\n", "2.4": "pop3_uidl_format = %{guid}\n"}}
USER = "ann@a.example"


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_forever(server_factory, kind):
    old = server_factory(driver="maildir", lbox=False, extra=FORMATS[kind])
    for data in normal_messages(6, seed=7):
        old.deliver(USER, data)
    old.doveadm("expunge", "mailbox", "INBOX", "uid", "2", user=USER)
    before = uidl_list(old, USER)
    assert len({uidl for uidl, _ in before}) == 5
    site = Hosting(server_factory, "lbox", POLICY, after={series: text.replace("%", "%%") for series, text in FORMATS[kind].items()})
    server = site.server

    def same(what, expected=before):
        assert uidl_list(server, USER) == expected, what

    server.doveadm("backup", "-R", "maildir:" + old.mail_root(USER), user=USER)
    same("migrated")
    server.restart()
    site.await_service()
    same("restarted")
    delete_index_files(server, USER)
    same("without index files")
    for package in ("pop-s", "imap"):
        site.doveadm("hosting", "account", "set-package", "a", package)
        site.doveadm("hosting", "retention", "run", USER)
        same(package)
    # What comes later gets ids of its own, and another loss of the index changes none.
    site.doveadm("mailbox", "create", "-u", USER, "Work")
    site.doveadm("save", "-u", USER, "-m", "Work", input=message("work"))
    site.doveadm("hosting", "merge-folders", USER)
    server.deliver(USER, message("later"))
    more = uidl_list(server, USER)
    assert more[:5] == before and len({uidl for uidl, _ in more}) == len(more) == 7
    delete_index_files(server, USER)
    same("without index files again", more)
