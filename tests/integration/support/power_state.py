"""What clients were told about mail, and whether a server that was cut off or killed still holds to it.

A worker (power_work.py) notes in its State what was acknowledged (rows, mailboxes) and what it had asked for when the connection
broke (doubts). settle() holds the states against what a server shows and resolves the doubts by what is there.
"""

import collections
import dataclasses
import random
import re
import time

from .imap_parse import string
from .wire import Imap, Pop3

SIZES = (200, 1_000, 1_000, 4_000, 30_000, 260_000)  # of bodies; the last one is stored in a file of its own


def message(token):
    """The bytes that belong to a token, the same whenever asked; hard to compress. Large ones when its second letter is L."""
    r = random.Random(token)
    size = SIZES[5 if r.randrange(25) == 0 or token[1:2] == "L" else min(r.randrange(40) // 4, 4)]
    hexes = r.randbytes(size // 2 + 1).hex()
    lines = [hexes[at:at + 76] for at in range(0, size, 76)]
    return ("X-Token: %s\r\nFrom: a@example.com\r\nSubject: %s\r\n\r\n%s\r\n" % (token, token, "\r\n".join(lines))).encode()


def token_of(data):
    match = re.search(rb"^X-Token: (\S+)\r$", data[:2000], re.M)
    return match.group(1).decode() if match else None


class Mailbox:
    """One mailbox, whatever it is called by now. names: those it may have, None among them when it may be gone; one when known."""

    def __init__(self, user, name):
        self.user, self.names, self.uidvalidity = user, [name], None

    @property
    def name(self):
        return self.names[0]

    def __repr__(self):
        return "%s %s" % (self.user, "|".join(map(str, self.names)))


class Row:
    """A message that was acknowledged, or will have been. uid is None where the protocol does not tell it. history: the flags it
    had one after the other, as [when acknowledged, flags]; None: not yet."""

    def __init__(self, token, mailbox, flags=(), uid=None):
        self.token, self.mailbox, self.uid = token, mailbox, uid
        self.history = [[0, frozenset(flags)]]

    @property
    def flags(self):
        return self.history[-1][1]

    def flags_allowed(self, since):
        """Those that it may have when changes acknowledged after `since` may be lost."""
        later = [when for when, _ in self.history[1:]] + [None]
        return {flags for (_, flags), until in zip(self.history, later) if until is None or until > since}

    def __repr__(self):
        return "%s in %r%s" % (self.token, self.mailbox, " UID %d" % self.uid if self.uid else "")


@dataclasses.dataclass
class Doubt:
    """A command that was not answered: rows that it may have added, and such that it may have removed. whole: the additions are
    all there or none; moved: of each pair at least one is there; empties: a mailbox that may have lost all its mail, also what
    earlier commands in doubt have put there or left there."""

    adds: list = dataclasses.field(default_factory=list)
    removes: list = dataclasses.field(default_factory=list)
    whole: bool = True
    moved: bool = False
    empties: "Mailbox" = None


class State:
    """What one worker knows. Only it touches its messages and its own mailboxes."""

    def __init__(self):
        self.rows = []
        self.doubts = []
        self.own = []  # mailboxes
        self.counts = collections.Counter()


class Seen:
    """What all of them were ever told that must stay so: what a UID and a UIDL stand for, UIDVALIDITY, HIGHESTMODSEQ, UIDNEXT.
    Numbers are never forgotten, not even those of mailboxes that were deleted."""

    def __init__(self):
        self.uids, self.uidls, self.modseqs, self.uidnexts = {}, {}, {}, {}
        self.delivered = {}  # (user, token): UIDL; a delivered message has one place in INBOX

    def uid(self, user, name, uidvalidity, uid, token):
        """Returns what is wrong with it, or None."""
        key = user, name, uidvalidity, uid
        known = self.uids.setdefault(key, token)
        self.uidnexts[key[:3]] = max(uid + 1, self.uidnexts.get(key[:3], 0))
        return None if known == token else "%s %s: UIDVALIDITY %d UID %d was %s and is %s" % (*key, known, token)

    def problems(self, user, name, shown):
        said = [self.uid(user, name, shown.uidvalidity, uid, row[0]) for uid, row in shown.rows.items()]
        key = user, name, shown.uidvalidity
        for known, number, what in ((self.modseqs, shown.modseq, "HIGHESTMODSEQ"), (self.uidnexts, shown.uidnext, "UIDNEXT")):
            if number < known.get(key, 0):
                said.append("%s %s: %s is %d, was %d" % (user, name, what, number, known[key]))
            known[key] = number
        said += [self.uidl(user, uidl, row[0]) for uidl, row in zip(shown.uidls or (), shown.rows.values())]
        return [text for text in said if text]

    def uidl(self, user, uidl, token):
        """Returns what is wrong with it, or None."""
        known = self.uidls.setdefault((user, uidl), token)
        if known != token:
            return "%s: UIDL %s was %s and is %s" % (user, uidl, known, token)
        if token and token.startswith("d") and self.delivered.setdefault((user, token), uidl) != uidl:
            return "%s: %s had UIDL %s and has %s" % (user, token, self.delivered[user, token], uidl)
        return None


@dataclasses.dataclass
class Shown:
    """A mailbox as a server shows it. rows: {UID: (token, flags, whether the bytes are the token's)} in order; uidls: of INBOX."""

    uidvalidity: int
    uidnext: int
    modseq: int
    rows: dict
    uidls: list = None


def observe(server, users, counts_first=True, beside=()):
    """({(user, mailbox name): Shown}, texts of what is wrong in itself). counts_first: STATUS has to be right even before a mailbox
    is opened; beside: names of mailboxes that are not looked at."""
    found, said = {}, []
    for user in users:
        with Imap(port=server.imap_port, user=user, password=server.password(user)) as imap:
            counts = _counts(imap, beside)
            said += _finish_deletions(imap, user, {*counts, *beside})
            for name in counts:
                state = imap.select(name, read_only=True, parameters="(CONDSTORE)")
                rows = {}
                for _, items in imap.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])").fetch_list() if state[b"EXISTS"] else []:
                    data = string(items[b"BODY[]"])
                    token = token_of(data)
                    right = token is not None and (data.endswith(message(token)) if token.startswith("d") else data == message(token))
                    flags = frozenset(f.decode() for f in items[b"FLAGS"].strip(b"()").split()) - {"\\Recent"}
                    rows[int(items[b"UID"])] = token, flags, right
                    if not right:
                        said.append("%s %s UID %s: not the bytes of %s" % (user, name, items[b"UID"].decode(), token))
                found[user, name] = Shown(state[b"UIDVALIDITY"], state[b"UIDNEXT"], state[b"HIGHESTMODSEQ"], rows)
                if list(rows) != sorted(rows) or state[b"EXISTS"] != len(rows):
                    said.append("%s %s: EXISTS %d, %d rows" % (user, name, state[b"EXISTS"], len(rows)))
            for name, count in (counts if counts_first else _counts(imap, beside)).items():
                if count != len(found[user, name].rows):
                    said.append("%s %s: STATUS %d, there are %d" % (user, name, count, len(found[user, name].rows)))
        with Pop3(port=server.pop3_port, user=user, password=server.password(user)) as pop3:
            uidls = [uidl.decode() for _, uidl in sorted(pop3.uidl().items())]
        if (user, "INBOX") in found:
            found[user, "INBOX"].uidls = uidls
            if len(uidls) != len(found[user, "INBOX"].rows):
                said.append("%s: POP3 has %d messages, IMAP %d" % (user, len(uidls), len(found[user, "INBOX"].rows)))
    return found, said


def _counts(imap, beside):
    """{mailbox name: messages}"""
    counts = {}
    for raw in imap.ok('LIST "" "*" RETURN (STATUS (MESSAGES))').named("STATUS"):
        name, count = re.match(rb'\* STATUS (\S+|"[^"]*") \(MESSAGES (\d+)\)', raw).groups()
        counts[string(name).decode()] = int(count)
    return {name: count for name, count in counts.items() if name not in beside}


def _finish_deletions(imap, user, names):
    """A mailbox that is listed but has no status was being deleted when the process was killed: deleting it again has to work.
    Whether it may be gone is for settle() to say."""
    said = []
    for raw in imap.ok('LIST "" "*"').named("LIST"):
        flags, name = re.match(rb'\* LIST \(([^)]*)\) \S+ (\S+|"[^"]*")\r\n', raw).groups()
        name = string(name).decode()
        if name not in names and not re.search(rb"(?i)no(select|nexistent)", flags):
            answer = imap.command("DELETE", '"%s"' % name)
            if not answer.ok:
                said.append("%s %s: neither STATUS nor DELETE: %r" % (user, name, answer))
    return said


def settle(found, states, shared, seen, flags_since=float("inf")):
    """Texts, empty when all is as acknowledged; then the states are as what was found, without doubts. shared: mailboxes that
    belong to no worker; flags_since: flag changes acknowledged after it may be lost (time.monotonic())."""
    said = []
    for (user, name), shown in found.items():
        said += seen.problems(user, name, shown)
    said += _settle_names(found, states, shared)
    left = {(user, name, uid): row for (user, name), shown in found.items() for uid, row in shown.rows.items()}
    for state in states:
        doubtful = {id(row) for doubt in state.doubts for row in doubt.removes}
        kept = [row for row in state.rows if row.mailbox.name is not None]
        there = set()
        for row in sorted(kept, key=lambda row: row.uid is None):
            if _take(row, left):
                there.add(id(row))
                flags = found[row.mailbox.user, row.mailbox.name].rows[row.uid][1]
                if flags not in row.flags_allowed(flags_since):
                    said.append("%r: %s instead of %s" % (row, sorted(flags), [sorted(f) for f in row.flags_allowed(flags_since)]))
                row.history = [[0, flags]]
            elif id(row) not in doubtful:
                said.append("%r is lost" % row)
        state.rows = [row for row in kept if id(row) in there]
        emptied = [doubt.empties for doubt in state.doubts]
        # The largest first: when a single COPY and a MOVE of several are both in doubt, both may claim what the MOVE has done.
        for doubt in sorted(state.doubts, key=lambda doubt: -len(doubt.adds)):
            said += _settle_doubt(doubt, there, left, state, emptied)
        state.doubts = []
    said += ["%s %s UID %d: %s is there" % (*place, row[0]) for place, row in left.items()]
    return said


def _take(row, left):
    """Finds a row and its UID among what is left of those shown, and takes it from there."""
    box = row.mailbox
    if row.uid is None:
        row.uid = next((uid for (user, name, uid), shown in left.items()
                        if (user, name) == (box.user, box.name) and shown[0] == row.token), None)
    shown = left.get((box.user, box.name, row.uid))
    if shown is None or shown[0] != row.token:
        return False
    del left[box.user, box.name, row.uid]
    return True


def _settle_doubt(doubt, there, left, state, emptied):
    said = []
    adds = [row for row in doubt.adds if row.mailbox.name is not None]
    before, uids = dict(left), [row.uid for row in adds]
    added = [row for row in adds if _take(row, left)]
    if doubt.whole and 0 < len(added) < len(adds):
        # Not this command's, then, but another's; if nobody else's, they are left over, and that is told.
        left.clear()
        left.update(before)
        for row, uid in zip(adds, uids):
            row.uid = uid
        added = []
    if doubt.moved:
        said += ["%r and %r: neither is there" % pair for pair in zip(doubt.removes, doubt.adds)
                 if id(pair[0]) not in there and pair[1] not in added
                 and not any(row.mailbox.name is None or row.mailbox in emptied for row in pair)]  # deleted since
    state.rows += added
    return said


def _settle_names(found, states, shared):
    """Which of its names each mailbox has."""
    said = []
    names = set(found)
    for box in shared + [box for state in states for box in state.own]:
        there = [name for name in box.names if (box.user, name) in names]
        if len(there) != 1 and not (not there and None in box.names):
            said.append("%r: %s" % (box, "is gone" if not there else "is there twice"))
        names -= {(box.user, name) for name in there}
        box.names = there[:1] or [None]
        if there:
            shown = found[box.user, there[0]]
            if box.uidvalidity not in (None, shown.uidvalidity):
                said.append("%r: UIDVALIDITY was %d, is %d" % (box, box.uidvalidity, shown.uidvalidity))
            box.uidvalidity = shown.uidvalidity
    for state in states:
        state.own = [box for box in state.own if box.name is not None]
    return said + ["%s %s: nobody made it" % place for place in sorted(names) if place[1] != "INBOX"]


def now():
    return time.monotonic()
