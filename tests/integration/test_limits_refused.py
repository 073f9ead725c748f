"""Stores that must not be touched: each is refused with its own error, nothing is written, and put right it works as before."""

import os
import shutil
import stat

import pytest

from support.beside import DATE, DRIVER, files_below, imap, incompressible, lmtp, message, pop3, until
from support.limits import snapshot
from support.wire import WireError, string

pytestmark = pytest.mark.skipif(DRIVER != "lbox", reason="about lbox's store")
OTHER_UID = 5001


@pytest.fixture(scope="module")
def server(module_server_factory):
    return module_server_factory(driver=DRIVER)


BODIES = [message("one"), message("two", 20_000), message("three") + incompressible(200_000, "refused")]


def prepare(server, user):
    with imap(server, user) as session:
        for data in BODIES:
            session.append("INBOX", data, (), DATE).expect_ok()
    return server.mail_root(user) + "/store"


def current_index(store):
    with open(store + "/CURRENT", encoding="ascii") as file:
        return store + "/index." + file.read().split("generation ")[1].split()[0]


def newer_format(store):
    path = store + "/CURRENT"
    with open(path, "r+", encoding="ascii") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace("lbox-store 2", "lbox-store 3"))


def another_uid(store):
    for path in [store] + [os.path.join(root, name) for root, folders, names in os.walk(store) for name in folders + names]:
        os.chown(path, OTHER_UID, OTHER_UID)


def missing_index(store):
    os.unlink(current_index(store))


def missing_current(store):
    os.unlink(store + "/CURRENT")


def damaged_index(store):
    with open(current_index(store), "r+b") as file:
        file.write(bytes(range(256)) * 64)  # both meta pages


def short_index(store):
    os.truncate(current_index(store), 4096)


def no_packs_folder(store):
    shutil.rmtree(store + "/p")


def no_permission(store):
    os.chmod(store, 0)


def written(store):
    """All but LMDB's table of readers: whoever looks into the index enters there while looking."""
    return {path: entry for path, entry in snapshot(store).items() if not path.endswith("-lock")}


# How, what the log has to say of it
CASES = [
    (newer_format, r"lbox: .*CURRENT.*(newer|format 2)"),
    (another_uid, r"lbox: .* belongs to uid 5001, this process runs as uid 5000"),
    (missing_index, r"lbox: .*index\.1.*(missing|No such file).*"),
    (missing_current, r"lbox: .*CURRENT is missing, though other files of a store are there; restore"),
    (damaged_index, r"lbox: .*index\.1"),
    (short_index, r"lbox: .*index\.1"),
    (no_packs_folder, r"lbox: .*/p is missing; restore the whole store from a backup"),
    (no_permission, r"lbox: .*[Pp]ermission denied"),
]


@pytest.mark.parametrize("spoil, said", CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_refused(server, spoil, said):
    user = spoil.__name__.replace("_", "-")
    store = prepare(server, user)
    until(lambda: not server.pids("imap", "pop3"), "imap does not end")
    saved = store + ".saved"
    shutil.copytree(store, saved, copy_function=shutil.copy2)
    for root, folders, names in os.walk(saved):
        for path in [root] + [os.path.join(root, name) for name in names]:
            os.chown(path, server.config.mail_uid, server.config.mail_uid)
    spoil(store)
    before = written(store)
    server.allow_log(said, r"pop3\(.*Error: (Couldn't open INBOX|Opening INBOX failed|.*INBOX)", r"lmtp\(.*Error: .*(INBOX|msgid=)")
    since = server.log_size()

    with imap(server, user) as session:
        answer = session.command("SELECT INBOX")
        assert answer.status == "NO" and answer.text
        assert session.append("INBOX", message("no")).status == "NO"
    server.await_log(r"imap\(.*Error: .*" + said, since=since)
    with lmtp(server) as delivery:
        refused, taken = delivery.try_deliver([user, "bystander"], message("to both"))
        assert 400 <= refused.code < 500, refused
        assert taken.code == 250
    with pytest.raises(WireError):
        pop3(server, user).stat()
    assert written(store) == before, "written to a store that was refused"

    if os.stat(store).st_mode & stat.S_IRWXU == 0:
        os.chmod(store, 0o700)
    shutil.rmtree(store)
    os.rename(saved, store)
    with lmtp(server) as delivery:
        delivery.deliver(user, message("after"))
    with imap(server, user) as session:
        session.select("INBOX")
        got = [string(items[b"BODY[]"]) for _, items in sorted(session.fetch("1:*", "BODY.PEEK[]").items())]
        assert got[:3] == BODIES and got[3].endswith(message("after")) and len(got) == 4
