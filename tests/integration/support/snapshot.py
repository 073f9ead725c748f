"""Everything of one user that has to survive a move to another storage, read through IMAP, POP3 and doveadm.

    before = snapshot(maildir_server, "alice")
    ...
    differences(before, snapshot(lbox_server, "alice"))   a list of texts, empty when both are the same

Reading changes nothing: mailboxes are opened read-only, so \\Recent stays too.
"""

import dataclasses
import hashlib
import json

from . import modified_utf7
from .wire import Imap, Pop3, quote, string

MESSAGE_FIELDS = "mailbox uid guid flags modseq date.received.unixtime date.saved.unixtime pop3.uidl pop3.order"


@dataclasses.dataclass
class Message:
    guid: str
    flags: frozenset  # keywords included
    recent: bool
    modseq: int
    received: int
    saved: int
    uidl: str  # POP3 UIDL of its own, "" when it follows from pop3_uidl_format
    order: str  # POP3 order of its own
    digest: str  # of the message as IMAP serves it


@dataclasses.dataclass
class Mailbox:
    guid: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    messages: dict  # uid -> Message


@dataclasses.dataclass
class Snapshot:
    mailboxes: dict  # name -> Mailbox
    subscriptions: list
    pop3: list  # of (UIDL, octets) in POP3 order


def snapshot(server, user, pop3=True):
    mailboxes = _mailboxes(server, user)
    for row in _json(server, user, "fetch", MESSAGE_FIELDS, "mailbox", "*"):
        mailboxes[row["mailbox"]].messages[int(row["uid"])] = Message(
            guid=row["guid"], flags=frozenset(row["flags"].split()) - {"\\Recent"},
            recent="\\Recent" in row["flags"].split(), modseq=int(row["modseq"]),
            received=int(row["date.received.unixtime"]), saved=int(row["date.saved.unixtime"]),
            uidl=row["pop3.uidl"], order=row["pop3.order"], digest="")
    with Imap(port=server.imap_port, user=user, password=server.password(user)) as imap:
        for name, mailbox in mailboxes.items():
            if mailbox.messages:
                imap.select(modified_utf7.encode(name), read_only=True)
                for uid, items in imap.fetch("1:*", "BODY.PEEK[]").items():
                    mailbox.messages[uid].digest = hashlib.sha1(string(items[b"BODY[]"])).hexdigest()
    subscriptions = sorted(server.doveadm("mailbox", "list", "-s", user=user).text.splitlines())
    return Snapshot(mailboxes, subscriptions, uidl_list(server, user) if pop3 else [])


def uidl_list(server, user):
    """[(UIDL, octets)] as a POP3 client sees the mailbox."""
    with Pop3(port=server.pop3_port, user=user, password=server.password(user)) as pop3:
        sizes, uidls = pop3.list(), pop3.uidl()
    return [(uidls[n].decode(), sizes[n]) for n in sorted(uidls)]


def _mailboxes(server, user):
    return {row["mailbox"]: Mailbox(row["guid"], int(row["uidvalidity"]), int(row["uidnext"]), int(row["highestmodseq"]), {})
            for row in _json(server, user, "mailbox", "status", "guid uidvalidity uidnext highestmodseq", "*")}


def _json(server, user, *command):
    """A doveadm mail command's answer; "-f json" goes before the command, "-u" after it."""
    words = 2 if command[0] == "mailbox" else 1
    done = server.run("doveadm", "-c", server.config_file, "-f", "json", *command[:words], "-u", user, *command[words:])
    return json.loads(done.text)


def differences(a, b, ignore=()):
    """What differs between two snapshots, as texts; `ignore` names fields of Message, Mailbox or Snapshot."""
    found = []

    def fields(where, x, y, nested):
        for field in dataclasses.fields(x):
            one, other = getattr(x, field.name), getattr(y, field.name)
            if field.name not in ignore and field.name != nested and one != other:
                found.append("%s: %s %s, %s" % (where, field.name, *_shown(one, other)))

    def each(where, x, y):
        for key in sorted(set(x) | set(y)):
            if key not in x or key not in y:
                found.append("%s %s: only in the %s" % (where, key, "first" if key in x else "second"))
            else:
                yield key, x[key], y[key]

    fields("user", a, b, "mailboxes")
    for name, x, y in each("mailbox", a.mailboxes, b.mailboxes):
        fields("mailbox " + name, x, y, "messages")
        for uid, m, n in each("mailbox %s, uid" % name, x.messages, y.messages):
            fields("mailbox %s, uid %d" % (name, uid), m, n, None)
    return found


def _shown(one, other):
    """Of two collections only what is not in both."""
    if isinstance(one, list):
        return [x for x in one if x not in other], [x for x in other if x not in one]
    if isinstance(one, frozenset):
        return sorted(one - other), sorted(other - one)
    return one, other


def assert_same(a, b, ignore=()):
    found = differences(a, b, ignore)
    assert not found, "%d differences\n%s" % (len(found), "\n".join(found[:20]))


def quoted(name):
    """A mailbox name (str) as an argument of an IMAP command."""
    return quote(modified_utf7.encode(name))
