"""README.md's ten minutes: one user of a Maildir server goes to lbox and back as written there, the others stay where they are."""
# ctest: timeout=300

import os
import re

import pytest

from support.beside import DATE, DRIVER, imap, lmtp, message, pop3, until
from support.docs import block_after, read
from support.server import SERIES
from support.wire import string

pytestmark = pytest.mark.skipif(DRIVER != "lbox", reason="about lbox")
TEST, OTHER = "test@example.com", "other@example.com"


def fields():
    """What the page gives the test user, of this series."""
    page = read("README.md")
    assert page.count("**Switch**") == 1
    (line,) = re.findall(r"userdb_mail%s\S+.*" % {"2.3": "=", "2.4": "_driver="}[SERIES], page)
    return dict(word.removeprefix("userdb_").split("=", 1) for word in line.split())


def command(wanted):
    (line,) = {line for line in re.findall(r"(?m)^ +doveadm (.*)$", read("README.md")) if re.fullmatch(wanted, line)}
    return line.split()


def state(server, user):
    """Everything that clients keep: UIDVALIDITY, UIDs, flags, dates, texts; POP3's UIDLs."""
    found = {}
    with imap(server, user) as session:
        for name in ("INBOX", "A.B"):
            selected = session.select(name)
            found[name] = (selected[b"UIDVALIDITY"], {
                uid: (items[b"FLAGS"].strip(b"()").replace(b"\\Recent", b"").split(), items[b"INTERNALDATE"], string(items[b"BODY[]"]))
                for uid, items in session.fetch("1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])").items()})
        found["list"] = sorted(line.split(b") ")[-1] for line in session.ok('LIST "" "*"').named("LIST"))
    with pop3(server, user) as client:
        found["uidl"] = client.uidl()
    until(lambda: not server.pids("imap", "pop3"), "sessions do not end")
    return found


def shown(server):
    return server.doveadm("user", TEST).text


def switch(server, to):
    server.config.userdb[TEST] = to
    server.write_config()
    # Auth looks at the file once a second.
    until(lambda: ("lbox:" in shown(server) or "driver\tlbox" in shown(server)) == bool(to), "auth does not see the change")
    server.doveadm(*command(r"auth cache flush .*"))
    assert server.doveadm(*command(r"kick .*"), check=False).code in (0, 68)  # 68: not logged in


def test_there_and_back(server_factory):
    snippet = block_after("README.md", {"2.3": "Dovecot 2.3, `/etc", "2.4": "   Dovecot 2.4:"}[SERIES])
    assert "lbox" in snippet and "mail_plugins" in snippet  # what lbox=True has the server do
    server = server_factory(driver="maildir", lbox=True, in_place=True, separator=".", userdb={TEST: {}, OTHER: {}})
    for user in (TEST, OTHER):
        with imap(server, user) as session:
            session.ok("CREATE A.B")
            session.append("INBOX", message("one", 3000), ("\\Seen", "Keyword"), DATE).expect_ok()
            session.append("A.B", message("two", 3000), ("\\Flagged",), DATE).expect_ok()
        server.deliver(user, message("three", 2000))
    before = state(server, TEST)

    server.doveadm(*command(r"backup .* lbox:~/lbox"))
    switch(server, fields())
    assert state(server, TEST) == before
    home = server.user_home(TEST)
    old = sorted(os.listdir(home + "/Maildir/new") + os.listdir(home + "/Maildir/cur"))
    with lmtp(server) as delivery:
        delivery.deliver([TEST, OTHER], message("four", 2000))
    assert sorted(os.listdir(home + "/Maildir/new") + os.listdir(home + "/Maildir/cur")) == old
    assert os.path.exists(home + "/lbox/store/CURRENT")
    assert not os.path.exists(server.user_home(OTHER) + "/lbox")
    assert " %d " % 4 in server.doveadm(*command(r"lbox status .*")).text  # three of INBOX, one of A.B
    assert server.doveadm(*command(r"lbox verify .*")).code == 0
    on_lbox = state(server, TEST)
    assert len(on_lbox["INBOX"][1]) == 3

    server.doveadm(*command(r"backup .* maildir:~/Maildir"))
    switch(server, {})
    assert state(server, TEST) == on_lbox
    with imap(server, OTHER) as session:
        assert session.select("INBOX")[b"EXISTS"] == 3
