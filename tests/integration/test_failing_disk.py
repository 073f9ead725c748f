"""Each failing call through a real server: the disk refuses the first, the second, ... call of an operation until none is left.

The client sees a temporary failure or a NO, nothing acknowledged is lost, what was refused is there whole or not at all, and the
next attempt works. $LBOX_FAILING_STEP: how far apart the calls are that are tried; 1 is each of them.
"""
# ctest: timeout=900

import errno
import os

import pytest

from support.power_rounds import EXTRA, Rounds
from support.power_state import Doubt, Mailbox, Row, Seen, State, message, observe, settle
from support.powercut import PowercutDisk
from support.server import SERIES, Server
from support.wire import Imap, Literal, Lmtp

STEP = int(os.environ.get("LBOX_FAILING_STEP", "4"))
USER = "ann"
# What fails: error number, how many calls in a row, which.
FAULTS = {
    "ENOSPC": (errno.ENOSPC, 1 << 30, "space"),
    "EDQUOT": (errno.EDQUOT, 1, "space"),
    "EIO": (errno.EIO, 1, "all"),
    "short": (0, 3, "all"),
}


class Client:
    """One user's mailboxes F1 and F2, and what was acknowledged of them. Each operation returns whether it succeeded."""

    def __init__(self, server):
        self.server = server
        self.state, self.seen = State(), Seen()
        self.boxes = {name: Mailbox(USER, name) for name in ("INBOX", "F1", "F2")}
        self.number = 0
        self.refused = []
        self.before_delete = lambda: None
        self.imap = self.connect()
        for name in ("F1", "F2"):
            self.imap.ok("CREATE", name)

    def connect(self):
        return Imap(port=self.server.imap_port, user=USER, password=self.server.password(USER))

    def close(self):
        self.imap.close()

    def reconnect(self):
        self.imap.close()
        self.imap = self.connect()

    def name(self, kind="a"):
        self.number += 1
        return "%s%d" % (kind, self.number)

    def in_box(self, name):
        return [row for row in self.state.rows if row.mailbox is self.boxes[name]]

    def fill(self, count):
        """Sees to it that F1 has so many messages that no doubt is about."""
        while len(self.in_box("F1")) < count:
            assert self.append()
        self.imap.select("F1")

    def judge(self, answer, doubt):
        """Notes the outcome of an IMAP command."""
        if answer.ok:
            return True
        assert answer.status == "NO", answer
        assert len(answer.text) > 20, answer
        self.refused.append(answer.text)
        self.state.doubts.append(doubt)
        return False

    def deliver(self, kind="d"):
        row = Row(self.name(kind), self.boxes["INBOX"])
        with Lmtp(port=self.server.lmtp_port) as lmtp:
            (reply,) = lmtp.try_deliver(USER, message(row.token))
        assert reply.ok or 400 <= reply.code < 500, reply
        if reply.ok:
            self.state.rows.append(row)
        else:
            self.refused.append(reply.text)
            self.state.doubts.append(Doubt([row]))
        return reply.ok

    def deliver_large(self):
        return self.deliver("dL")

    def append(self):
        row = Row(self.name(), self.boxes["F1"], ("\\Flagged",))
        answer = self.imap.command("APPEND F1 (\\Flagged)", Literal(message(row.token)))
        if not self.judge(answer, Doubt([row])):
            return False
        row.uid = int(answer.code.split()[2])
        self.state.rows.append(row)
        return True

    def copy(self, command="COPY"):
        rows = self.in_box("F1")[:2]
        copies = [Row(row.token, self.boxes["F2"], row.flags) for row in rows]
        moved = rows if command == "MOVE" else []
        answer = self.imap.command("UID %s %s F2" % (command, ",".join(str(row.uid) for row in rows)))
        if not self.judge(answer, Doubt(copies, moved, moved=bool(moved))):
            return False
        self.state.rows = [row for row in self.state.rows if row not in moved] + copies
        return True

    def move(self):
        return self.copy("MOVE")

    def store(self):
        row = self.in_box("F1")[0]
        flag = self.name("kw") if self.number % 9 == 0 else "\\Answered"
        row.history.append([None, row.flags ^ {flag}])
        sign = "+" if flag in row.flags else "-"
        if not self.judge(self.imap.command("UID STORE %d %sFLAGS.SILENT (%s)" % (row.uid, sign, flag)), Doubt()):
            return False
        row.history[-1][0] = 1
        return True

    def expunge(self):
        row = self.in_box("F1")[0]
        row.history.append([None, row.flags | {"\\Deleted"}])
        if not self.judge(self.imap.command("UID STORE %d +FLAGS.SILENT (\\Deleted)" % row.uid), Doubt()):
            return False
        if not self.judge(self.imap.command("UID EXPUNGE %d" % row.uid), Doubt(removes=[row])):
            return False
        self.state.rows.remove(row)
        return True

    def delete(self):
        box = Mailbox(USER, self.name("box"))
        self.imap.ok("CREATE", box.name)
        row = Row(self.name(), box)
        row.uid = int(self.imap.command("APPEND", box.name, Literal(message(row.token))).expect_ok().code.split()[2])
        self.state.own.append(box)
        self.state.rows.append(row)
        self.before_delete()
        box.names.append(None)
        if not self.judge(self.imap.command("DELETE", box.name), Doubt(removes=[row], empties=box)):
            return False
        self.state.own.remove(box)
        self.state.rows.remove(row)
        return True

    def create(self):
        box = Mailbox(USER, self.name("box"))
        answer = self.imap.command("CREATE", box.name)
        self.state.own.append(box)
        if not self.judge(answer, Doubt()):
            box.names.append(None)
            return False
        return True

    def check(self):
        found, said = observe(self.server, (USER,), counts_first=False)
        return said + settle(found, [self.state], list(self.boxes.values()), self.seen)


OPERATIONS = {
    "deliver": Client.deliver,
    "deliver-large": Client.deliver_large,
    "append": Client.append,
    "copy": Client.copy,
    "move": Client.move,
    "store": Client.store,
    "expunge": Client.expunge,
    "create": Client.create,
}


@pytest.fixture(scope="module")
def machine():
    extra = {series: text + PowercutDisk.settings for series, text in EXTRA.items()}
    server = Server(extra=extra, fsync="always", in_place=SERIES == "2.4")  # for the setting that allows FUSE
    server.allow_log(r"^(?!.*(Panic: |killed with signal))")  # Dovecot says a lot about its own index files
    with PowercutDisk(server.base + "/home", server.config.mail_uid) as disk:
        try:
            yield server.start(), disk
        finally:
            server.close()


def attempts(client, disk, operation, fault):
    """Runs an operation with each of its calls failing; returns how many calls there were, and how often it was refused."""
    number, refused = 0, 0
    while True:
        number += 1 if number < 4 else STEP
        client.fill(3)
        error, count, calls = FAULTS[fault]
        disk.fail(error, number, count, calls)
        done = operation(client)
        _, failed = disk.faults()
        disk.fail(0, 0)
        if not failed:
            assert done, "refused, though nothing failed: %r" % client.refused[-1:]
            return number - 1, refused
        client.reconnect()  # Dovecot's own index files may stay broken for a session
        if not done:
            refused += 1
            said = client.check()
            assert not said, "call %d\n%s" % (number, "\n".join(said))
            client.fill(3)
            assert operation(client), "call %d: the next attempt is refused, too: %r" % (number, client.refused[-1:])


@pytest.fixture(scope="module")
def client(machine):
    made = Client(machine[0])
    yield made
    made.close()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_call_fails(machine, client, name, fault):
    _, disk = machine
    calls, refused = attempts(client, disk, OPERATIONS[name], fault)
    said = client.check()
    assert not said, "\n".join(said)
    print("%s %s: %d calls, %d times refused" % (name, fault, calls, refused))
    assert calls > 5


def test_asking_again_is_no_success(machine, client):
    """A removal that was refused is refused again while the disk is away, though Dovecot's own log has it by then."""
    _, disk = machine
    refused = 0
    for first in range(1, 9):
        client.fill(3)
        row = client.in_box("F1")[0]
        client.imap.ok("UID STORE %d +FLAGS.SILENT (\\Deleted)" % row.uid)
        disk.fail(errno.EIO, first, 1 << 30)
        if client.imap.command("UID EXPUNGE %d" % row.uid).status != "OK":
            refused += 1
            assert client.imap.command("UID EXPUNGE %d" % row.uid).status != "OK", "from call %d on" % first
        disk.fail(0, 0)
        client.imap.ok("UID EXPUNGE %d" % row.uid)
        client.state.rows.remove(row)
        client.reconnect()
        said = client.check()
        assert not said, "from call %d on\n%s" % (first, "\n".join(said))
    assert refused > 1


@pytest.mark.parametrize("name", ("expunge", "move", "delete"))
def test_removals_on_a_disk_that_fails_and_is_cut_later(name):
    """The disk fails from the n-th call of a removal on, then the power goes: what was answered OK does not come back."""
    done, answered, refused = False, 0, 0
    with Rounds(PowercutDisk, fsync="always") as run:
        run.server.allow_log(r"^(?!.*(Panic: |killed with signal))")
        client = Client(run.server)
        for first in [*range(1, 4), *range(4, 100, STEP)]:
            client.fill(3)

            def fail(first=first):
                run.disk.fail(errno.EIO, first, 1 << 30)

            client.before_delete = fail
            if name != "delete":
                fail()
            done = getattr(client, name)()
            answered, refused = answered + done, refused + (not done)
            _, failed = run.disk.faults()
            run.off()
            run.on("dropped")
            client.reconnect()
            said = client.check()
            assert not said, "from call %d on, %s\n%s" % (first, "answered OK" if done else "refused", "\n".join(said))
            if not failed:
                break
        client.close()
    print("%s: %d answered, %d refused" % (name, answered, refused))
    assert done and refused > 1


def test_a_loss_is_noticed(client):
    """The control: a message goes behind the back of the one who was told that it is there."""
    client.fill(3)
    row = client.in_box("F1")[0]
    client.imap.ok("UID STORE %d +FLAGS.SILENT (\\Deleted)" % row.uid)
    client.imap.ok("UID EXPUNGE %d" % row.uid)
    assert client.check() == ["%r is lost" % row]
