"""kill -9 of a mail process between a command's OK and its way into the store, or between the store and Dovecot's index."""

import glob
import os
import shutil
import signal

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
