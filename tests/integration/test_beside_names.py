"""Mailbox names that the folders or separator of a layout cannot hold as they are, escaped by 2.3's listescape plugin or 2.4's
mailbox_list_storage_escape_char: the same names come back, also after the index files are lost."""

import pytest

from support.beside import DATE, DRIVER, delete_index_files, imap, lmtp, message, until
from support.server import SERIES
from support.wire import quote, string

PLUGINS = ("listescape",) if SERIES == "2.3" else ()
SETTINGS = "" if SERIES == "2.3" else "mailbox_list_storage_escape_char = \"\\\\\"\n"
LAYOUTS = ["fs", "index"] if DRIVER == "lbox" else ["fs"]
# With separator ".", a slash is no separator; a leading tilde, a dot, or what looks escaped already must stand as they are.
NAMES = ["a/b", "~tilde", "slash/and.child", "slash/and.child.grand/child", "back\\\\slash", "x.~y", "INBOX/not", "t\\\\2fq", "dots"]


def listed(session):
    names = {string(raw[raw.index(b'"."') + 4:].strip()).decode() for raw in session.ok('LIST "" *').untagged
             if b"\\NonExistent" not in raw and b"\\Noselect" not in raw}
    return names - {"INBOX"}


def plain(name):
    return name.replace("\\\\", "\\")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_escaped_names(server_factory, layout):
    server = server_factory(driver=DRIVER, plugins=PLUGINS, separator=".", layout=layout, extra=SETTINGS)
    wanted = {plain(name) for name in NAMES}
    with imap(server, "alice") as session:
        for name in NAMES:
            session.ok("CREATE", '"%s"' % name)
            session.ok("SUBSCRIBE", '"%s"' % name)
            session.ok("APPEND", '"%s"' % name, '"%s"' % DATE, b"{%d+}\r\n%s" % (len(message(plain(name))), message(plain(name))))
        assert listed(session) >= wanted
        session.ok('RENAME "a/b" "c/d.e/f"')
        session.ok('RENAME "slash/and" "other/and"') if session.command('STATUS "slash/and" (MESSAGES)').ok else \
            session.ok('RENAME "slash/and.child" "other/and.child"')
    wanted = {"c/d.e/f" if name == "a/b" else name.replace("slash/and", "other/and") for name in wanted}

    def check():
        with imap(server, "alice") as session:
            assert listed(session) >= wanted
            for name in wanted:
                session.ok("SELECT", '"%s"' % name.replace("\\", "\\\\"))
                (got,) = session.fetch("1:*", "BODY.PEEK[HEADER.FIELDS (Subject)]").values()
                subject = string(got[b"BODY[HEADER.FIELDS (SUBJECT)]"]).decode()[len("Subject: "):].strip()
                assert subject == {"c/d.e/f": "a/b"}.get(name, name.replace("other/and", "slash/and"))

    check()
    if DRIVER == "lbox":
        delete_index_files(server, "alice")
        check()
        status = server.doveadm("mailbox", "status", "messages", "*", user="alice").text
        assert "messages=1" in status
    with imap(server, "alice") as session:
        for name in sorted(wanted, reverse=True):
            session.ok("DELETE", '"%s"' % name.replace("\\", "\\\\"))
        assert not listed(session) & wanted
