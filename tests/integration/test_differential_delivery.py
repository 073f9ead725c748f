"""lbox against Maildir on the same Dovecot: the same messages, by LMTP, APPEND and doveadm import, read
back by every means, must give the same answers: cold, from warm caches, and after the index files were
deleted. What may differ stands in normalise() and equivalent(), with reasons. The last tests show that
the comparison bites.
"""
# ctest: timeout=600

import calendar
import os
import re
import time

import pytest

from support import deliveries, readings
from support.compare import Comparison, Side
from support.message_kit import MONTHS
from support.messages import corpus_messages, own_messages
from support.pair import PEER, SUBJECT, SUBJECT_INDEX_IS_CACHE, delete_index, start_pair
from support.server import SERIES

# Messages that another driver of Dovecot's own cannot stand: a search for text in a message of nothing, or
# of one CR, ends 2.4's imap (assertion in i_stream_read_memarea) with sdbox, not with Maildir.
UNBEARABLE = {("sdbox", "2.4"): (b"", b"\r"), ("mdbox", "2.4"): (b"", b"\r")}

# What Dovecot itself complains about when messages are as broken as some of these.
COMPLAINTS = (r"Base64 data ends prematurely", r"Invalid (?:base64|quoted-printable) (?:data|input)",
              r"FETCH BODY\[TEXT\]<5\.20> got too little data: \d+ vs \d+")

DELIVER = {"lmtp": deliveries.by_lmtp, "append": deliveries.by_append, "import": deliveries.by_import}

# In which order a way's mailbox is read, so that each kind of access is once the one that finds nothing cached.
ORDER = {
    "lmtp": ("fetch", "search", "sort", "thread", "pop3"),
    "append": ("thread", "search", "sort", "fetch", "pop3"),
    "import": ("pop3", "sort", "search", "thread", "fetch"),
}

RECEIVED = re.compile(rb"(\r\n\tid )\S+(\r\n\t\(envelope-from <[^>]*>\)\r\n\tfor <[^>]*>; )[^\r\n]+")
PLAIN_TEXT = re.compile(rb'^\("text" "plain" \("charset" "us-ascii"\) NIL NIL "7bit"', re.I)


def normalise(side, key, data):
    """What names the delivery or the mailbox itself, and nothing else. Each with its reason:"""
    kind, item = key[0], key[-1]
    # 1. The Received header that LMTP puts on top names the LMTP session and the second of delivery.
    #    Both have a fixed length, so sizes and offsets still have to agree.
    if side.delivered and (kind == "POP3" or kind == "FETCH" and ("BODY[" in item or "HEADER" in item)):
        data = RECEIVED.sub(rb"\1ID\2DATE", data, count=1)
    # 2. The date of receipt of a message that came by LMTP is the clock's; that it lies within the time of
    #    delivery is required.
    if side.delivered and kind == "FETCH" and item == "INTERNALDATE":
        if side.delivered[0] <= internal_date(data) <= side.delivered[1]:
            data = b"DELIVERED"
    # 3. UIDVALIDITY is chosen by each server; POP3 unique ids end in it (%08Xu%08Xv, Dovecot's default).
    if kind == "POP3" and "UIDL" in key[1]:
        data = re.sub(rb"([0-9a-f]{8})%08x\b" % side.uidvalidity, rb"\1UIDVALID", data)
    # 4. Modification sequences count a driver's own steps, from when a client first asked for them or the index
    #    was made anew; only their order means anything.
    if key == ("SELECT", "HIGHESTMODSEQ"):
        data = b"MODSEQ"
    return data


def equivalent(key, data):
    """What the same driver may say in one of two ways."""
    # 5. Dovecot's cache remembers of a plain 7-bit text only that it is one, and then names it in lower
    #    case; read from the message itself, it is named as the message does.
    if key[0] == "FETCH" and key[-1] in ("BODYSTRUCTURE", "BODY"):
        data = PLAIN_TEXT.sub(lambda match: match.group().lower(), data)
    return data


def lasting(key):
    """Whether the same driver has to answer the same whenever asked: all but flags."""
    if key[0] == "FETCH":
        return key[-1] not in ("FLAGS", "order", "answer")
    return key[0] == "POP3" or key[0] in ("SORT", "THREAD") and "UNSEEN" not in key[-1]


def internal_date(data):
    match = re.fullmatch(rb'"([ \d]\d)-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"', data)
    if match is None:
        return -1
    day, month, year, hour, minute, second, sign, zone_hour, zone_minute = (g.decode() for g in match.groups())
    zone = int(sign + "1") * (int(zone_hour) * 3600 + int(zone_minute) * 60)
    month = MONTHS.index(month) + 1
    return calendar.timegm((int(year), month, int(day), int(hour), int(minute), int(second))) - zone


@pytest.fixture(scope="module")
def servers(module_server_factory):
    pair = start_pair(module_server_factory)
    for server in pair:
        server.allow_log(*COMPLAINTS)
    return pair


def compare(servers, user, names):
    def name_of(key):
        number = re.fullmatch(r"(?:RETR|TOP|LIST|UIDL) (\d+).*", key[1]) if key[0] == "POP3" else None
        return names.get(int(number.group(1)) if number else key[1])

    return Comparison(*(Side(server, user) for server in servers), normalise=normalise, equivalent=equivalent,
                      name_of=name_of, lasting=lasting)


def complaints(side):
    """What Dovecot logged about the user's messages, without the names of files and processes."""
    pattern = r"imap\(%s\).* Error: .*UID[= ](\d+).*(%s)" % (re.escape(side.user), "|".join(COMPLAINTS))
    return re.findall(pattern, side.server.log_text())


def corpus():
    """Half of it, the other half on the other series; with LBOX_DIFFERENTIAL=all all of it, with =quick half of that half."""
    messages, wanted = corpus_messages(), os.environ.get("LBOX_DIFFERENTIAL")
    return messages if wanted == "all" else messages[SERIES == "2.4"::4 if wanted == "quick" else 2]


def read_all(comparison, uids, way, label):
    dated = way != "lmtp"  # by LMTP, a message is received in this second or the next
    bodies = label == "cold" or (label, way) == ("rebuilt", "append")  # slow, and never cached
    all_readings = {
        "fetch": readings.fetch(uids), "search": readings.search(bodies),
        "sort": readings.sort(dated), "thread": readings.thread(dated), "pop3": readings.pop3,
    }
    comparison.run(readings.select, label)
    for name in ORDER[way]:
        comparison.run(all_readings[name], label)


@pytest.mark.parametrize("way", DELIVER)
def test_same_answers(servers, way):
    unbearable = [data for driver in (SUBJECT, PEER) for data in UNBEARABLE.get((driver, SERIES), ())]
    messages = [(name, data) for name, data in own_messages() + corpus() if data not in unbearable]
    names = {}
    comparison = compare(servers, "diff-" + way, names)

    started = time.monotonic()
    said = comparison.both(lambda side: DELIVER[way](side, messages))
    assert said[0] == said[1]
    accepted = [name for name, answer in said[0] if name and not answer.startswith((b"NO", b"BAD"))]
    assert len(accepted) >= len(messages) - 2, "only what is empty may be refused"
    names.update(enumerate(accepted, 1))
    print("%-7s %5d messages delivered %6.1f s" % (way, len(accepted), time.monotonic() - started))

    for label in ["cold", "warm"] + ["rebuilt"] * SUBJECT_INDEX_IS_CACHE:
        started = time.monotonic()
        before = comparison.sides[0].uidvalidity
        if label == "rebuilt":
            delete_index(comparison.sides[0])
        read_all(comparison, sorted(names), way, label)
        if label == "warm" and way != "lmtp":
            comparison.run(readings.fetch(sorted(names), readings.MORE_ITEMS), label)
        assert comparison.sides[0].uidvalidity == before or label == "cold"
        print("%-7s %5d messages %-9s %6.1f s" % (way, len(names), label, time.monotonic() - started))
    comparison.assert_equal()
    logged = comparison.both(complaints)
    assert set(logged[0]) == set(logged[1])


# Controls ---------------------------------------------------------------------------------------------------


def replaced(old, new):
    def change(data):
        assert data.count(old) == 1
        return data.replace(old, new)
    return change


# A change made to one of a few messages on its way to one of the two servers, and what at least is then found.
CHANGES = {
    "nothing": ({}, set()),
    "body-byte": ({"data": replaced(b"The signature", b"The_signature")},
                  {"BODY[]", "BODY[TEXT]", "BODY[1]", "RETR"}),
    "body-longer": ({"data": replaced(b"The signature", b"The  signature")},
                    {"BODY[]", "BODY[1]", "RFC822.SIZE", "BODYSTRUCTURE", "BINARY.SIZE[1]", "LIST", "RETR"}),
    "subject": ({"data": replaced(b"Subject: ", b"Subject: X")},
                {"BODY[]", "BODY[HEADER]", "ENVELOPE", "SORT", "RETR", "TOP"}),
    "header-case": ({"data": replaced(b"X-Mailer", b"X-mailer")}, {"BODY[]", "BODY[HEADER]", "RETR", "TOP"}),
    "flag": ({"flags": ["\\Flagged", "odd"]}, {"FLAGS", "SEARCH"}),
    "second": ({"received": 1_000_000_000}, {"INTERNALDATE", "SORT"}),
    "left-out": ({"data": None}, {"EXISTS", "STAT", "SEARCH", "SORT", "BODY[]"}),
}


def kind_of(key):
    """What of CHANGES' expectations an observation is."""
    if key[0] == "POP3":
        return key[1].split()[0]
    return key[-1] if key[0] in ("FETCH", "SELECT") else key[0]


VICTIM = 5  # which of the messages is changed


@pytest.mark.parametrize("change", CHANGES)
def test_control_change_is_found(servers, change):
    what, expected = CHANGES[change]
    messages = [(name, data) for name, data in own_messages() if name.startswith("ok-note-")]
    names = {uid: name for uid, (name, _) in enumerate(messages, 1)}
    comparison = compare(servers, "control-" + change, names)

    def deliver(side):
        mine, flags = list(messages), [[] for _ in messages]
        received = [1_000_000_001 + n for n in range(len(messages))]
        if side is comparison.sides[1]:
            name, data = mine[VICTIM]
            if "data" in what:
                mine[VICTIM:VICTIM + 1] = [(name, what["data"](data))] if what["data"] else []
            flags[VICTIM] = what.get("flags", flags[VICTIM])
            received[VICTIM] = what.get("received", received[VICTIM])
        deliveries.by_append(side, mine, flags.__getitem__, received.__getitem__)

    comparison.both(deliver)
    read_all(comparison, sorted(names), "append", "control")
    found = {kind_of(d.key) for d in comparison.differences}
    assert found >= expected, comparison.report()
    if change == "nothing":
        comparison.assert_equal()
    elif change != "left-out":
        assert {d.name for d in comparison.differences if d.key[0] == "FETCH"} == {messages[VICTIM][0]}


def test_control_normalisation_hides_no_more_than_it_says(servers):
    """By LMTP, a message from another sender is found; a date of receipt must lie within the delivery."""
    messages = [(name, data) for name, data in own_messages() if name.startswith("ok-note-")][:3]
    comparison = compare(servers, "control-lmtp", {})
    senders = dict(zip(comparison.sides, ("one@example.org", "other@example.org")))
    comparison.both(lambda side: deliveries.by_lmtp(side, messages, senders[side]))
    comparison.run(readings.select)
    comparison.run(readings.fetch([1, 2, 3]))
    assert {d.key for d in comparison.differences} == {
        ("FETCH", uid, item) for uid in (1, 2, 3) for item in ("BODY[HEADER]", "BODY[]", "RFC822.SIZE")}

    side = comparison.sides[0]
    side.delivered = (1_577_836_800, 1_577_836_802)  # 2020 begins
    for date, inside in (
            ("31-Dec-2019 23:59:59 +0000", False), ("01-Jan-2020 00:00:02 +0000", True),
            (" 1-Jan-2020 00:00:03 +0000", False), ("01-Jan-2020 01:00:01 +0100", True),
            ("31-Dec-2019 20:30:01 -0330", True), ("01-Jan-2020 00:00:01 +0100", False)):
        raw = b'"%s"' % date.encode()
        assert (normalise(side, ("FETCH", 1, "INTERNALDATE"), raw) != raw) == inside, date
