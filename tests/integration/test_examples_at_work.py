"""The example for virtual users with PostgreSQL, Postfix and Exim in front with theirs, and doveadm lbox migrate with the hook for SQL, all as they
are in packaging/: a host as an operator has it."""
# ctest: timeout=300

import contextlib
import json
import os
import re
import subprocess

import pytest

from support.beside import until
from support.examples import ON_LBOX, ON_MAILDIR, SQL_FILE, USER, configure, crypted, table, use_postgresql, vmail
from support.host import Host
from support.host_mail import PASSWORD, imap, subjects
from support.host_mta import HostExim, HostPostfix
from support.postgres import Postgres
from support.server import REPO, SERIES

HOOK = os.path.join(REPO, "packaging", "migrate-hook-sql")
OLD = ["%s@example.com" % name for name in ("old", "moved", "refused")]
PLACE = "mail" if SERIES == "2.3" else "driver, path"
ALLOWED = r"lbox: temporary failure: \S+ says that doveadm lbox migrate is moving|Killed with signal 15"


@pytest.fixture(scope="module")
def host():
    with Host() as host:
        configure(host, "sql-virtual", "postfix", "exim")
        use_postgresql(host)
        vmail(host)
        host.boot()
        with Postgres(host) as database:
            host.database = database
            rows = [(USER, *ON_LBOX)] + [(user, *ON_MAILDIR) for user in OLD]
            database.run(table() + "".join("INSERT INTO mailbox VALUES (%s);\n" % ", ".join(
                "NULL" if value is None else "'%s'" % value for value in (user, crypted(), *place)) for user, *place in rows) +
                "GRANT SELECT ON mailbox TO dovecot; GRANT SELECT (username), UPDATE (%s) ON mailbox TO mailadmin;\n" % PLACE)
            host.start()
            host.postfix = HostPostfix(host).start()
            host.exim = HostExim(host).start()
            yield host
            host.exim.stop()
            host.postfix.stop()
            host.stop()


def place_of(host, user):
    return host.database.run("SELECT %s FROM mailbox WHERE username = '%s'" % (PLACE, user)).strip().split("|")


def files_of(host, user, place):
    folder = host.path("/srv/mail/example.com/%s/%s" % (user.partition("@")[0], place))
    return [name for where, _, names in os.walk(folder) for name in names]


def migrate(host, *arguments, check=True):
    """({user: row of the report}, exit status)"""
    done = host.run("doveadm", "-f", "json", "lbox", "migrate", *arguments, "--from", "maildir:~/Maildir", "--hook", HOOK,
                    "--state", "/var/lib/dovecot/migrate", check=False)
    rows = {row["user"]: row for row in json.loads(done.out or b"[]")}
    assert not check or done.code == 0, (rows, done.err)
    return rows, done.code


def read(host, user):
    with imap(host, user) as session:
        return sorted(subjects(session))


def await_subjects(host, user, wanted, retry=False):
    """retry: has both MTAs try again at once what is deferred."""
    def are_there():
        for mta in (host.postfix, host.exim) if retry else ():
            mta.retry()
        return read(host, user) == sorted(wanted)
    try:
        until(are_there, "")
    except AssertionError:
        raise AssertionError((wanted, read(host, user), host.log_text()[-4000:])) from None


@contextlib.contextmanager
def held(host):
    """Nobody can change the table meanwhile; it can be read."""
    database = host.database
    with subprocess.Popen(host._inside(*database._owned("psql", "-qAtX", "-h", "/run/postgresql", "mail")), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as session:
        session.stdin.write("BEGIN; LOCK TABLE mailbox IN EXCLUSIVE MODE; SELECT 'locked';\n")
        session.stdin.flush()
        assert session.stdout.readline() == "locked\n"
        yield
        with contextlib.suppress(BrokenPipeError):
            session.stdin.write("COMMIT;\n")
            session.stdin.close()


def await_hook(host, run):
    """Until the hook waits for the table."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE mailbox%'"
    until(lambda: run.poll() is not None or host.database.run(waiting) == "1\n", "the hook does not come")
    assert run.poll() is None


def test_mail_comes_by_both(host):
    host.postfix.send(USER, "by Postfix")
    host.exim.send(USER, "by Exim")
    await_subjects(host, USER, ["by Postfix", "by Exim"])
    assert "CURRENT" in files_of(host, USER, "lbox")
    for mta in (host.postfix, host.exim):
        with mta.smtp() as smtp:
            smtp.ehlo()
            assert smtp.login(USER, PASSWORD)[0] == 235
    with host.exim.smtp() as smtp:
        smtp.ehlo()
        smtp.mail("bob@example.org")
        assert smtp.rcpt("nobody@example.com")[0] == 550
        assert smtp.rcpt('"%s> x"@example.com')[0] == 550
        assert smtp.rcpt(USER)[0] == 250


def test_there_and_back_while_mail_comes(host):
    """What comes while the gate is closed waits in the queues of both: nothing is bounced, and everything arrives."""
    user, log = "moved@example.com", len(host.log_text())
    for number in range(3):
        host.postfix.send(user, "before %d" % number)
    wanted = ["before %d" % number for number in range(3)]
    await_subjects(host, user, wanted)
    for way, place in (([], ["lbox", "~/lbox"]), (["--back"], ["maildir", "~/Maildir"])):
        with held(host):
            run = subprocess.Popen(host._inside("doveadm", "-f", "json", "lbox", "migrate", "-u", user, *way, "--from", "maildir:~/Maildir",
                                                "--hook", HOOK, "--state", "/var/lib/dovecot/migrate"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            await_hook(host, run)
            new = ["by %s, for %s" % (name, place[0]) for name in ("Postfix", "Exim")]
            for mta, subject in zip((host.postfix, host.exim), new):
                mta.send(user, subject)
            until(lambda: "451 4.3.0" in host.postfix.queue().get(user, ""), "Postfix does not defer")
            host.await_log(r"exim\[\d+\]: \S+ == %s R=dovecot T=dovecot_lmtp defer .*451 4\.3\.0" % user, since=log)
        out, err = run.communicate(timeout=60)
        (row,) = json.loads(out)
        assert run.returncode == 0 and row["result"] == "done", (row, err)
        assert place_of(host, user) == ([":".join(place)] if SERIES == "2.3" else place)
        wanted += new
        await_subjects(host, user, wanted, retry=True)
        log = len(host.log_text())
    assert host.postfix.queue() == {}
    assert not [line for line in host.log_text().splitlines() if "status=bounced" in line or " ** " in line]
    assert len([name for name in files_of(host, user, "Maildir") if ",S=" in name]) == len(wanted)


def test_a_transaction_that_fails(host):
    """Refused only when it is committed: the user stays where the table says, and gets mail there."""
    user, database = "refused@example.com", host.database
    host.postfix.send(user, "1")
    await_subjects(host, user, ["1"])
    database.run("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no moves today''; END';
        CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON mailbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
          WHEN (NEW.username = '%s') EXECUTE FUNCTION refuse();
        """ % user)
    rows, code = migrate(host, "-u", user, check=False)
    assert rows[user]["result"] == "failed" and code == 75 and "ERROR:  no moves today" in rows[user]["text"], rows
    assert place_of(host, user) == list(ON_MAILDIR)
    host.postfix.send(user, "2")
    await_subjects(host, user, ["1", "2"])
    assert len(files_of(host, user, "Maildir/cur") + files_of(host, user, "Maildir/new")) == 2
    database.run("DROP TRIGGER refuse ON mailbox")
    rows, _ = migrate(host, "-u", user)
    assert rows[user]["result"] == "done" and place_of(host, user) != list(ON_MAILDIR)
    await_subjects(host, user, ["1", "2"])


def test_all_that_the_table_lists(host):
    rows, _ = migrate(host, "-A")
    assert set(rows) == {USER, *OLD}
    assert {row["result"] for row in rows.values()} <= {"done", "skipped"} and rows[USER]["result"] == "skipped", rows
    assert all(place_of(host, user)[0].startswith("lbox") for user in OLD)


def test_nothing_else_is_complained_of(host):
    assert not [line for line in host.complaints() if not re.search(ALLOWED, line)]
