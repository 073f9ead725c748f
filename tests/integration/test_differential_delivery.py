"""lbox against Maildir on the same Dovecot: the same messages, by LMTP, APPEND and doveadm import, read back by
every means, must give the same answers: cold, from warm caches, and after the index files were deleted.

LBOX_DIFF_PAIR="maildir/sdbox" compares two other drivers; the index files of the first are deleted.
"""

import glob
import os
import re
import time

import pytest

from support import deliveries, readings
from support.compare import Comparison, Side
from support.messages import corpus_messages, own_messages

SUBJECT, PEER = os.environ.get("LBOX_DIFF_PAIR", "lbox/maildir").split("/")

# Drivers whose index files are the truth, not a cache.
INDEX_IS_TRUTH = ("sdbox", "mdbox")

# What Dovecot itself complains about when messages are as broken as some of these.
COMPLAINTS = (r"failed: Base64 data ends prematurely", r"failed: Invalid (base64|quoted-printable) (data|input)",
              r"FETCH BODY\[TEXT\]<5\.20> got too little data")

# The order in which a way's mailbox is first read, so that each kind of access is once the one that finds nothing cached.
ORDER = {
    "lmtp": ("fetch", "search", "sort", "thread", "pop3"),
    "append": ("thread", "search", "sort", "fetch", "pop3"),
    "import": ("pop3", "sort", "search", "thread", "fetch"),
}

MONTH_NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def normalise(side, key, data):
    """What names the delivery or the mailbox itself, and nothing else. Each with its reason:"""
    # 1. The Received header that LMTP puts on top names the LMTP session and the second of delivery.
    #    Both have a fixed length, so sizes and offsets still have to agree.
    if side.delivered and (key[0] == "POP3" or key[0] == "FETCH" and "BODY[" in key[-1] or "HEADER" in key[-1]):
        data = re.sub(rb"(\r\n\tid )\S+(\r\n\t\(envelope-from <[^>]*>\)\r\n\tfor <[^>]*>; )[^\r\n]+", rb"\1ID\2DATE", data, count=1)
    # 2. The date of receipt of a message that came by LMTP is the clock's; that it lies within the time of
    #    delivery is required.
    if side.delivered and key[-1] == "INTERNALDATE" and side.delivered[0] <= internal_date(data) <= side.delivered[1]:
        data = b"DELIVERED"
    # 3. UIDVALIDITY is chosen by each server; POP3 unique ids end in it (%08Xu%08Xv, Dovecot's default).
    if key[0] == "POP3" and "UIDL" in key[1]:
        data = re.sub(rb"([0-9a-f]{8})%08x\b" % side.uidvalidity, rb"\1UIDVALID", data)
    # 4. Modification sequences count a driver's own steps; only their order means anything (CONDSTORE has its own tests).
    if key == ("SELECT", "HIGHESTMODSEQ"):
        data = b"MODSEQ"
    return data


def equivalent(key, data):
    """What the same driver may say in one of two ways."""
    # 5. Dovecot's cache remembers of a plain 7-bit text only that it is one, and then names it in lower case; read
    #    from the message itself, it is named as the message does.
    if key[0] == "FETCH" and key[-1] in ("BODYSTRUCTURE", "BODY"):
        data = re.sub(rb'^\("text" "plain" \("charset" "us-ascii"\) NIL NIL "7bit"', lambda m: m.group().lower(), data, flags=re.I)
    return data


def internal_date(data):
    match = re.fullmatch(rb'"([ \d]\d)-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"', data)
    day, month, year, hour, minute, second, sign, zone_hour, zone_minute = (g.decode() for g in match.groups())
    zone = int(sign + "1") * (int(zone_hour) * 3600 + int(zone_minute) * 60)
    date = time.strptime("%d %s %s" % (MONTH_NAMES.index(month) + 1, day.strip(), year), "%m %d %Y")
    return int(time.mktime(date) - time.timezone) + int(hour) * 3600 + int(minute) * 60 + int(second) - zone


def lasting(key):
    """FETCH of anything but flags, and the whole of POP3, stay the same for good."""
    return key[0] == "FETCH" and key[-1] not in ("FLAGS", "order", "answer") or key[0] == "POP3" or key[0] in ("SORT", "THREAD") and "UNSEEN" not in key[-1]


@pytest.fixture(scope="module")
def servers(module_server_factory):
    pair = [module_server_factory(driver=driver, lbox="lbox" in (SUBJECT, PEER)) for driver in (SUBJECT, PEER)]
    for server in pair:
        server.allow_log(*COMPLAINTS)
    return pair


def compare(servers, user, names):
    def name_of(key):
        uid = int(re.sub(r"\D", "", key[1].split()[1])) if key[0] == "POP3" and re.match(r"(RETR|TOP|LIST|UIDL) \d", key[1]) else key[1]
        return names.get(uid) if key[0] in ("FETCH", "POP3") else None

    return Comparison(*(Side(server, user) for server in servers), normalise=normalise, equivalent=equivalent, name_of=name_of, lasting=lasting)


def read_all(comparison, uids, way, label):
    dated = way != "lmtp"  # by LMTP, a message is received in this second or the next
    all_readings = {"fetch": readings.fetch(uids), "search": readings.search, "sort": readings.sort(dated),
                    "thread": readings.thread(dated), "pop3": readings.pop3}
    comparison.run(readings.select, label)
    for name in ORDER[way]:
        comparison.run(all_readings[name], label)


def delete_index(side):
    """Deletes every index file of the user, once no process has the mailbox open any more."""
    deadline = time.monotonic() + 60
    while side.server.pids("imap", "pop3", "doveadm"):
        assert time.monotonic() < deadline, "mail processes do not end"
        time.sleep(0.02)
    files = [path for pattern in ("dovecot.index*", "dovecot.list.index*")
             for path in glob.glob("%s/**/%s" % (side.server.user_home(side.user), pattern), recursive=True)]
    assert files, "no index files found to delete"
    for path in files:
        os.unlink(path)


@pytest.mark.parametrize("way", ORDER)
def test_same_answers(servers, way):
    messages = own_messages() + corpus_messages()
    names = {}
    comparison = compare(servers, "diff-" + way, names)
    started = time.monotonic()

    deliver = {"lmtp": deliveries.by_lmtp, "append": deliveries.by_append, "import": deliveries.by_import}[way]
    said = comparison.both(lambda side: deliver(side, messages))
    assert said[0] == said[1]
    accepted = [name for name, answer in said[0] if not answer.startswith((b"NO", b"BAD")) and name != "doveadm import"]
    assert len(accepted) >= len(messages) - 2, "only what is empty may be refused"
    names.update(enumerate(accepted, 1))
    print("%-7s %5d messages delivered %6.1f s" % (way, len(accepted), time.monotonic() - started))

    uids = sorted(names)
    passes = ["cold", "warm"] + ([] if SUBJECT in INDEX_IS_TRUTH else ["rebuilt"])
    for label in passes:
        started = time.monotonic()
        if label == "rebuilt":
            before = comparison.sides[0].uidvalidity
            delete_index(comparison.sides[0])
        read_all(comparison, uids, way, label)
        if label == "warm":
            comparison.run(readings.fetch(uids, readings.MORE_ITEMS), "warm, more")
        if label == "rebuilt":
            assert comparison.sides[0].uidvalidity == before
        print("%-7s %5d messages %-9s %6.1f s" % (way, len(uids), label, time.monotonic() - started))
    comparison.assert_equal()
