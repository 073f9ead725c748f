"""METADATA in a dict file (RFC 5464) and SPECIAL-USE (RFC 6154)."""

import os
import re

import pytest

from support.feature import IS_LBOX, User, append_uid, message, start
from support.wire import Literal, string

EXTRA = {
    "2.3": """
mail_attribute_dict = file:%h/attributes
protocol imap {
  imap_metadata = yes
}
""",
    "2.4": """
mail_attribute {
  dict file {
    path = %{home}/attributes
  }
}
protocol imap {
  imap_metadata = yes
}
""",
}
NAMESPACES = """
namespace inbox {
  inbox = yes
  separator = /
  mailbox Sent {
    special_use = \\Sent
    auto = subscribe
  }
  mailbox Trash {
    special_use = \\Trash
    auto = create
  }
  mailbox "Deep/Drafts" {
    special_use = \\Drafts
    auto = no
  }
}
"""


@pytest.fixture(scope="module", params=["index", "fs"])
def server(module_server_factory, request):
    return start(module_server_factory, layout=request.param, namespaces={"2.3": NAMESPACES, "2.4": NAMESPACES}, extra=EXTRA)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def get(imap, mailbox, entry):
    """One entry's value, None when it is not set."""
    for raw in imap.ok('GETMETADATA "%s" (%s)' % (mailbox, entry)).named("METADATA"):
        at = raw.lower().index(entry.encode()) + len(entry) + 1
        return string(raw[at:raw.rindex(b")")])
    return None


def test_metadata(user):
    with user.imap() as imap:
        assert b" METADATA" in imap.ok("CAPABILITY").untagged[0]
        imap.ok("CREATE box")
        imap.ok("CREATE other")
        imap.ok('SETMETADATA box (/private/comment "mine" /shared/comment "ours")')
        imap.ok("SETMETADATA box (/private/vendor/x", Literal(b"two\r\nlines\x01"), ")")
        imap.ok('SETMETADATA "" (/private/comment "of the account")')
        assert get(imap, "box", "/private/comment") == b"mine"
        assert get(imap, "box", "/shared/comment") == b"ours"
        assert get(imap, "box", "/private/vendor/x") == b"two\r\nlines\x01"
        assert get(imap, "", "/private/comment") == b"of the account"
        assert get(imap, "other", "/private/comment") in (None, b"NIL")
        imap.ok("SETMETADATA box (/private/comment NIL)")
        assert get(imap, "box", "/private/comment") is None
    assert user.doveadm("mailbox", "metadata", "get", "box", "/shared/comment").text.strip() == "ours"
    user.doveadm("mailbox", "metadata", "set", "box", "/private/comment", "by doveadm")
    with user.imap() as imap:
        assert get(imap, "box", "/private/comment") == b"by doveadm"
        # It belongs to the mailbox, not to its name.
        imap.ok("RENAME box moved")
        assert get(imap, "moved", "/shared/comment") == b"ours"
        imap.ok("DELETE moved")
        imap.ok("CREATE moved")
        assert get(imap, "moved", "/shared/comment") is None


@pytest.mark.skipif(not IS_LBOX, reason="index files are the truth of this driver")
def test_metadata_outlives_index_files(user):
    with user.imap() as imap:
        imap.ok("CREATE deep/box")
        append_uid(imap.append("deep/box", message("m")))
        imap.ok('SETMETADATA deep/box (/private/comment "kept")')
    user.delete_index_files()
    with user.imap() as imap:
        assert get(imap, "deep/box", "/private/comment") == b"kept"


def uses(imap, command):
    return {re.search(rb'"/" "?([^"\r]+)"?\r', raw).group(1).decode(): set(re.search(rb"\(([^)]*)\)", raw).group(1).decode().split())
            for raw in imap.ok(command).named("LIST")}


def test_special_use(user):
    with user.imap() as imap:
        imap.ok("CREATE Deep/Drafts")
        imap.ok("CREATE plain")
        found = uses(imap, 'LIST "" "*"')
        assert {name: {a for a in found[name] if a in ("\\Sent", "\\Trash", "\\Drafts")} for name in found} == {
            **{name: set() for name in found}, "Sent": {"\\Sent"}, "Trash": {"\\Trash"}, "Deep/Drafts": {"\\Drafts"}}
        assert set(uses(imap, 'LIST (SPECIAL-USE) "" "*"')) == {"Sent", "Trash", "Deep/Drafts"}
        assert set(uses(imap, 'LIST (SUBSCRIBED) "" "*"')) == {"Sent"}
        append_uid(imap.append("Trash", message("m")))  # autocreated on first use
    assert os.path.isdir(user.root)
