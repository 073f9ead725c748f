"""notify and mail_log beside lbox: each event is logged, with the fields and values that Dovecot's own drivers give it."""

import re

import pytest

from support.beside import DATE, DRIVER, imap, lmtp, message, plugin, pop3

FIELDS = "uid box msgid from subject size vsize flags"
EVENTS = "delete undelete expunge save copy mailbox_create mailbox_delete mailbox_rename flag_change"
SETTINGS = plugin("mail_log_events = %s\nmail_log_fields = %s" % (EVENTS, FIELDS),
                  "mail_log_events = %s\nmail_log_fields = %s\n" % (EVENTS, FIELDS))
EVENT = r"(?:delete|undelete|expunge|save|copy from [^:]*|flag_change): |Mailbox (?:created|deleted|renamed)"
LINE = re.compile(r"(imap|pop3|lmtp|doveadm)\([^)]*\)(?:<[^>]*>)*: Info: ((?:Mailbox [^:]*: )?(?:%s).*)" % EVENT)


def events(server):
    """[(process, text)] of what mail_log has logged."""
    return [(match.group(1), match.group(2)) for match in map(LINE.search, server.log_text().splitlines()) if match]


def act(server):
    with imap(server, "alice") as session:
        session.append("INBOX", message("one", 1000), ("\\Flagged",), DATE).expect_ok()
        session.append("INBOX", message("two", 2000).replace(b"\r\n", b"\n"), ("kw",), DATE).expect_ok()
        session.ok("CREATE Work")
        session.ok("CREATE Work/Deep")
        session.select("INBOX")
        session.ok("UID COPY 1:2 Work")
        session.ok("UID STORE 1 +FLAGS (\\Deleted)")
        session.ok("UID STORE 1 -FLAGS (\\Deleted)")
        session.ok("UID STORE 2 +FLAGS (\\Seen other)")
        session.ok("UID STORE 2 +FLAGS (\\Deleted)")
        session.ok("EXPUNGE")
        session.ok("UID MOVE 1 Work/Deep")
        session.ok("RENAME Work Play")
        session.ok("DELETE Play/Deep")
        first, second = message("three", 500), message("four", 600)
        session.ok("APPEND INBOX", b"{%d+}\r\n%s {%d+}\r\n%s" % (len(first), first, len(second), second))
    with lmtp(server) as delivery:
        delivery.deliver("alice", message("five", 700))
    with pop3(server, "alice") as client:
        client.dele(1)
    server.doveadm("expunge", "mailbox", "INBOX", "subject", "four", user="alice")
    server.doveadm("save", "-m", "Play", user="alice", input=message("six", 800))


@pytest.fixture
def logged(server_factory):
    def run(driver):
        server = server_factory(driver=driver, plugins=("notify", "mail_log"), extra=SETTINGS)
        act(server)
        server.stop()  # all is logged then
        return events(server)
    return run


def fields(text):
    """{field: value} of a line such as "save: box=INBOX, uid=1, ..."."""
    return dict(pair.split("=", 1) for pair in text[text.index("box="):].split(", ") if "=" in pair)


def test_events_and_fields(logged):
    lines = logged(DRIVER)

    def the(event, subject, number=0):
        """The fields of the number-th line of this event and subject."""
        found = [fields(text) for _, text in lines if re.search(r"(^|: )%s: " % event, text) and "subject=%s," % subject in text]
        assert len(found) > number, "%s %s in %r" % (event, subject, lines)
        return found[number]

    assert the("save", "one").items() >= {
        "box": "INBOX", "uid": "1", "msgid": "<one@beside.lbox.example>", "from": "Ann <ann@example.org>", "vsize": "1000",
        "flags": "(\\Flagged)"}.items()
    assert the("save", "two").items() >= {"uid": "2", "vsize": "2000", "flags": "(kw)"}.items()
    for name, size in (("one", 1000), ("two", 2000)):  # stored with LF alone, as mail_save_crlf says by default
        assert the("save", name)["size"] == str(size - message(name, size).count(b"\r\n"))
    assert the("copy from INBOX", "one").items() >= {"box": "Work", "uid": "1", "vsize": "1000", "flags": "(\\Flagged)"}.items()
    assert the("copy from INBOX", "two").items() >= {"box": "Work", "uid": "2", "vsize": "2000"}.items()
    assert the("copy from INBOX", "one", 1)["box"] == "Work/Deep"  # the MOVE
    assert the("delete", "one")["uid"] == the("undelete", "one")["uid"] == the("expunge", "one")["uid"] == "1"
    assert the("delete", "two")["uid"] == the("expunge", "two")["uid"] == the("flag_change", "two")["uid"] == "2"
    assert [the("save", name)["uid"] for name in ("three", "four", "five")] == ["3", "4", "5"]
    assert the("save", "six")["box"] == "Play"

    def by(process, event, subject):
        return [1 for who, text in lines if who == process and event in text and "subject=" + subject in text]

    assert by("lmtp", "save: ", "five") and by("pop3", "expunge: ", "three") and by("doveadm", "expunge: ", "four") and by("doveadm", "save: ", "six")
    created, deleted, renamed = ([text for _, text in lines if what in text] for what in ("Mailbox created", "Mailbox deleted", "Mailbox renamed"))
    assert any("Work/Deep" in text for text in created) and len(created) in (2, 3)  # INBOX may count
    assert len(deleted) == 1 and "Play/Deep" in deleted[0]
    assert len(renamed) == 1 and renamed[0].endswith("Work -> Play")


@pytest.mark.skipif(DRIVER != "lbox", reason="compares lbox with Dovecot's own driver")
def test_same_as_sdbox(logged):
    """What LMTP puts on top is as long as the name of its session."""
    def known(lines):
        return [(process, re.sub(r", v?size=\d+", "", text) if process == "lmtp" else text) for process, text in lines]

    assert known(logged("lbox")) == known(logged("sdbox"))
