"""The test server itself, and the shortest way of a message: in by LMTP, out by IMAP and POP3."""

import os
import signal

import pytest

from support import processes
from support.server import Server, lbox_is_built

DRIVERS = ["maildir", "sdbox", "mdbox"] + (["lbox"] if lbox_is_built() else [])
MESSAGE = (b"From: a@example.com\r\nTo: alice@example.com\r\nSubject: smoke\r\n\r\n"
           b"one line\r\n.a dotted one\r\n\r\nthe last\r\n")


def read_by_imap(server, user):
    imap = server.imap(user)
    imap.select("INBOX")
    _, data = imap.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
    imap.logout()
    return [item[1] for item in data if isinstance(item, tuple)]


def read_by_pop3(server, user):
    pop3 = server.pop3(user)
    bodies = [b"\r\n".join(pop3.retr(number)[1]) + b"\r\n"
              for number in range(1, pop3.stat()[0] + 1)]
    pop3.quit()
    return bodies


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("in_place", [False, True])
def test_lmtp_to_imap_and_pop3(server_factory, driver, in_place):
    server = server_factory(driver=driver, in_place=in_place)
    server.deliver("alice", MESSAGE)
    server.deliver("bob", MESSAGE.replace(b"smoke", b"other"))

    for user, subject in (("alice", b"smoke"), ("bob", b"other")):
        for bodies in (read_by_imap(server, user), read_by_pop3(server, user)):
            assert len(bodies) == 1
            assert bodies[0].endswith(MESSAGE.replace(b"smoke", subject))
    assert os.path.isdir(server.mail_root("alice"))
    assert os.stat(server.mail_root("alice")).st_uid == server.config.mail_uid


def test_mail_outlives_restart_and_kills(server_factory):
    server = server_factory(driver="maildir")
    server.deliver("alice", MESSAGE)
    imap = server.imap("alice")
    server.allow_log(r"killed with signal 9")
    assert server.kill_mail_processes(signal.SIGKILL) >= 1
    with pytest.raises((imap.abort, OSError)):
        imap.noop()
    server.restart()
    assert len(read_by_imap(server, "alice")) == 1


def test_users_with_passwords(server_factory):
    server = server_factory(driver="maildir", users={"alice": "wonder"})
    server.imap("alice").logout()
    with pytest.raises(server.imap().error):
        server.imap("alice", password="wrong")


def test_doveadm_takes_user_and_input(server_factory):
    server = server_factory(driver="maildir")
    server.doveadm("save", "-m", "INBOX", user="alice", input=MESSAGE)
    server.doveadm("mailbox", "create", "Archive/2024", user="alice")
    assert b"Archive/2024" in server.doveadm("mailbox", "list", user="alice").out.split()
    fetched = server.doveadm("fetch", "text", "all", user="alice").out
    assert b"a dotted one" in fetched
    assert server.doveadm("fetch", "text", "nonsense", user="alice", check=False).code != 0
    server.allow_log(r"(?i)nonsense")


def test_lda_delivers(server_factory):
    server = server_factory(driver="maildir")
    server.lda("alice", MESSAGE)
    server.lda("alice", MESSAGE, "-m", "Folder", "-o", "lda_mailbox_autocreate=yes")
    assert len(read_by_imap(server, "alice")) == 1
    assert server.doveadm("mailbox", "status", "messages", "Folder", user="alice").text.split() == [
        "Folder", "messages=1"]


def test_sieve_sorts(server_factory):
    server = server_factory(driver="maildir", sieve=True)
    server.deliver("alice", MESSAGE)  # creates the home
    script = server.user_home("alice") + "/.dovecot.sieve"
    with open(script, "w", encoding="ascii") as file:
        file.write('require ["fileinto", "mailbox"];\nfileinto :create "Sorted";\n')
    os.chown(script, server.config.mail_uid, server.config.mail_uid)
    server.deliver("alice", MESSAGE)
    assert server.doveadm("mailbox", "status", "messages", "Sorted", user="alice").text.split() == [
        "Sorted", "messages=1"]


@pytest.mark.parametrize("options", [
    dict(separator=".", prefix="INBOX."),
    dict(layout="fs"),
    dict(index_dir="~/indexes", control_dir="~/control"),
    dict(index_dir="MEMORY"),
    dict(hibernate="1s", debug=True),
    dict(plugins=("quota", "acl"), protocol_plugins={"imap": ("imap_quota", "imap_acl")}, fsync="always"),
], ids=lambda options: ",".join(options))
def test_options_give_a_working_server(server_factory, options):
    server = server_factory(driver="maildir", **options)
    server.deliver("alice", MESSAGE)
    assert len(read_by_imap(server, "alice")) == 1


def test_log_with_a_complaint_fails(server_factory):
    server = server_factory(driver="maildir")
    os.mkdir(server.user_home("alice"))  # root's: the mail uid cannot write there
    with server.lmtp() as lmtp, pytest.raises(Exception, match="4[0-9][0-9]"):
        lmtp.sendmail("a@example.com", ["alice"], MESSAGE)
    server.await_log("save failed")  # the last line of it: the log is written by another process
    with pytest.raises(AssertionError, match="(?i)permission denied"):
        server.assert_log_clean()
    server.assert_log_clean()  # each complaint counts once


@pytest.mark.parametrize("ending", (False, True))
def test_what_processes_say_of_others_counts_until_the_server_is_stopped(ending):
    with Server(driver="maildir") as server:
        end = server._end_processes

        def say_and_end():
            with open(server.log_files()[0], "a", encoding="utf-8") as log:
                log.write("lmtp: Error: conn unix:run/stats-writer (pid=1,uid=0): Timeout waiting for handshake response\n")
                log.write("" if ending else "lmtp: Error: something else\n")
            end()
        server._end_processes = end if not ending else say_and_end
        if not ending:
            say_and_end()
        server.stop()
        if ending:
            server.assert_log_clean()
        else:
            with pytest.raises(AssertionError, match="handshake(.|\n)*something else"):
                server.assert_log_clean()


def test_crash_at_the_very_end_fails():
    with Server(driver="maildir") as server:
        imap = server.imap("alice")
        os.kill(server.pids("imap")[0], signal.SIGSEGV)
        server.stop()
        with pytest.raises(AssertionError, match="killed with signal 11"):
            server.assert_log_clean()
        imap.shutdown()


def test_stop_leaves_no_process():
    with Server(driver="maildir") as server:
        sid = server.pids("dovecot")[0]
        imap = server.imap("alice")
        assert len(processes.session(sid)) > 3
    imap.shutdown()
    assert processes.session(sid) == []
    assert not os.path.exists(server.base)
