"""The workers of the model test: each does random operations on mailboxes that all share, and remembers what was acknowledged.

Every message carries a token of the worker that made it, and only that worker touches it again: so what has to be there in the end
follows from what each worker was told, whatever the others did at the same time. A worker's state is plain data:

  live    {token: {(user, folder, uid): flags}}   uid is a text of no meaning where the protocol does not tell it (LMTP, doveadm)
  uids    {(user, folder, uidvalidity, uid): token}       every UID ever seen for a message
  uidls   {(user, UIDL): token}
  counts  {kind: operations acknowledged}
"""

import collections
import random
import re
import subprocess

from .imap_parse import string, uid_set
from .wire import Imap, Lmtp, Pop3

USERS = ("ann", "ben", "cid")
FOLDERS = ("INBOX", "F1", "F2", "F3/deep")
FLAGS = ("\\Flagged", "\\Answered", "\\Draft", "kw0", "kw1", "kw2")
POPULATION = 80  # messages of one worker and user before it rather expunges
BATCH = 8  # commands on their way at once


def message(token):
    """The bytes that belong to a token: some hundred to some thousand, the same whenever asked."""
    r = random.Random(token)
    lines = ["line %d of %s %x" % (n, token, r.getrandbits(64)) for n in range(r.choice((1, 3, 10, 80)))]
    return ("X-Token: %s\r\nFrom: a@example.com\r\nSubject: %s\r\n\r\n%s\r\n" % (token, token, "\r\n".join(lines))).encode()


def token_of(data):
    match = re.search(rb"^X-Token: (\S+)\r$", data, re.M)
    return match.group(1).decode() if match else None


def fresh_state(number, kind):
    return {"number": number, "kind": kind, "next": 0, "phase": 0, "live": {}, "uids": {}, "uidls": {}, "renamed": {},
            "counts": collections.Counter()}


def run(ports, config_file, password, state, operations):
    """One phase of a worker; returns its state. To be run in a process of its own."""
    state["phase"] += 1
    worker = {"imap": ImapWorker, "lmtp": LmtpWorker, "pop3": Pop3Worker, "doveadm": DoveadmWorker}[state["kind"]](
        ports, config_file, password, state)
    target = sum(state["counts"].values()) + operations
    while sum(state["counts"].values()) < target:
        worker.step()
    worker.close()
    return state


class Worker:
    def __init__(self, ports, config_file, password, state):
        self.ports, self.config_file, self.password, self.state = ports, config_file, password, state
        self.random = random.Random("%d-%d" % (state["number"], state["phase"]))
        self.sessions = {}
        self.lmtp = None

    def close(self):
        for session in self.sessions.values():
            session.logout()
            session.close()
        if self.lmtp:
            self.lmtp.command("QUIT")
            self.lmtp.close()

    def token(self):
        self.state["next"] += 1
        return "t%d-%d" % (self.state["number"], self.state["next"])

    def count(self, kind, by=1):
        self.state["counts"][kind] += by

    def deliver(self, user, token):
        if self.lmtp is None:
            self.lmtp = Lmtp(port=self.ports["lmtp"])
        self.lmtp.deliver(user, message(token))
        self.count("deliver")

    def imap(self, user):
        if user not in self.sessions:
            self.sessions[user] = Imap(port=self.ports["imap"], user=user, password=self.password)
            self.sessions[user].selected = None
        return self.sessions[user]

    def select(self, user, folder):
        imap = self.imap(user)
        if imap.selected != folder:
            imap.uidvalidity = imap.select(folder)[b"UIDVALIDITY"]
            imap.selected = folder
        else:
            imap.noop()  # or the session may not know of what was added since
        return imap

    def saw(self, user, folder, uidvalidity, uid, token):
        known = self.state["uids"].setdefault((user, folder, uidvalidity, uid), token)
        assert known == token, "UID %d of %s was given to %s and %s" % (uid, folder, known, token)

    def put(self, token, user, folder, uid, flags):
        self.state["live"].setdefault(token, {})[user, folder, uid] = frozenset(flags)

    def append(self, user, folder, count, flags=()):
        """Pipelined APPENDs; returns the tokens."""
        imap = self.imap(user)
        tokens = [self.token() for _ in range(count)]
        tags = [imap.send_append(folder, message(token), flags) for token in tokens]
        for token, tag in zip(tokens, tags):
            code = imap.wait(tag).expect_ok().code.split()
            self.saw(user, folder, int(code[1]), int(code[2]), token)
            self.put(token, user, folder, int(code[2]), flags)
        self.count("append", count)
        return tokens

    def mine(self, user, folder):
        """[(uid, token, flags)] of messages of this worker in a folder whose UID is known."""
        return [(place[2], token, flags) for token, places in self.state["live"].items()
                for place, flags in places.items() if place[:2] == (user, folder) and isinstance(place[2], int)]


class ImapWorker(Worker):
    def step(self):
        user, folder = self.random.choice(USERS), self.random.choice(FOLDERS)
        own = self.mine(user, folder)
        if len(own) < BATCH:
            self.append(user, folder, BATCH, self.random.sample(FLAGS, self.random.randrange(3)))
            return
        population = sum(len(places) for places in self.state["live"].values())
        kinds = {"append": 3, "copy": 6, "move": 6, "store": 7, "fetch": 24, "rename": 5,
                 "expunge": 7 if population < POPULATION * len(USERS) else 16}
        kind = self.random.choices(list(kinds), kinds.values())[0]
        if kind == "append":
            self.append(user, folder, BATCH)
        elif kind == "rename":
            self.rename(user)
        else:
            picked = self.random.sample(own, BATCH)
            getattr(self, kind)(self.select(user, folder), user, folder, picked)

    def copy(self, imap, user, folder, picked, command="COPY"):
        target = self.random.choice([f for f in FOLDERS if f != folder])
        tags = [imap.send("UID %s %d %s" % (command, uid, target)) for uid, _, _ in picked]
        said = b""  # where MOVE says what became of each message is up to the server when commands are pipelined
        for tag in tags:
            answer = imap.wait(tag).expect_ok()
            said += b"".join(answer.untagged) + answer.tagged
        copies = {int(uid): (int(uidvalidity), int(copy))
                  for uidvalidity, uid, copy in re.findall(rb"COPYUID (\d+) (\d+) (\d+)\]", said)}
        assert sorted(copies) == sorted(uid for uid, _, _ in picked), said
        for uid, token, flags in picked:
            self.saw(user, target, *copies[uid], token)
            self.put(token, user, target, copies[uid][1], flags)
            if command == "MOVE":
                del self.state["live"][token][user, folder, uid]
        self.count(command.lower(), len(picked))

    def move(self, imap, user, folder, picked):
        self.copy(imap, user, folder, picked, "MOVE")

    def store(self, imap, user, folder, picked):
        tags = []
        for uid, token, flags in picked:
            flag, sign = self.random.choice(FLAGS), self.random.choice("+-")
            tags.append(imap.send("UID STORE %d %sFLAGS.SILENT (%s)" % (uid, sign, flag)))
            self.put(token, user, folder, uid, flags | {flag} if sign == "+" else flags - {flag})
        for tag in tags:
            imap.wait(tag).expect_ok()
        self.count("store", len(picked))

    def expunge(self, imap, user, folder, picked):
        imap.ok("UID STORE", uid_set(uid for uid, _, _ in picked), "+FLAGS.SILENT (\\Deleted)")
        tags = [imap.send("UID EXPUNGE %d" % uid) for uid, _, _ in picked]
        for tag in tags:
            imap.wait(tag).expect_ok()
        for uid, token, _ in picked:
            del self.state["live"][token][user, folder, uid]
        self.count("expunge", len(picked))

    def fetch(self, imap, user, folder, picked):
        tags = [imap.send("UID FETCH %d (FLAGS BODY.PEEK[])" % uid) for uid, _, _ in picked]
        found = {}
        for tag in tags:
            found.update({uid: items for uid, items in imap.wait(tag).expect_ok().fetches().items() if b"BODY[]" in items})
        for uid, token, flags in picked:
            assert string(found[uid][b"BODY[]"]) == message(token), "%s UID %d" % (folder, uid)
            shown = {f.decode() for f in found[uid][b"FLAGS"].strip(b"()").split()} - {"\\Recent"}
            assert shown == flags, "%s UID %d: %s instead of %s" % (folder, uid, shown, flags)
        self.count("body fetch", len(picked))

    def rename(self, user):
        """A folder of this worker's own, with mail in it and one below, moves on to the next name."""
        imap, number = self.imap(user), self.state["number"]
        n = self.state["renamed"].get(user)
        if n is None:
            n = 0
            imap.ok("CREATE own%d-0/below" % number)
            imap.ok("CREATE own%d-0" % number)
            self.append(user, "own%d-0/below" % number, 1)
        tags = [imap.send("RENAME own%d-%d own%d-%d" % (number, n + i, number, n + i + 1)) for i in range(BATCH)]
        for tag in tags:
            imap.wait(tag).expect_ok()
        old, new = "own%d-%d/below" % (number, n), "own%d-%d/below" % (number, n + BATCH)
        for places in self.state["live"].values():
            for place in [place for place in places if place[:2] == (user, old)]:
                places[user, new, place[2]] = places.pop(place)
        self.state["renamed"][user] = n + BATCH
        self.count("rename", BATCH)


class LmtpWorker(Worker):
    def step(self):
        user, token = self.random.choice(USERS), self.token()
        self.deliver(user, token)
        self.put(token, user, "INBOX", "?", ())


class Pop3Worker(Worker):
    """Delivers, finds its messages by POP3 among those of all others, reads and deletes most of them."""

    def step(self):
        user = USERS[self.state["number"] % len(USERS)]
        wanted = {}
        for _ in range(20):
            token = self.token()
            self.deliver(user, token)
            self.put(token, user, "INBOX", "?", ())
            wanted[token] = None
        with Pop3(port=self.ports["pop3"], user=user, password=self.password) as pop3:
            uidls = {n: uidl.decode() for n, uidl in pop3.uidl().items()}
            unknown = [n for n, uidl in uidls.items() if (user, uidl) not in self.state["uidls"]]
            for start in range(0, len(unknown), 50):
                some = unknown[start:start + 50]
                for n, answer in zip(some, list(pop3.pipeline(["TOP %d 0" % n for n in some]))):
                    if answer.ok:  # else another session has expunged it meanwhile
                        self.state["uidls"][user, uidls[n]] = token_of(answer.message)
            numbers = {self.state["uidls"].get((user, uidl)): n for n, uidl in uidls.items()}
            own = {token: numbers[token] for token in wanted}  # every one of them has to be there
            for token, answer in zip(own, list(pop3.pipeline(["RETR %d" % n for n in own.values()]))):
                body = answer.expect_ok().message
                assert body.endswith(message(token)), token
                self.count("body fetch")
            delete = self.random.sample(list(own), 18)
            for answer in list(pop3.pipeline(["DELE %d" % own[token] for token in delete])):
                answer.expect_ok()
            pop3.quit().expect_ok()  # this is what deletes
        for token in wanted:
            if token in delete:
                del self.state["live"][token]
            else:
                self.put(token, user, "INBOX", "?", ("\\Seen",))
        self.count("POP3 delete", len(delete))


class DoveadmWorker(Worker):
    def doveadm(self, command, user, *arguments):
        subprocess.run(["doveadm", "-c", self.config_file, *command.split(), "-u", user, *arguments], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)
        self.count("doveadm " + command)

    def step(self):
        user = self.random.choice(USERS)
        folder, target = self.random.sample(FOLDERS, 2)
        own = self.mine(user, folder)
        if len(own) < 2 * BATCH:
            self.append(user, folder, BATCH)
            own = self.mine(user, folder)
        picked = self.random.sample(own, min(len(own), BATCH))
        query = ["mailbox", folder, "uid", uid_set(uid for uid, _, _ in picked).decode()]
        kind = self.random.choice(("copy", "move", "flags add", "expunge"))
        if kind in ("copy", "move"):
            self.doveadm(kind, user, target, *query)
        elif kind == "expunge":
            self.doveadm(kind, user, *query)
        else:
            self.doveadm(kind, user, "\\Flagged kw1", *query)
        for uid, token, flags in picked:
            places = self.state["live"][token]
            if kind in ("copy", "move"):
                self.state["next"] += 1
                places[user, target, "?%d" % self.state["next"]] = flags
            if kind in ("move", "expunge"):
                del places[user, folder, uid]
            if kind == "flags add":
                places[user, folder, uid] = flags | {"\\Flagged", "kw1"}
