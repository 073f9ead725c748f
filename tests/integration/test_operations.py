"""docs/operations.md: stores of a newer lbox, copies of stores made while mail flows and while it does not, sizes."""
# ctest: timeout=300

import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import threading

import pytest

from support.beside import DATE, DRIVER, imap, incompressible, lmtp, message, until
from support.docs import block_after, read
from support.limits import snapshot
from support.server import SERIES
from support.wire import string

pytestmark = pytest.mark.skipif(DRIVER != "lbox", reason="about lbox's store")


@pytest.fixture(scope="module")
def server(module_server_factory):
    return module_server_factory(driver=DRIVER, in_place=True)


def of_store(folder):
    """doveadm's options that have it use another folder."""
    return {"2.3": ["-o", "mail_location=lbox:" + folder + "/lbox"], "2.4": ["-o", "mail_path=" + folder + "/lbox"]}[SERIES]


def tool(server, user, *command, folder=None, check=False):
    """(exit status, rows) of doveadm lbox ..."""
    result = server.doveadm("-f", "json", *(of_store(folder) if folder else []), "lbox", *command, user=user, check=check)
    return result.code, json.loads(result.out or "[]")


def subjects(server, user, folder=None):
    """The subjects of everything in INBOX, each body read in full."""
    options = of_store(folder) if folder else []
    text = server.doveadm(*options, "-f", "flow", "fetch", "hdr.subject text", "mailbox", "INBOX", user=user).text
    return set(re.findall(r"^hdr\.subject=(.*?) text=", text, re.M))


# A newer format ---------------------------------------------------------------------------------

def test_a_store_of_a_newer_format_is_refused_and_left_alone(server):
    user = "newer"
    with lmtp(server) as delivery:
        delivery.deliver([user], message("kept"))
    store = server.mail_root(user) + "/store"
    server.await_closed(store)
    with open(store + "/CURRENT", "r+", encoding="ascii") as file:
        text = file.read()
        known = int(re.match(r"lbox-store (\d+)\n", text).group(1))
        file.seek(0)
        file.write(text.replace("lbox-store %d\n" % known, "lbox-store 9\n"))
    assert "this version of lbox reads up to %d. Install a newer lbox" % known in read("operations.md")
    before = snapshot(store)
    reason = r"lbox: .*/CURRENT: the store has format 9; this version of lbox reads up to %d. Install a newer lbox" % known
    server.allow_log(reason, r"doveadm\(newer\).*Error: ", r"Error: .*newer.*(Failed to|lookup|Opening|sync)", r"Internal error occurred")
    with lmtp(server) as delivery:
        (reply,) = delivery.try_deliver(user, message("refused"))
    assert reply.code // 100 == 4, reply
    server.await_log(reason)
    with imap(server, user) as session:
        assert session.command("SELECT INBOX").status == "NO"
    for command in (["lbox", "status"], ["lbox", "verify"], ["lbox", "repair"], ["force-resync", "*"], ["purge"], ["mailbox", "status", "messages", "INBOX"]):
        result = server.doveadm(*command, user=user, check=False)
        assert result.code != 0, (command, result)
    assert snapshot(store) == before
    with open(store + "/CURRENT", "w", encoding="ascii") as file:
        file.write(text)
    assert subjects(server, user) == {"kept"}


# Copies -----------------------------------------------------------------------------------------

class Flow:
    """Deliveries, removals and flag changes until the end of the block; acknowledged() by then."""

    def __init__(self, server, user):
        self._server, self._user = server, user
        self._done, self._end = [], threading.Event()
        self._threads = [threading.Thread(target=self._deliver), threading.Thread(target=self._work)]
        self.problem = None

    def acknowledged(self):
        return list(self._done)

    def _deliver(self):
        try:
            number = 0
            with lmtp(self._server) as delivery:
                while not self._end.is_set():
                    size = (300, 5000, 200_000)[number % 3]
                    data = message("flow %d" % number, lines=("x",)) + incompressible(size, number)
                    delivery.deliver([self._user], data)
                    self._done.append("flow %d" % number)
                    number += 1
        except Exception as problem:  # seen by the test
            self.problem = problem

    def _work(self):
        """What an index has to do besides: flags, copies, expunges of the copies."""
        try:
            with imap(self._server, self._user) as session:
                session.ok("CREATE Work")
                session.select("INBOX")
                while not self._end.is_set():
                    session.noop()
                    session.command("COPY * Work")
                    session.command("STORE 1:* +FLAGS (\\Seen)")
                    session.command("STORE 1:* -FLAGS (\\Seen)")
        except Exception as problem:
            self.problem = problem

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        until(lambda: len(self._done) >= 12 or self.problem, "no deliveries")
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()
        assert self.problem is None, self.problem


def copy_as_documented(home, backup):
    """The commands of the page, in a shell."""
    script = block_after("operations.md", "With plain tools while mail flows").replace("BACKUP", shlex.quote(backup))
    assert script.count("cp -a") == 2
    for _ in range(10):
        done = subprocess.run(["sh", "-e", "-c", script], capture_output=True, text=True, cwd=home, check=False)
        if done.returncode == 0:
            return
        assert re.search("cannot stat|No such file", done.stderr), done.stderr  # gone meanwhile: again, as the page says
        shutil.rmtree(backup)
    raise AssertionError(done.stderr)


def test_a_backup_with_plain_tools_while_mail_flows(server):
    user, rounds = "flowing", int(os.environ.get("LBOX_BACKUP_ROUNDS", "3"))
    home = server.user_home(user)
    server.allow_log(r"doveadm\(flowing\).*(Error|Warning): .*lbox", r"doveadm\(flowing\).*Error: .*is missing")
    damaged = 0
    with Flow(server, user) as flow:
        for number in range(rounds):
            backup = "%s/backup-%d" % (server.base, number)
            wanted = set(flow.acknowledged())
            copy_as_documented(home, backup)
            copied = set(flow.acknowledged())
            code, rows = tool(server, user, "verify", folder=backup)
            damaged += code != 0
            if code != 0:
                code, rows = tool(server, user, "repair", folder=backup)
                assert code == 0, rows
            found = subjects(server, user, folder=backup)
            assert wanted <= found, (number, sorted(wanted - found), rows)
            assert found <= set(flow.acknowledged()) | {"flow %d" % len(copied)}
            assert tool(server, user, "verify", folder=backup)[0] == 0
    print("%d of %d copies had to be repaired" % (damaged, rounds))
    assert subjects(server, user) == set(flow.acknowledged())


def test_a_backup_without_its_newest_pack_is_noticed(server):
    """The control: what is missing in a copy is told, and repair does not invent it."""
    user = "incomplete"
    with lmtp(server) as delivery:
        for number in range(3):
            delivery.deliver([user], message("mail %d" % number, 2000))
    home = server.user_home(user)
    backup = server.base + "/backup"
    copy_as_documented(home, backup)
    assert tool(server, user, "verify", folder=backup)[0] == 0
    os.truncate(max(glob.glob(backup + "/lbox/store/p/*")), 1500)
    server.allow_log(r"doveadm\(incomplete\).*Error: .*lbox")
    code, rows = tool(server, user, "verify", folder=backup)
    assert code == 65 and any(row["kind"] == "message" for row in rows), rows
    code, _ = tool(server, user, "repair", folder=backup)
    assert code == 0 and len(subjects(server, user, folder=backup)) < 3


def test_moving_a_quiet_store(server):
    """Everything is there on the other side, also to clients that were there before."""
    user, other = "mover", "moved"
    with imap(server, user) as session:
        session.ok("CREATE Sub/Folder")
        session.append("INBOX", message("one", 3000), ("\\Seen", "Keyword"), DATE).expect_ok()
        session.append("Sub/Folder", message("large") + incompressible(400_000, "large"), (), DATE).expect_ok()
        session.ok("SUBSCRIBE Sub/Folder")
        session.select("INBOX")
        session.append("INBOX", message("gone", 3000), (), DATE).expect_ok()
        session.ok("STORE 2 +FLAGS (\\Deleted)")
        session.ok("EXPUNGE")
        before = state(session)
    until(lambda: not server.pids("imap"), "imap does not end")
    source, target = server.user_home(user), server.user_home(other)
    commands = read("operations.md")
    assert "rsync -aH --delete --numeric-ids" in commands
    if os.path.exists("/usr/bin/rsync"):
        subprocess.run(["rsync", "-aH", "--delete", "--numeric-ids", source + "/", target], check=True)
    else:
        subprocess.run(["cp", "-a", source, target], check=True)
    assert tool(server, other, "verify")[0] == 0
    with imap(server, other) as session:
        assert state(session) == before
        session.append("INBOX", message("new", 300), (), DATE).expect_ok()
        session.select("INBOX")
        assert session.search("ALL")[-1] == 2 or len(session.search("ALL")) == 2


def state(session):
    """What a client can see of all mailboxes."""
    found = {}
    for line in session.ok('LIST "" "*"').named("LIST"):
        name = line.split()[-1].strip(b'"\r\n').decode()
        if b"\\Noselect" in line or b"\\NonExistent" in line:
            continue
        selected = session.select(name)
        found[name] = (selected[b"UIDVALIDITY"], selected[b"UIDNEXT"],
                       {uid: (items[b"FLAGS"].strip(b"()").replace(b"\\Recent", b"").split(), items[b"INTERNALDATE"], string(items[b"BODY[]"]))
                        for uid, items in session.fetch("1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])").items()} if selected[b"EXISTS"] else {})
    found["subscribed"] = sorted(session.ok('LSUB "" "*"').named("LSUB"))
    return found


# Sizes ------------------------------------------------------------------------------------------

def test_what_a_new_user_takes(server):
    """The table of sizes says 400 KiB and 12 files before, and 4 files more for each mailbox."""
    user = "small"
    text = read("operations.md")
    assert "400 KiB before the first message" in text and "12 for each user, 4 for each mailbox" in text
    with lmtp(server) as delivery:
        delivery.deliver([user], message("first"))
    root = server.mail_root(user)
    allocated = int(subprocess.run(["du", "-sk", root], check=True, capture_output=True, text=True).stdout.split()[0])
    assert allocated <= 410, allocated
    files = [path for path in glob.glob(root + "/**", recursive=True) if os.path.isfile(path) and "/boxes/" not in path]
    assert len(files) <= 12, files
    boxes = [path for path in glob.glob(root + "/boxes/**", recursive=True) if os.path.isfile(path)]
    assert len(boxes) <= 4, boxes
