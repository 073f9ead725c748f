"""What a server holds after the model test's workers, held against what they were told."""

import collections
import re

from .imap_parse import string
from .model_work import USERS, message, token_of
from .wire import Imap, Pop3, quote


def observe(server):
    """{(user, folder): (uidvalidity, messages by STATUS, [(uid, token, flags, whether the bytes are the token's)], UIDLs or None)}"""
    found = {}
    for user in USERS:
        with Imap(port=server.imap_port, user=user, password=server.password(user)) as imap:
            status = {}
            for raw in imap.ok('LIST "" "*" RETURN (STATUS (MESSAGES))').named("STATUS"):
                name, count = re.match(rb'\* STATUS (\S+|"[^"]*") \(MESSAGES (\d+)\)', raw).groups()
                status[string(name).decode()] = int(count)
            for folder, count in status.items():
                uidvalidity = imap.select(quote(folder).decode().strip('"'), read_only=True)[b"UIDVALIDITY"]
                rows = []
                for _, items in imap.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])").fetch_list() if count else []:
                    data = string(items[b"BODY[]"])
                    token = token_of(data)
                    flags = frozenset(f.decode() for f in items[b"FLAGS"].strip(b"()").split()) - {"\\Recent"}
                    rows.append((int(items[b"UID"]), token, flags, token is not None and data.endswith(message(token))))
                found[user, folder] = uidvalidity, count, rows, None
        with Pop3(port=server.pop3_port, user=user, password=server.password(user)) as pop3:
            found[user, "INBOX"] = found[user, "INBOX"][:3] + ([uidl.decode() for _, uidl in sorted(pop3.uidl().items())],)
    return found


def problems(found, states, earlier=None):
    """Texts; empty when all is as acknowledged. earlier: another observation, of the same mailboxes at the same moment."""
    said = []
    known, unknown = collections.defaultdict(dict), collections.defaultdict(collections.Counter)
    for state in states:
        for token, places in state["live"].items():
            for (user, folder, uid), flags in places.items():
                if isinstance(uid, int):
                    known[user, folder][uid] = token, flags
                else:
                    unknown[user, folder][token, flags] += 1
    for place in sorted(set(known) | set(unknown)):
        if place not in found:
            said.append("%s %s is gone" % place)
    tokens, uidls = {}, {}
    for state in states:
        said += _merge(tokens, {key: token for key, token in state["uids"].items() if not key[1].startswith("own")})
        said += _merge(uidls, state["uidls"])
    for (user, folder), (uidvalidity, count, rows, pop3) in sorted(found.items()):
        where = "%s %s" % (user, folder)
        uids = [uid for uid, *_ in rows]
        if uids != sorted(set(uids)):
            said.append("%s: UIDs do not ascend" % where)
        if count != len(rows):
            said.append("%s: STATUS says %d messages, there are %d" % (where, count, len(rows)))
        if pop3 is not None:
            if len(pop3) != len(rows):
                said.append("%s: POP3 has %d messages, IMAP %d" % (where, len(pop3), len(rows)))
            said += _merge(uidls, {(user, uidl): row[1] for uidl, row in zip(pop3, rows)})
        said += _merge(tokens, {(user, folder, uidvalidity, uid): token for uid, token, *_ in rows if not folder.startswith("own")})
        left, missing = collections.Counter(), dict(known[user, folder])
        for uid, token, flags, right in rows:
            if not right:
                said.append("%s UID %d: not the bytes of %s" % (where, uid, token))
            expected = missing.pop(uid, None)
            if expected is None:
                left[token, flags] += 1
            elif expected != (token, flags):
                said.append("%s UID %d: %s %s instead of %s %s" % (where, uid, token, sorted(flags), expected[0], sorted(expected[1])))
        said += ["%s UID %d: %s is lost" % (where, uid, token) for uid, (token, _) in missing.items()]
        wanted = unknown[user, folder]
        said += ["%s: %d of %s %s lost" % (where, n, *key) for key, n in (wanted - left).items()]
        said += ["%s: %d of %s %s too many" % (where, n, *key) for key, n in (left - wanted).items()]
    for place in earlier or {}:
        if earlier[place] != found.get(place):
            said.append("%s %s: not what it was before" % place)
    return said


def _merge(known, more):
    """Adds what is the same or new; texts for what was given to another message before."""
    said = ["%s was given to %s and to %s" % (key, known[key], token) for key, token in more.items() if known.get(key, token) != token]
    known.update(more)
    return said
