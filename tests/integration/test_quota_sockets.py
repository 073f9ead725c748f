"""Every socket that the hosting services open, with peers that should not be there or do not behave; and what a mail
process learns of other accounts: nothing."""
# ctest: timeout=300 labels=quota

import os
import pickle
import re
import socket
import stat
import struct

import pytest

from support.beside import imap, message, until
from support.hosting import Hosting
from support.server import HOST, TIMEOUT
from support.usage_wire import UsageWire, field, fields

KB = 1024
ANN, CYD = "ann@example.com", "cyd@other.example"
STRANGER = 7777
POLICY = """
[package.p]
limit = "100k"
[account."example.com"]
package = "p"
domains = ["example.com"]
web_roots = ["/usr/share/doc/base-files"]
external = { db = {} }
[account."other.example"]
package = "p"
domains = ["other.example"]
"""


@pytest.fixture(scope="module")
def site(module_server_factory):
    site = Hosting(module_server_factory, "maildir", POLICY, web=True)
    site.await_service()
    with imap(site.server, ANN) as ann:
        ann.append("INBOX", message("a", size=10 * KB)).expect_ok()
    site.await_usage("example.com", lambda usage: usage.mail == 10 * KB and usage.web > 0)
    return site


def as_uid(uid, function, *args):
    """What function(*args) returns or raises in a process of that uid."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            try:
                result = (True, function(*args))
            except Exception as error:  # pylint: disable=broad-except
                result = (False, error)
            os.write(writer, pickle.dumps(result))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    good, result = pickle.loads(data)
    if not good:
        raise result
    return result


def path_of(site, name):
    return site.server.base + "/run/" + name


def error_of(reply):
    """(kind, text) of what was refused; None when it was not."""
    error = dict(fields(reply)).get(2)
    return None if error is None else (dict(fields(error))[1], dict(fields(error)).get(2, b""))


def ask_all(path):
    """What a stranger gets for each kind of request: error kinds, a connection each."""
    usage = field(1, 1) + field(2, 1)
    version = field(1, b"\0" * 16) + field(2, 99)
    requests = {
        "hello": (2, field(1, ANN.encode())),
        "report": (3, field(1, usage) + field(2, version)),
        "report of ann": (3, field(1, usage) + field(2, version) + field(5, ANN.encode())),
        "causes": (3, field(3, field(6, 1000)) + field(5, ANN.encode())),
        "meter": (7, b""),
        "measured": (5, field(1, b"example.com") + field(2, b"/usr/share/doc/base-files") + field(3, field(1, 1)) + field(4, 1)),
        "usage": (6, field(2, b"")),
        "usage of one": (6, field(2, field(1, b"example.com"))),
        "recalc": (6, field(3, field(1, b"example.com"))),
        "source": (6, field(4, field(1, b"example.com") + field(2, b"db") + field(3, 1))),
        "invoice": (6, field(5, field(1, b"2026-01"))),
        "forget": (6, field(6, field(1, ANN.encode()))),
        "status": (6, field(7, b"")),
    }
    answers = {}
    for name, (kind, body) in requests.items():
        with UsageWire(path) as wire:
            answers[name] = error_of(wire.ask(kind, body))
    return answers


def test_strangers_see_and_change_nothing(site):
    before = site.rows("usage")
    answers = as_uid(STRANGER, ask_all, path_of(site, "hosting-usage"))
    refused, invalid = 1, 3
    for name, error in answers.items():
        assert error is not None and error[0] == (invalid if name == "report" else refused), (name, error)
        assert b"10240" not in error[1]
    assert site.rows("usage") == before
    # Whether a user exists is not said either.
    with_user = answers["hello"]

    def hello(user):
        with UsageWire(path_of(site, "hosting-usage")) as wire:
            return error_of(wire.ask(2, field(1, user)))
    assert as_uid(STRANGER, hello, b"nobody@nowhere.example") == with_user


@pytest.mark.parametrize("name", ["hosting-recount", "hosting-webmeter"])
def test_sockets_of_the_services_alone(site, name):
    def connect():
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path_of(site, name))
    for uid in (STRANGER, 5000):
        with pytest.raises(PermissionError):
            as_uid(uid, connect)


RUBBISH = [b"\n", b"\0" * 5000, b"\xff" * 100000 + b"\n", b"ann@example.com\tforce", struct.pack("<I", 0xFFFFFFFF),
           struct.pack("<I", 70000) + b"x" * 70000, b"../../etc/passwd\n", b"GET / HTTP/1.0\r\n\r\n", b""]


def throw(connect):
    """Each piece over a connection of its own, and connections that stay half open; these are returned."""
    for piece in RUBBISH:
        with connect() as peer:
            try:
                peer.sendall(piece)
            except OSError:
                pass  # closed in the middle of it
    held = [connect() for _ in range(20)]
    for peer in held:
        try:
            peer.sendall(b"\x20\0\0")
        except OSError:
            pass
    return held


@pytest.mark.parametrize("name", ["hosting-usage", "hosting-recount", "hosting-webmeter", "quota-status"])
def test_rubbish(site, name):
    """Even from peers that the socket lets in."""
    site.server.allow_log(r"a client of uid \d+ was closed", r"hosting-recount", r"quota-status", r"client_limit", r"process_limit")

    def connect():
        if name == "quota-status":
            return socket.create_connection((HOST, site.status_port), timeout=TIMEOUT)
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(TIMEOUT)
        peer.connect(path_of(site, name))
        return peer
    pid = None if name == "quota-status" or name == "hosting-recount" else site.pid(name)
    held = throw(connect)
    try:
        with imap(site.server, ANN) as ann:
            ann.append("INBOX", message("b", size=1 * KB)).expect_ok()
        mail = 10 * KB + 1 * KB
        site.await_usage("example.com", lambda usage: usage.mail == mail)
        assert site.ask_quota_status(ANN) == "DUNNO"
        site.doveadm("hosting", "recalc", "--web", "example.com")
        usage = site.await_usage("example.com", lambda usage: usage.sources["mail", ANN]["stale"] == "no")
        assert usage.mail == mail and usage.web > 0
    finally:
        for peer in held:
            peer.close()
    site.doveadm("expunge", "mailbox", "INBOX", "smaller", str(2 * KB), user=ANN)
    site.await_usage("example.com", lambda usage: usage.mail == 10 * KB)
    assert pid is None or site.server.pids(name) == [pid]


def test_a_mail_process_learns_of_its_own_account_only(site):
    with imap(site.server, ANN) as ann, imap(site.server, CYD) as cyd:
        for session in (ann, cyd):
            session.ok("GETQUOTAROOT INBOX")
        for pid in site.server.pids("imap"):
            with open("/proc/%d/maps" % pid, encoding="utf-8") as file:
                maps = [line.split() for line in file if "memfd:hosting" in line]
            assert sorted(words[5] for words in maps) == ["/memfd:hosting-account", "/memfd:hosting-pulse"], maps
            assert all(words[1].startswith("r--") for words in maps), maps
            assert [int(words[0].split("-")[1], 16) - int(words[0].split("-")[0], 16) for words in maps] == [4096, 4096]
            with open("/proc/%d/mem" % pid, "rb") as memory:
                (start,) = [int(words[0].split("-")[0], 16) for words in maps if "account" in words[5]]
                memory.seek(start)
                page = memory.read(4096)
            assert b"example" not in page
        # What the service keeps is not for it to read.
        for name in ("policy.snapshot", "ledger", "ledger.journal"):
            with pytest.raises(PermissionError):
                as_uid(5000, open, site.state + "/" + name, "rb")
        with pytest.raises(PermissionError):
            as_uid(5000, os.listdir, site.state + "/spool")
        with pytest.raises(PermissionError):
            as_uid(5000, os.listdir, site.state)
    with open("/proc/%d/status" % site.pid("hosting-usage"), encoding="ascii") as file:
        assert "0" not in re.search(r"^Uid:(.*)", file.read(), re.M).group(1).split()
    mode = os.stat(site.state).st_mode
    assert stat.S_IMODE(mode) == 0o751, oct(mode)


def test_unsafe_policy_files_are_not_read(site):
    """Whoever else could write the file, or a folder above it, would decide who pays what."""
    site.server.allow_log(r"hosting\.toml", r"policy (in use )?stays", r"last good policy", r"the service does not read it")
    other = POLICY.replace("100k", "200k")
    for path, mode in ((site.policy_file, 0o664), (site.policy_folder, 0o775), (site.policy_folder, 0o1777)):
        site.write_policy(other)
        before = stat.S_IMODE(os.stat(path).st_mode)
        os.chmod(path, mode)
        try:
            answer = site.doveadm("hosting", "reload").text
            assert "writable" in answer and "stays" in answer, answer
            assert {row["limit"] for row in site.rows("usage")} == {str(100 * KB)}
            checked = site.doveadm("hosting", "config", "check", check=False)
            assert re.search("does not read it: .*writable", checked.err), checked
        finally:
            os.chmod(path, before)
            site.write_policy(POLICY)
    until(lambda: "as it was" in site.doveadm("hosting", "reload").text, "the good file is not taken back")
