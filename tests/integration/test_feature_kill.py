"""kill -9 of a mail process between a command's OK and its way into the store, or between the store and Dovecot's index."""

import glob
import os
import shutil
import signal
import time

import pytest

from support.feature import IS_LBOX, User, flags_of, start


def test_flags_outlive_a_kill_before_the_flush(server_factory):
    server = start(server_factory)
    user = User(server, "killed")
    user.append("INBOX", "a", "b")
    imap = user.imap("INBOX")
    imap.ok("UID STORE 1 +FLAGS (\\Flagged urgent)")
    server.allow_log(r"killed with signal 9")
    assert server.kill_mail_processes(signal.SIGKILL) >= 1
    imap.close()
    with user.imap("INBOX") as other:
        found = {uid: flags_of(items) - {"\\Recent"} for uid, items in other.fetch("1:*", "FLAGS").items()}
        assert found == {1: {"\\Flagged", "urgent"}, 2: set()}


@pytest.mark.skipif(not IS_LBOX, reason="index files are the truth of this driver")
@pytest.mark.parametrize("layout", ("index", "fs"))
def test_status_knows_what_only_the_store_has(server_factory, layout):
    """As a process leaves it that is killed after its commit to the store, before that to the index."""
    server = start(server_factory, layout=layout)
    user = User(server, "killed")

    def status():
        with user.imap() as imap:
            return imap.ok("STATUS Box (MESSAGES)").named("STATUS")[0]

    with user.imap() as imap:
        imap.ok("CREATE Box")
    user.append("Box", "a")
    assert b"(MESSAGES 1)" in status()
    assert b"(MESSAGES 1)" in status()  # as the list remembers it
    server.await_no_sessions()
    files = [path for path in glob.glob(server.mail_root("killed") + "/**/dovecot*", recursive=True) if os.path.isfile(path)]
    kept = server.base + "/kept"
    os.mkdir(kept)
    for number, path in enumerate(files):
        shutil.copy2(path, "%s/%d" % (kept, number))
    user.append("Box", "b")
    server.await_no_sessions()
    for number, path in enumerate(files):
        shutil.copy2("%s/%d" % (kept, number), path)
    assert b"(MESSAGES 2)" in status()


@pytest.mark.skipif(not IS_LBOX, reason="other drivers wait for Dovecot's own limit of three minutes")
@pytest.mark.parametrize("index", ("dovecot.index", "dovecot.list.index"))
def test_a_lock_on_the_index_log_outlives_nobody(server_factory, index):
    """What a process leaves behind that is killed while it makes an index log holds nobody up; what is in use is left alone."""
    server = start(server_factory, layout="fs")
    user = User(server, "killed")
    user.append("INBOX", "a")
    server.await_no_sessions()
    (log,) = (path for path in glob.glob(server.mail_root("killed") + "/**/%s.log" % index, recursive=True))
    os.remove(log)
    if os.path.exists(log.removesuffix(".log")):
        os.remove(log.removesuffix(".log"))
    with open(log + ".newlock", "wb") as lock:
        os.chown(lock.name, server.config.mail_uid, -1)
        waiting = user.imap()
        waiting.send("LIST \"\" * RETURN (STATUS (MESSAGES))")
        time.sleep(2)
        assert os.path.exists(lock.name)
    begin = time.monotonic()
    with user.imap("INBOX") as imap:
        assert len(imap.fetch("1:*", "FLAGS")) == 1
        assert b"(MESSAGES 1)" in imap.ok("LIST \"\" * RETURN (STATUS (MESSAGES))").named("STATUS")[0]
    assert time.monotonic() - begin < 20
    waiting.close()
