"""Moving users between lbox and Dovecot's own storages with doveadm backup and sync: what they see stays the same.

How the commands differ between 2.3 and 2.4 is told in support/migrating.py. Both ways, "doveadm backup -R" is run with the
configuration of the storage that receives: then dsync saves many messages at once, and modseqs come through as they are. The
other way round ("backup" without -R, "sync"), dsync 2.3 commits each message that it hands to the other storage, whose index
log counts a modseq or more for each: modseqs may come out higher, whatever the storage.
"""
# ctest: timeout=600

import dataclasses
import os

import pytest

from support.migrating import DOTTED, change, connect, courier_maildir, fill, location, over_pipe
from support.messages import normal_messages
from support.snapshot import assert_same, differences, snapshot, uidl_list

LBOX = os.environ.get("LBOX_TEST_DRIVER", "lbox")

IN_PROCESS = ("saved",)  # the in-process transport of dsync drops saved dates
MODSEQS = ("modseq", "highestmodseq")
OTHERS = [("maildir", None), ("maildir", "fs"), ("sdbox", None), ("mdbox", None)]


class Others:
    """Servers with the other storages, each with one filled user; and lbox servers by layout."""

    def __init__(self, factory):
        self._factory, self._filled, self._lbox = factory, {}, {}

    def filled(self, driver, layout):
        """(server, snapshot of its user "full")"""
        if (driver, layout) not in self._filled:
            server = self._factory(driver=driver, layout=layout, lbox=LBOX == "lbox")
            fill(server, "full", () if driver == "maildir" and layout is None else DOTTED)
            self._filled[driver, layout] = server, snapshot(server, "full")
        return self._filled[driver, layout]

    def lbox(self, layout=None):
        if layout not in self._lbox:
            self._lbox[layout] = self._factory(driver=LBOX, layout=layout)
        return self._lbox[layout]


@pytest.fixture(scope="module")
def others(module_server_factory):
    return Others(module_server_factory)


def storage_of(server, user):
    """Arguments that name a user's storage for another server's doveadm."""
    config = server.config
    return location(server.series, config.driver, server.mail_root(user), config.layout)


def take(server, user, other, other_user, command="backup"):
    """Brings the other server's user here."""
    server.doveadm(command, *(["-R"] if command == "backup" else []), *storage_of(other, other_user), user=user)


def give(server, user, other, other_user):
    """Makes the other server's user what this one is."""
    make_home(other, other_user)
    server.doveadm("backup", *storage_of(other, other_user), user=user)


def make_home(server, user):
    os.makedirs(server.user_home(user), exist_ok=True)
    os.chown(server.user_home(user), server.config.mail_uid, server.config.mail_uid)


def without_levels(taken):
    """Without empty mailboxes that have others below: with layout fs, dsync may make mailboxes of mere levels in names, or take
    them away again, whatever the storage."""
    return dataclasses.replace(taken, mailboxes={
        name: box for name, box in taken.mailboxes.items()
        if box.messages or not any(other.startswith(name + "/") for other in taken.mailboxes)})


def assert_same_mail(a, b, ignore=()):
    assert_same(without_levels(a), without_levels(b), ignore)


def assert_modseqs_kept(before, after):
    """No modseq has gone back for messages and mailboxes that are in both."""
    for name, box in before.mailboxes.items():
        now = after.mailboxes.get(name)
        if now is not None:
            assert now.highestmodseq >= box.highestmodseq, name
            assert now.highestmodseq >= max([m.modseq for m in now.messages.values()], default=0), name
            for uid, message in box.messages.items():
                assert uid not in now.messages or now.messages[uid].modseq >= message.modseq, (name, uid)


@pytest.mark.parametrize("layout", ["index", "fs"])
@pytest.mark.parametrize("driver,other_layout", OTHERS)
def test_there_and_back(others, driver, other_layout, layout):
    other, before = others.filled(driver, other_layout)
    server = others.lbox(layout)
    user, back = "from-%s-%s" % (driver, "fs" if other_layout else "usual"), "back-" + layout
    assert sum(len(box.messages) for box in before.mailboxes.values()) > 80

    take(server, user, other, "full")
    moved = snapshot(server, user)
    no_levels = driver == "maildir" and other_layout is None and layout == "index"
    same = assert_same if no_levels else assert_same_mail
    same(before, moved, IN_PROCESS)

    take(server, user, other, "full")  # there is nothing left to do
    same(moved, snapshot(server, user))

    take(other, back, server, user)
    returned = snapshot(other, back)
    same(before, returned, IN_PROCESS)


@pytest.mark.parametrize("driver", ["maildir", "mdbox"])
def test_given_from_the_lbox_side(others, driver):
    """The plain "doveadm backup maildir:..." of a server that has lbox configured."""
    other, before = others.filled(driver, None)
    server, user = others.lbox(), driver + "-given"
    take(server, user, other, "full")
    give(server, user, other, "given")
    given = snapshot(other, "given")
    assert_same_mail(before, given, IN_PROCESS + MODSEQS)
    assert_modseqs_kept(before, given)


@pytest.mark.parametrize("driver", ["maildir", "mdbox"])
def test_sync_after_changes_on_both_sides(others, driver):
    other, _ = others.filled(driver, None)
    server, user = others.lbox(), driver + "-both"
    fill(other, user)
    take(server, user, other, user, "sync")
    first = snapshot(other, user)
    assert_same_mail(first, snapshot(server, user), IN_PROCESS + MODSEQS)

    change(server, user, "lbox", 0)
    change(other, user, "other", 1)
    assert len(differences(snapshot(other, user), snapshot(server, user), IN_PROCESS + MODSEQS)) > 20
    take(server, user, other, user, "sync")
    here, there = snapshot(server, user), snapshot(other, user)
    assert_same_mail(there, here, IN_PROCESS + MODSEQS + ("recent",))
    assert_modseqs_kept(first, here)
    assert_modseqs_kept(first, there)
    names = set(here.mailboxes)
    assert {"made on lbox/Ünder", "made on other/Ünder", "renamed on lbox", "renamed on other"} <= names
    assert not {"Sent", "with space", 'quo"te', "back\\slash"} & names
    with connect(server, user) as imap:
        imap.select("INBOX")
        for mark in ("lbox", "other"):
            assert len(imap.search("SUBJECT", '"new 0 on %s"' % mark)) == 1
            assert len(imap.search("SUBJECT", '"appended on %s"' % mark, "KEYWORD", mark, "SEEN")) == 1
            assert len(imap.search("KEYWORD", "added-" + mark)) == 4
            assert len(imap.search("KEYWORD", "replaced-" + mark)) == 2

    take(server, user, other, user, "sync")  # nothing to do now, but for modseqs and \\Recent, which dsync evens out late
    assert_same_mail(here, snapshot(server, user), MODSEQS + ("recent",))
    assert_same_mail(there, snapshot(other, user), MODSEQS + ("recent",))


def test_back_to_maildir_after_mail_arrived(others):
    """The way back for an operator: the old Maildir still lies there."""
    other, _ = others.filled("maildir", None)
    server, user = others.lbox(), "returns"
    fill(other, user)
    before = snapshot(other, user)
    take(server, user, other, user)
    change(server, user, "lbox", 0)
    changed = snapshot(server, user)
    take(other, user, server, user)
    after = snapshot(other, user)
    assert_same(changed, after, IN_PROCESS + MODSEQS)
    assert_modseqs_kept(changed, after)
    old = {uid: m.guid for uid, m in before.mailboxes["INBOX"].messages.items()}
    kept = {uid: m.guid for uid, m in after.mailboxes["INBOX"].messages.items() if uid in old}
    assert len(kept) > 20 and kept == {uid: old[uid] for uid in kept}
    assert any(".M" in guid for guid in kept.values())  # Maildir's own kind of GUID


def test_uidls_of_an_older_server(others):
    """POP3 UIDLs that the Maildir brought along come through lbox and back, and new mail gets others."""
    other, _ = others.filled("maildir", None)
    server, user = others.lbox(), "courier"
    make_home(other, user)
    rows = courier_maildir(other.mail_root(user), normal_messages(12, seed=3), other.config.mail_uid)
    before = uidl_list(other, user)
    assert [uidl for uidl, _ in before] == [uidl for _, uidl, _ in rows]

    take(server, user, other, user)
    assert uidl_list(server, user) == before
    moved = snapshot(server, user).mailboxes["INBOX"].messages
    assert [(uid, m.uidl, m.guid) for uid, m in moved.items()] == [(uid, uidl, name) for uid, uidl, name in rows]

    server.deliver(user, b"Subject: later\r\n\r\n\r\n")
    with connect(server, user) as imap:
        imap.select("INBOX")
        imap.ok("UID STORE", "%d" % rows[0][0], "+FLAGS", "(\\Deleted)")
        imap.ok("EXPUNGE")
    now = uidl_list(server, user)
    assert now[:-1] == before[1:] and now[-1][0] not in [uidl for uidl, _ in before]

    take(other, "courier-back", server, user)
    assert uidl_list(other, "courier-back") == now


def test_uidls_from_guids(server_factory):
    """With GUIDs as POP3 UIDLs, Maildir's file names have to come back as they were."""
    extra = {"2.3": "pop3_uidl_format = %g", "2.4": "pop3_uidl_format = %{guid}"}
    other = server_factory(driver="maildir", extra=extra)
    server = server_factory(driver=LBOX, extra=extra)
    for data in normal_messages(8, seed=4):
        other.deliver("alice", data)
    before = uidl_list(other, "alice")
    assert all(".M" in uidl for uidl, _ in before)
    take(server, "alice", other, "alice")
    assert uidl_list(server, "alice") == before


def test_saved_dates_through_a_pipe(others):
    other, before = others.filled("maildir", None)
    server = others.lbox()
    server.doveadm("backup", "-R", *over_pipe(other, "full"), user="piped")
    moved = snapshot(server, "piped")
    assert_same(before, moved)  # saved dates too
    other.doveadm("backup", "-R", *over_pipe(server, "piped"), user="piped-back")
    assert_same(moved, snapshot(other, "piped-back"))


def test_comparison_sees_each_change(others):
    """The control: one thing changed after the move, and the comparison says so."""
    other, before = others.filled("maildir", None)
    server, user = others.lbox(), "control"
    take(server, user, other, "full")
    uids = list(before.mailboxes["INBOX"].messages)

    def found():
        return differences(before, snapshot(server, user), IN_PROCESS + ("highestmodseq",))

    assert found() == []
    with connect(server, user) as imap:
        imap.select("INBOX")
        imap.ok("UID STORE %d +FLAGS (control)" % uids[0])
        assert {text.split(":")[0] for text in found()} == {"mailbox INBOX, uid %d" % uids[0]}
        assert any("flags [], ['control']" in text for text in found())
        imap.ok("UID STORE %d -FLAGS (control)" % uids[0])
        assert [text.split()[4] for text in found()] == ["modseq"]
        imap.ok("UID STORE %d +FLAGS (\\Deleted)" % uids[1])
        imap.ok("UID EXPUNGE %d" % uids[1])
        assert "mailbox INBOX, uid %d: only in the first" % uids[1] in found()
        imap.ok("SUBSCRIBE Sent")
        assert any(text.startswith("user: subscriptions") for text in found())
