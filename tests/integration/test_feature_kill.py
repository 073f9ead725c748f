"""kill -9 of a mail process between a command's OK and its way into the store."""

import signal

from support.feature import User, flags_of, start


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
