"""Everything a client can read of a mailbox, as readings for compare.Comparison.

Keys: ("FETCH", uid, item), ("SEARCH", criteria), ("SORT", ...), ("THREAD", ...), ("POP3", command), ("SELECT", name).
"""

import re

from .wire import Disconnected, Literal, parse_fetch, uid_set

ITEMS = (
    "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY[] BODY[HEADER] BODY[TEXT] BODY[1] "
    "BINARY.SIZE[1]").split()
MORE_ITEMS = (
    "UID RFC822.HEADER PREVIEW BODY BODY.PEEK[1.MIME] BODY.PEEK[2] BODY.PEEK[1.1] BODY.PEEK[]<100.1000> "
    "BODY.PEEK[TEXT]<5.20> BINARY.PEEK[1] BINARY.SIZE[2]").split() + [
        "BODY.PEEK[HEADER.FIELDS (SUBJECT FROM RECEIVED X-SAME)]",
        "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT RECEIVED)]"]
CHUNK = 60
DATED = "SENTSINCE 2-Jan-1970"

_TIMING = re.compile(rb" \([\d.]+( \+ [\d.]+)* secs\)")


def tagged(answer):
    """The tagged line without tag and timing."""
    return answer.status.encode() + b" " + _TIMING.sub(b"", answer.text)


def select(side):
    """What SELECT tells, and the flags in that session. Sets side.uidvalidity."""
    with side.imap() as imap:
        state = imap.select()
        side.uidvalidity = state.pop(b"UIDVALIDITY")
        state.setdefault(b"HIGHESTMODSEQ", None)
        yield [(("SELECT", name.decode()), repr(value).encode()) for name, value in sorted(state.items())]
        # Only the first session sees \Recent.
        fetches = imap.command("FETCH 1:*", "(UID FLAGS)").fetches()
        yield [(("FETCH", uid, "first", "FLAGS"), fields[b"FLAGS"]) for uid, fields in fetches.items()]


class _Session:
    """An IMAP session that goes on in a new connection when the server cuts the one it has: Dovecot does so
    when a message turns out unreadable in the middle of an answer."""

    def __init__(self, side):
        self._side = side
        self._connect()

    def _connect(self):
        self._imap = self._side.imap()
        self._imap.select()

    def fetch(self, uids, items):
        """(how it ended, untagged answers)"""
        try:
            answer = self._imap.command("UID FETCH", uid_set(uids), "(%s)" % " ".join(items))
            return tagged(answer), answer.untagged
        except Disconnected as cut:
            self._imap.close()
            self._connect()
            byes = [_without_name(raw) for raw in cut.untagged if raw.startswith(b"* BYE")]
            return b"disconnected " + b"".join(byes), cut.untagged

    def close(self):
        with self._imap:
            pass


def _without_name(raw):
    """Internal errors are told to clients with the second they happened."""
    return re.sub(rb"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]", b"[TIME]", raw)


def fetch(uids, items=ITEMS):
    """A reading of UID FETCH of all items for all uids. When the whole answer fails for a message, how it
    fails is observed, and each item alone. \\Seen is set on every other batch only."""
    def reading(side):
        session = _Session(side)
        todo, turn = list(uids), 0
        while todo:
            chunk = todo[:CHUNK]
            turn += 1
            observed, done = _fetch_chunk(session, chunk, _peeking(items) if turn % 2 else items)
            if done < len(chunk):
                observed += _fetch_singly(session, chunk[done], _peeking(items))
                done += 1
            todo = todo[done:]
            yield observed
        session.close()
    return reading


def _peeking(items):
    return [item.replace("BODY[", "BODY.PEEK[") for item in items]


def _fetch_chunk(session, chunk, items):
    """(observations, number of messages that were answered completely)"""
    end, untagged = session.fetch(chunk, items)
    fetches = [parsed[1] for parsed in map(parse_fetch, untagged) if parsed]
    done = len(chunk) if end.startswith(b"OK") else sum(len(fields) == len(items) for fields in fetches)
    observed = []
    for fields in fetches:
        uid = int(fields[b"UID"])
        if uid in chunk[:done]:
            observed.append((("FETCH", uid, "order"), b" ".join(fields)))
            observed += [(("FETCH", uid, item.decode()), raw) for item, raw in fields.items()]
    observed.append((("FETCH", "%d:%d" % (chunk[0], chunk[-1]), "answer"), b"%s, %d answers" % (end, len(fetches))))
    return observed, done


def _fetch_singly(session, uid, items):
    """What FETCH says about a message for which it failed: to all items at once, and to each."""
    end, untagged = session.fetch([uid], items)
    observed = [(("FETCH", uid, "answer"), b"%s, %d answers" % (end, len(untagged)))]
    for item in items:
        end, untagged = session.fetch([uid], [item])
        observed.append((("FETCH", uid, "alone", item), end))
        for fields in [parsed[1] for parsed in map(parse_fetch, untagged) if parsed]:
            observed += [(("FETCH", uid, key.decode()), raw) for key, raw in fields.items()]
    return observed


_KEYS = [line.strip() for line in """
    ALL\nANSWERED\nDELETED\nDRAFT\nFLAGGED\nNEW\nOLD\nRECENT\nSEEN
    UNANSWERED\nUNDELETED\nUNDRAFT\nUNFLAGGED\nUNSEEN
    KEYWORD Work\nUNKEYWORD Work\nKEYWORD $Forwarded\nKEYWORD nosuch\nUNKEYWORD nosuch
    NOT FLAGGED\nOR SEEN FLAGGED\nNOT (SEEN NOT FLAGGED)
    1:10,20,30:*\nUID 5:50,100:*\nUID 5:50 UNSEEN NOT 7:9
    LARGER 0\nLARGER 1\nLARGER 500\nLARGER 8192\nLARGER 131072\nLARGER 1000000
    SMALLER 1\nSMALLER 600\nSMALLER 9000\nSMALLER 131072\nSMALLER 4294967295
    BEFORE 1-Jan-2010\nBEFORE 1-Jan-2040\nON 5-Feb-2012\nSINCE 1-Jan-2010\nSINCE 1-Jan-2040
    SENTBEFORE 1-Jan-2016\nSENTON 1-Apr-2020\nSENTSINCE 1-Jan-2022\nSENTSINCE 1-Apr-2020 SENTBEFORE 2-Apr-2020
    YOUNGER 86400\nOLDER 86400\nOLDER 400000000
    SAVEDSINCE 1-Jan-2020\nSAVEDBEFORE 1-Jan-2020\nSAVEDATESUPPORTED
    FROM "anna"\nFROM "@example.org"\nFROM ""\nTO "hana"\nCC "example"\nBCC "example"
    SUBJECT "re:"\nSUBJECT "winter"\nSUBJECT ""
    HEADER Message-ID "lbox.example"\nHEADER Message-ID ""\nHEADER Nosuch ""\nHEADER List-Id ""
    HEADER X-Header-2999 ""\nHEADER X-Header-2999 "value 2999"\nHEADER X-Same "value"\nHEADER X-Upper "value"
    HEADER Received "esmtp"\nHEADER Content-Type "multipart/mixed"\nHEADER References "thread-a0"
    RETURN (MIN MAX COUNT ALL) SEEN\nRETURN (COUNT) ALL\nRETURN () LARGER 5000
    RETURN (SAVE) SUBJECT "re:"\n$ SEEN
""".strip().split("\n")]
_BODY_KEYS = [
    'BODY "harbour"', 'TEXT "lantern"', 'BODY "nowhere to be found"', 'OR BODY "kernel" SUBJECT "kernel"',
    'BODY "invoice" NOT TEXT "lantern" LARGER 1000', 'TEXT "multipart/alternative"',
]
_UTF8_KEYS = [("SUBJECT", "größe"), ("SUBJECT", "привет"), ("FROM", "Núñez"), ("CC", "GROSS")]
_UTF8_BODY_KEYS = [("BODY", "важное"), ("TEXT", "会議"), ("BODY", "GRÜSSE"), ("NOT FROM anna BODY", "日本")]


def search(bodies=True):
    """A reading of SEARCH by every kind of key. bodies=False leaves out what goes through the text of each message,
    which takes most of the time and which no cache keeps."""
    def reading(side):
        with side.imap() as imap:
            imap.select(read_only=True)
            for key in _KEYS + _BODY_KEYS * bodies:
                yield [(("SEARCH", key), _answer(imap.command("UID SEARCH", key)))]
            for key, text in _UTF8_KEYS + _UTF8_BODY_KEYS * bodies:
                yield [(("SEARCH", "CHARSET UTF-8", key, text),
                        _answer(imap.command("UID SEARCH CHARSET UTF-8", key, Literal(text.encode()))))]
            yield [(("SEARCH", "BADCHARSET"), _answer(imap.command('UID SEARCH CHARSET nosuch SUBJECT "a"')))]
    return reading


def sort(received=True):
    """A reading of SORT by every key. received=False leaves out what depends on the date of receipt: ARRIVAL, and
    messages without a usable Date, which Dovecot sorts by it."""
    keys = "CC DATE FROM SIZE SUBJECT TO DISPLAYFROM DISPLAYTO".split() + ["ARRIVAL"] * received
    programs = keys + ["REVERSE " + key for key in keys]
    programs += ["SUBJECT REVERSE DATE", "FROM SIZE", "REVERSE SUBJECT TO DATE"]
    what = "ALL" if received else DATED

    def reading(side):
        with side.imap() as imap:
            imap.select(read_only=True)
            for program in programs:
                yield [(("SORT", program), _answer(imap.command("UID SORT (%s) UTF-8 %s" % (program, what))))]
            yield [(("SORT", "of a search"), _answer(imap.command(
                'SORT (REVERSE DATE) US-ASCII LARGER 1000 SUBJECT "re" %s' % what)))]
            yield [(("SORT", "RETURN UNSEEN"), _answer(imap.command(
                "UID SORT RETURN (MIN MAX COUNT ALL) (SUBJECT) UTF-8 UNSEEN")))]
    return reading


def thread(received=True):
    """A reading of THREAD by every algorithm; received as for sort()."""
    def reading(side):
        with side.imap() as imap:
            imap.select(read_only=True)
            for algorithm in ("REFERENCES", "ORDEREDSUBJECT", "REFS"):
                for what in ("ALL" if received else DATED, 'SUBJECT "winter"', "SMALLER 5000 SINCE 1-Jan-1990"):
                    what += "" if received else " " + DATED
                    answer = imap.command("UID THREAD %s UTF-8 %s" % (algorithm, what))
                    yield [(("THREAD", algorithm, what), _answer(answer))]
    return reading


def _answer(answer):
    # The tag comes back in ESEARCH; both sides send the same commands, so it is the same as well.
    return b"".join(answer.untagged) + tagged(answer)


def pop3(side):
    """POP3 with every message by RETR and TOP. Deletions are taken back."""
    with side.pop3() as pop:
        for line in ("STAT", "LIST", "UIDL", "LIST 1", "UIDL 1", "LIST 0", "RETR 999999", "UIDL 999999", "TOP 1",
                     "TOP 1 -1", "NOOP", "LAST"):
            yield [(("POP3", line), pop.command(line).raw)]
        numbers = sorted(pop.list())
        for start in range(0, len(numbers), CHUNK):
            lines = ["RETR %d" % n for n in numbers[start:start + CHUNK]]
            answers = list(pop.pipeline(lines))
            yield [(("POP3", line), answer.raw) for line, answer in zip(lines, answers)]
            # Dovecot does not stuff a dot at the very start of a message: where that is the whole first line,
            # the end of the answer to TOP cannot be told (for RETR the announced size tells).
            lines = ["TOP %d %d" % (n, n % 7) for n, answer in zip(numbers[start:], answers)
                     if not answer.begins_like_end]
            yield [(("POP3", line), answer.raw) for line, answer in zip(lines, pop.pipeline(lines))]
        for i, line in enumerate(("DELE 1", "DELE 1", "RETR 1", "DELE 3", "LIST", "STAT", "RSET", "STAT", "LIST")):
            yield [(("POP3", "deleting", i, line), pop.command(line).raw)]
        yield [(("POP3", "QUIT"), pop.quit().raw)]
