"""Clients that do random operations at once until they are stopped or cut off, and note what was acknowledged (power_state.py).

Each is a thread with a State that outlives it. A server may refuse nothing while it runs; once `ending` is set, answers other than
OK only mean that nothing is known.
"""

import random
import re
import threading

from .imap_parse import uid_set
from .power_state import Doubt, Mailbox, Row, message, now
from .wire import Imap, Literal, Lmtp, Pop3, WireError, WireTimeout, string

FLAGS = ("\\Flagged", "\\Answered", "\\Draft", "kw0", "kw1")
FOLDERS = ("INBOX", "F1", "F2/deep")
POPULATION = 40  # messages of one worker before it rather expunges


class Ended(Exception):
    """The server went away, or was going to."""


class World:
    """What the workers of one run share. Mailboxes are added by add_user(), which creates them."""

    def __init__(self, server, seen):
        self.server, self.seen = server, seen
        self.users, self.shared = [], []
        self.ending = threading.Event()
        self._number = 0
        self._lock = threading.Lock()

    def add_user(self, user):
        with self.imap(user) as imap:
            for folder in FOLDERS[1:]:
                imap.ok("CREATE", folder)
        self.users.append(user)
        self.shared += [Mailbox(user, folder) for folder in FOLDERS]

    def drop_user(self, user, states):
        """Its mail is not looked at any more. Only while no worker runs and no doubt is left."""
        self.users.remove(user)
        self.shared = [box for box in self.shared if box.user != user]
        for state in states:
            state.rows = [row for row in state.rows if row.mailbox.user != user]
            state.own = [box for box in state.own if box.user != user]

    def token(self, kind):
        with self._lock:
            self._number += 1
            return "%s%d" % (kind, self._number)

    def imap(self, user):
        return Imap(port=self.server.imap_port, user=user, password=self.server.password(user))


class Worker(threading.Thread):
    """on_break: "end" when the server goes away, or "again": connects again, and what was under way stays a doubt. patience: seconds
    that an operation may take."""

    def __init__(self, world, state, seed, on_break="end", patience=None):
        super().__init__(daemon=True)
        self.world, self.state, self.on_break = world, state, on_break
        self.random = random.Random(seed)
        self.patience = patience
        self.longest = 0.0
        self.failure = None
        self.doubt = None
        self.steps = 0

    def run(self):
        try:
            while not self.world.ending.is_set():
                try:
                    self._timed_step()
                except WireTimeout:
                    raise
                except (Ended, WireError, OSError) as error:
                    self._broken(error)
        except BaseException as error:  # pylint: disable=broad-except
            self.failure = error
            self.world.ending.set()
        finally:
            self.disconnect()

    def _timed_step(self):
        began = now()
        self.step()
        self.steps += 1
        took = now() - began
        self.longest = max(self.longest, took)
        if self.patience is not None and took > self.patience:
            raise AssertionError("%s took %.1f s" % (type(self).__name__, took))

    def _broken(self, error):
        if self.doubt is not None:
            self.state.doubts.append(self.doubt)
            self.doubt = None
        if self.world.ending.is_set():
            return
        if self.on_break != "again":
            raise AssertionError("cut off: %s" % error)
        self.disconnect()
        self.world.ending.wait(0.02)

    def expect(self, ok, what):
        """An answer that has to be OK unless the server is going away."""
        if not ok:
            if self.world.ending.is_set():
                raise Ended(what)
            raise AssertionError("refused: %s" % what)

    def is_sure(self, row):
        """Nothing is in doubt about a message."""
        return all(when is not None for when, _ in row.history) and not any(row in doubt.removes for doubt in self.state.doubts)

    def during(self, doubt):
        self.doubt = doubt

    def done(self, kind, by=1):
        self.doubt = None
        self.state.counts[kind] += by

    def saw(self, box, uidvalidity, uid, token):
        wrong = self.world.seen.uid(box.user, box.name, uidvalidity, uid, token)
        if wrong is None and box.uidvalidity not in (None, uidvalidity):
            wrong = "%r: UIDVALIDITY was %d, is %d" % (box, box.uidvalidity, uidvalidity)
        box.uidvalidity = uidvalidity
        if wrong:
            raise AssertionError(wrong)

    def disconnect(self):
        pass

    def step(self):
        raise NotImplementedError


class LmtpWorker(Worker):
    lmtp = None

    def connected(self):
        if self.lmtp is None:
            self.lmtp = Lmtp(port=self.world.server.lmtp_port)
        return self.lmtp

    def deliver(self, users):
        """One message to each of them; returns the rows."""
        token = self.world.token("d")
        boxes = {box.user: box for box in self.world.shared if box.name == "INBOX"}
        rows = [Row(token, boxes[user]) for user in users]
        lmtp = self.connected()
        self.during(Doubt(list(rows), whole=False))
        replies = lmtp.try_deliver(users, message(token))
        for row, reply in zip(rows, replies):
            if reply.ok:  # each for itself
                self.state.rows.append(row)
                self.doubt.adds.remove(row)
        self.expect(all(reply.ok for reply in replies), replies)
        self.done("deliver", len(rows))
        return rows

    def step(self):
        users = self.world.users
        self.deliver(self.random.sample(users, self.random.choice((1, 1, min(2, len(users))))))

    def disconnect(self):
        if self.lmtp is not None:
            self.lmtp.close()
            self.lmtp = None


class Pop3Worker(LmtpWorker):
    """Delivers, then reads and deletes of its messages by POP3."""

    def step(self):
        user = self.random.choice(self.world.users)
        for _ in range(2):
            self.deliver([user])
        own = {row.token: row for row in self.state.rows
               if row.mailbox.user == user and self.is_sure(row)}
        uidls = self.world.seen.uidls
        server = self.world.server
        pop3 = Pop3(port=server.pop3_port, user=user, password=server.password(user))
        try:
            found = {}
            for number, uidl in pop3.uidl().items():
                token = uidls.get((user, uidl.decode()))
                if token is None:
                    answer = pop3.command("TOP %d 0" % number)
                    match = re.search(rb"^X-Token: (\S+)\r$", answer.message if answer.ok else b"", re.M)
                    if match is None:  # expunged meanwhile
                        continue
                    token = match.group(1).decode()
                    wrong = self.world.seen.uidl(user, uidl.decode(), token)
                    if wrong:
                        raise AssertionError(wrong)
                if token in own:
                    found[token] = number
            self.expect(len(found) == len(own), "not listed: %s" % sorted(set(own) - set(found)))
            for token in self.random.sample(sorted(found), min(2, len(found))):
                answer = pop3.command("RETR %d" % found[token])
                self.expect(answer.ok, answer.status)
                if not answer.message.endswith(message(token)):
                    raise AssertionError("not the bytes of %s" % token)
                self.change_flags(own[token], {"\\Seen"}, None)
            most = 3 if len(own) > POPULATION // 4 else 1
            deleted = [own[token] for token in self.random.sample(sorted(found), min(most, len(found)))]
            for row in deleted:
                self.expect(pop3.command("DELE %d" % found[row.token]).ok, "DELE")
            self.during(Doubt(removes=deleted, whole=False))
            self.expect(pop3.quit().ok, "QUIT")
        finally:
            pop3.close()
        self.state.rows = [row for row in self.state.rows if row not in deleted]
        for row in own.values():
            if row.history[-1][0] is None:
                row.history[-1][0] = now()
        self.done("POP3 delete", len(deleted))

    @staticmethod
    def change_flags(row, flags, when):
        if row.flags != flags:
            row.history.append([when, frozenset(flags)])


class ImapWorker(Worker):
    OPERATIONS = {"append": 3, "multiappend": 2, "copy": 3, "move": 3, "store": 6, "expunge": 3, "fetch": 2, "folder": 2}

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.sessions = {}

    def disconnect(self):
        for imap in self.sessions.values():
            imap.close()
        self.sessions = {}

    def imap(self, user):
        if user not in self.sessions:
            self.sessions[user] = self.world.imap(user)
            self.sessions[user].selected = None
        return self.sessions[user]

    def select(self, box):
        imap = self.imap(box.user)
        if imap.selected is not box:
            imap.selected = None
            answer = imap.command("SELECT", '"%s"' % box.name)
            self.expect(answer.ok, "SELECT %r: %r" % (box, answer))
            imap.selected = box
        else:
            answer = imap.command("NOOP")
            self.expect(answer.ok, "NOOP: %r" % answer)
        return imap

    def unselect(self, imap, box):
        if imap.selected is box:
            self.command(imap, "UNSELECT")
            imap.selected = None

    def command(self, imap, *pieces):
        answer = imap.command(*pieces)
        self.expect(answer.ok, "%r: %r" % (pieces[0], answer))
        return answer

    def boxes(self):
        return self.world.shared + [box for box in self.state.own if len(box.names) == 1]

    def mine(self, box):
        return [row for row in self.state.rows if row.mailbox is box and row.uid is not None and self.is_sure(row)]

    def step(self):
        box = self.random.choice(self.boxes())
        own = self.mine(box)
        kinds = dict(self.OPERATIONS)
        if len(self.state.rows) > POPULATION:
            kinds.update(expunge=12)
        kind = self.random.choices(list(kinds), kinds.values())[0]
        if kind in ("append", "multiappend") or (not own and kind != "folder"):
            self.append(box, 3 if kind == "multiappend" else 1)
        elif kind == "folder":
            self.folder()
        else:
            getattr(self, kind)(box, self.random.sample(own, min(len(own), self.random.randrange(1, 5))))

    def append(self, box, count):
        flags = self.random.sample(FLAGS, self.random.randrange(3))
        rows = [Row(self.world.token("a"), box, flags) for _ in range(count)]
        imap = self.imap(box.user)
        pieces = ["APPEND", '"%s"' % box.name]
        for row in rows:
            pieces += ["(%s)" % " ".join(flags), Literal(message(row.token))]
        self.during(Doubt(rows))
        code = self.command(imap, *pieces).code.decode().split()
        self.told_uids(rows, int(code[1]), _numbers(code[2]))
        self.state.rows += rows
        self.done("append" if count == 1 else "multiappend", count)

    def told_uids(self, rows, uidvalidity, uids):
        if len(uids) != len(rows):
            raise AssertionError("UIDs %s of %r" % (uids, rows))
        for row, uid in zip(rows, uids):
            row.uid = uid
            self.saw(row.mailbox, uidvalidity, uid, row.token)

    def copy(self, box, picked, command="COPY"):
        target = self.random.choice([other for other in self.boxes() if other is not box and other.user == box.user])
        picked = sorted(picked, key=lambda row: row.uid)
        rows = [Row(row.token, target, row.flags) for row in picked]
        imap = self.select(box)
        moving = command == "MOVE"
        self.during(Doubt(rows, picked if moving else [], moved=moving))
        answer = self.command(imap, "UID", command, uid_set(row.uid for row in picked), '"%s"' % target.name)
        said = re.search(rb"COPYUID (\d+) (\S+) (\S+)\]", b"".join(answer.untagged) + answer.tagged)
        if said is None or _numbers(said.group(2).decode()) != [row.uid for row in picked]:
            raise AssertionError("%s %s of %r: %r" % (command, [row.uid for row in picked], box, said and said.group()))
        self.told_uids(rows, int(said.group(1)), _numbers(said.group(3).decode()))
        self.state.rows = [row for row in self.state.rows if not (moving and row in picked)] + rows
        self.done(command.lower(), len(rows))

    def move(self, box, picked):
        self.copy(box, picked, "MOVE")

    def store(self, box, picked):
        imap = self.select(box)
        flag, sign = self.random.choice(FLAGS), self.random.choice("+-")
        entries = []
        for row in picked:
            entries.append([None, row.flags | {flag} if sign == "+" else row.flags - {flag}])
            row.history.append(entries[-1])
        self.command(imap, "UID STORE", uid_set(row.uid for row in picked), "%sFLAGS.SILENT (%s)" % (sign, flag))
        for entry in entries:
            entry[0] = now()
        self.done("store", len(picked))

    def expunge(self, box, picked):
        imap = self.select(box)
        for row in picked:
            row.history.append([None, row.flags | {"\\Deleted"}])
        uids = uid_set(row.uid for row in picked)
        self.command(imap, "UID STORE", uids, "+FLAGS.SILENT (\\Deleted)")
        for row in picked:
            row.history[-1][0] = now()
        self.during(Doubt(removes=picked, whole=False))
        self.command(imap, "UID EXPUNGE", uids)
        self.state.rows = [row for row in self.state.rows if row not in picked]
        self.done("expunge", len(picked))

    def fetch(self, box, picked):
        imap = self.select(box)
        found = self.command(imap, "UID FETCH", uid_set(row.uid for row in picked), "(BODY.PEEK[])").fetches()
        for row in picked:
            data = string(found[row.uid][b"BODY[]"]) if row.uid in found else None
            if data != message(row.token):
                raise AssertionError("%r: %s" % (row, "not there" if data is None else "not its bytes"))
        self.done("fetch", len(picked))

    def folder(self):
        """Creates a mailbox of this worker's own, renames one or deletes one with all that is in it."""
        user = self.random.choice(self.world.users)
        own = [box for box in self.state.own if box.user == user and len(box.names) == 1]
        imap = self.imap(user)
        kind = "CREATE" if not own else self.random.choice(("RENAME", "DELETE") if len(own) > 1 else ("CREATE", "RENAME"))
        # Names come back after a mailbox was deleted: UIDVALIDITY has to tell the two apart.
        used = {name for box in self.state.own for name in box.names if box.user == user}
        free = [name for name in ("own%d-%d" % (id(self.state) % 9973, n) for n in range(9 + len(used))) if name not in used]
        new = self.random.choice(free)
        if kind == "CREATE":
            box = Mailbox(user, new)
            box.names = [new, None]
            self.state.own.append(box)
            self.command(imap, "CREATE", new)
        elif kind == "RENAME":
            box, old = own[0], own[0].name
            self.unselect(imap, box)
            box.names = [old, new]
            self.command(imap, "RENAME", old, new)
        else:
            box, old = own[0], own[0].name
            self.unselect(imap, box)
            box.names = [old, None]
            # Dovecot expunges what is in a mailbox before it deletes it.
            self.during(Doubt(removes=[row for row in self.state.rows if row.mailbox is box], whole=False, empties=box))
            self.command(imap, "DELETE", old)
            self.state.rows = [row for row in self.state.rows if row.mailbox is not box]
            self.state.own.remove(box)
            new = None
        box.names = [new]
        self.done(kind.lower())


def _numbers(text):
    """The numbers of an IMAP set."""
    found = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found


def run(world, states, seconds, end, seed, **options):
    """Has a worker for each state (a list of (State, class)) work at once for some seconds; end() ends it, after `ending` is set.
    Returns the workers; a failure of any of them is raised."""
    world.ending.clear()
    workers = [kind(world, state, "%s-%d" % (seed, n), **options) for n, (state, kind) in enumerate(states)]
    for worker in workers:
        worker.start()
    world.ending.wait(seconds)  # or until one has failed
    world.ending.set()
    end()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive(), "a client hangs"
    failures = [worker.failure for worker in workers if worker.failure is not None]
    if failures:
        raise AssertionError("; ".join("%s: %s" % (type(failure).__name__, failure) for failure in failures)) from failures[0]
    return workers
