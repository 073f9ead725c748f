"""Changing: flags, COPY, MOVE, EXPUNGE, POP3 DELE, and disk that comes free."""

import time

from .run import operation

FREEING = 120  # seconds that freed space may take to show


@operation("store-tenth", "STORE on a tenth in one command", limit=1.2)
def store_tenth(turn):
    user = turn.filled(turn.scale.mailbox)
    numbers = ",".join(map(str, range(1 + turn.repeat % 10, turn.scale.mailbox + 1, 10)))
    with turn.format.imap(user) as imap:
        imap.select()
        with turn.timed():
            answer = imap.ok("STORE %s +FLAGS ($Bench%d)" % (numbers, turn.repeat % 3))
        imap.ok("STORE 1:* -FLAGS.SILENT ($Bench%d)" % (turn.repeat % 3))
    return len(answer.fetch_list())


@operation("store-single", "Single STOREs", limit=1.2)
def store_single(turn):
    user = turn.filled(turn.scale.mailbox)
    with turn.format.imap(user) as imap:
        imap.select()
        with turn.timed():
            for number in range(1, turn.scale.reads + 1):
                imap.ok("STORE %d %sFLAGS (\\Flagged)" % (number % turn.scale.mailbox + 1, "-" if turn.repeat % 2 else "+"))
    return True


def _moved(turn, command):
    user = turn.new_user_with(command.lower(), turn.scale.change)
    with turn.format.imap(user) as imap:
        imap.ok("CREATE Target")
        imap.select()
        with turn.timed():
            imap.ok("%s 1:%d Target" % (command, turn.scale.change), timeout=600)
        left = imap.ok("STATUS INBOX (MESSAGES)").untagged, imap.ok("STATUS Target (MESSAGES)").untagged
    return left


@operation("copy", "COPY", limit=1.0)
def copy(turn):
    return _moved(turn, "COPY")


@operation("move", "MOVE", limit=1.0)
def move(turn):
    return _moved(turn, "MOVE")


@operation("expunge", "EXPUNGE", limit=1.2, against="mdbox")
def expunge(turn):
    user = turn.new_user_with("expunge", turn.scale.change)
    with turn.format.imap(user) as imap:
        imap.select()
        imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        with turn.timed():
            answer = imap.ok("EXPUNGE", timeout=600)
    return len(answer.named("EXPUNGE"))


@operation("pop3-dele", "POP3 DELE and QUIT", limit=1.2, against="mdbox")
def pop3_dele(turn):
    user = turn.new_user_with("dele", turn.scale.change)
    pop3 = turn.format.pop3(user)
    try:
        with turn.timed():
            for first in range(1, turn.scale.change + 1, 50):
                for answer in pop3.pipeline(["DELE %d" % n for n in range(first, min(first + 50, turn.scale.change + 1))]):
                    answer.expect_ok()
            pop3.quit()
    finally:
        pop3.close()
    with turn.format.imap(user) as imap:
        return imap.select(read_only=True)[b"EXISTS"]


@operation("expunge-and-free", "EXPUNGE half, until the disk is free (mdbox: with doveadm purge)", limit=0.2, against="mdbox-zstd",
           peers=("mdbox", "mdbox-zstd"))
def expunge_and_free(turn):
    count = turn.scale.mailbox // 2
    user = turn.new_user_with("free", count)
    before = turn.format.disk(user)[0]
    with turn.format.imap(user) as imap:
        imap.select()
        imap.ok("STORE %s +FLAGS.SILENT (\\Deleted)" % ",".join(map(str, range(1, count + 1, 2))))
        with turn.timed():
            imap.ok("EXPUNGE", timeout=600)
    with turn.timed():
        if turn.format.name != "lbox":
            turn.format.doveadm("purge", user=user)
        _await_free(turn, user, before)
    return True


def _await_free(turn, user, before):
    deadline = time.monotonic() + FREEING
    while turn.format.disk(user)[0] > before * 0.75:
        if time.monotonic() > deadline:
            raise SystemExit("bench/compare: %s did not free its disk in %d s" % (turn.format.name, FREEING))
        time.sleep(0.005)
