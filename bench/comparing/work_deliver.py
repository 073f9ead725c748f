"""Mail coming in: LMTP, APPEND, MULTIAPPEND, dsync."""

import concurrent.futures

from .run import multiappend, operation


def _lmtp(fmt, user, messages):
    with fmt.lmtp() as lmtp:
        for message in messages:
            lmtp.deliver(user, message, sender="sender@example.com")


def _count(fmt, user):
    with fmt.imap(user) as imap:
        return imap.select(read_only=True)[b"EXISTS"]


def _together(jobs):
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()


def _first_message(turn, users):
    """So that nobody is measured making an INBOX; mdbox refuses deliveries that come while another makes it."""
    for user in users:
        _lmtp(turn.format, user, [turn.corpus.message(0)])


@operation("lmtp", "LMTP, one message after the other", limit=0.95)
def lmtp_one_by_one(turn):
    user, messages = turn.new_user("lmtp"), turn.corpus.messages(turn.scale.deliveries, turn.repeat * turn.scale.deliveries)
    _first_message(turn, [user])
    with turn.timed():
        _lmtp(turn.format, user, messages)
    return _count(turn.format, user)


@operation("lmtp-4-users", "LMTP, 4 connections to 4 users", limit=0.95)
def lmtp_four_users(turn):
    users = [turn.new_user("four%d" % i) for i in range(4)]
    messages = turn.corpus.messages(turn.scale.deliveries, turn.repeat * turn.scale.deliveries)
    _first_message(turn, users)
    with turn.timed():
        _together([lambda i=i: _lmtp(turn.format, users[i], messages[i::4]) for i in range(4)])
    return [_count(turn.format, user) for user in users]


@operation("lmtp-4-to-1", "LMTP, 4 connections to one user", limit=1.1)
def lmtp_one_user(turn):
    user, messages = turn.new_user("shared"), turn.corpus.messages(turn.scale.deliveries, turn.repeat * turn.scale.deliveries)
    _first_message(turn, [user])
    with turn.timed():
        _together([lambda i=i: _lmtp(turn.format, user, messages[i::4]) for i in range(4)])
    return _count(turn.format, user)


@operation("lmtp-into-large", "LMTP into a large mailbox", limit=0.9)
def lmtp_into_large(turn):
    user = turn.filled(turn.scale.mailbox)
    count = turn.scale.deliveries // 2
    messages = turn.corpus.messages(count)
    with turn.timed():
        _lmtp(turn.format, user, messages)
    with turn.format.imap(user) as imap:
        exists = imap.select()[b"EXISTS"]
        imap.ok("STORE %d:* +FLAGS.SILENT (\\Deleted)" % (turn.scale.mailbox + 1))
        imap.ok("EXPUNGE")
    return exists


@operation("append-into-large", "APPEND into a large mailbox", limit=0.9)
def append_into_large(turn):
    user = turn.filled(turn.scale.mailbox)
    messages = turn.corpus.messages(turn.scale.deliveries // 2)
    with turn.format.imap(user) as imap:
        with turn.timed():
            for message in messages:
                imap.append("INBOX", message).expect_ok()
        exists = imap.select()[b"EXISTS"]
        imap.ok("STORE %d:* +FLAGS.SILENT (\\Deleted)" % (turn.scale.mailbox + 1))
        imap.ok("EXPUNGE")
    return exists


@operation("multiappend", "MULTIAPPEND", limit=0.85, against="mdbox-zstd")
def multi_append(turn):
    user, messages = turn.new_user("multi"), turn.corpus.messages(turn.scale.batch)
    with turn.format.imap(user) as imap:
        with turn.timed():
            multiappend(imap, "INBOX", messages)
        return imap.select(read_only=True)[b"EXISTS"]


@operation("backup", "doveadm backup from a Maildir", limit=0.9, against="mdbox-zstd")
def backup(turn):
    source = turn.bench.maildir_of(turn.scale.mailbox)
    user = turn.new_user("backup")
    with turn.timed():
        turn.format.doveadm("backup", "-R", "maildir:" + source, user=user)
    return _count(turn.format, user)
