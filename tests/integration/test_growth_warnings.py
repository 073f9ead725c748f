"""How customers are told that their account grows: by IMAP, mail, script, event and log; each once, whatever is killed meanwhile."""
# ctest: timeout=300 labels=quota

import email
import email.policy
import glob
import imaplib
import os
import re
import shutil
import signal
import tempfile
import time

import pytest

from support import modified_utf7, processes
from support.beside import lmtp, message, pop3, until
from support.hosting import Hosting
from support.server import HOST

KB = 1024
DAY = 86400
EVIL = 'x\\"><script>alert(1)</script>\\u202e{limit}'  # in TOML
POLICY = """
[package.p]
limit = "200k"
[package.silent]
limit = "200k"
warn_imap = false
warn_mail = false
warn_script = false
warn_event = false
warn_log = false
[account."told.test"]
package = "p"
domains = ["told.test"]
contact = "boss@elsewhere.example"
[account."append.test"]
package = "p"
domains = ["append.test"]
[account."full.test"]
package = "p"
domains = ["full.test"]
[account."web.test"]
package = "p"
domains = ["web.test"]
language = "de"
contact = "web@web.test"
web_roots = ["%(www)s"]
[account."silent.test"]
package = "silent"
domains = ["silent.test"]
contact = "boss@silent.test"
[account."kill.test"]
package = "p"
domains = ["kill.test"]
[account."%(evil)s"]
package = "p"
domains = ["evil.test"]
contact = "boss@elsewhere.example"
[protocols]
pop3_host = "pop.example.com"
upgrade_url = "https://my.example.com/"
"""

# Writes down its arguments, its uid and its input or environment.
PROGRAM = """#!/bin/sh
at=$(mktemp -p %(folder)s %(name)s.XXXXXX) || exit 1
{ printf '%%s\\n' "$*"; id -u; %(what)s; } > "$at"
mv "$at" "$at.done"
"""
METRIC = "metric hosting_growth {\n  filter = event=hosting_growth_warning\n}\n"


class Site(Hosting):
    def __init__(self, server_factory):
        self.folder = tempfile.mkdtemp(prefix="lbox-warn-", dir="/run")
        os.chmod(self.folder, 0o777)
        for name, what in (("sendmail", "cat"), ("script", "env | sort")):
            with open(self.folder + "/" + name, "w", encoding="ascii") as file:
                file.write(PROGRAM % {"folder": self.folder, "name": "ran-" + name, "what": what})
            os.chmod(file.name, 0o755)
        self.www = self.folder + "/www"
        os.mkdir(self.www)
        super().__init__(server_factory, "lbox", POLICY % {"evil": EVIL, "www": self.www}, web=True, clock=True, timeout="2s", imap_plugins=("imap_hosting",), after=METRIC,
                         extra="hosting_login_table = %(state)s/policy.logins\n",
                         warn="--sendmail %(f)s/sendmail --script %(f)s/script" % {"f": self.folder})
        self.await_service()

    def ran(self, name, wanted=""):
        """What the program wrote down, each time it ran with these words among its arguments."""
        texts = []
        for path in sorted(glob.glob("%s/ran-%s.*.done" % (self.folder, name))):
            with open(path, encoding="utf-8") as file:
                texts.append(file.read())
        return [text for text in texts if wanted in text.split("\n", 1)[0]]

    def deliver(self, user, size, name="mail"):
        with lmtp(self.server) as delivery:
            delivery.deliver([user], message(name, size=size))

    def warnings(self, user, box="INBOX"):
        """The warning mails of a user, parsed."""
        client = login(self, user)
        assert client.select('"%s"' % box)[0] == "OK"
        numbers = client.search(None, "HEADER", "Auto-Submitted", "auto-generated")[1][0].split()
        mails = [client.fetch(number, "(BODY.PEEK[])")[1][0][1] for number in numbers]
        client.logout()
        return [parsed(mail) for mail in mails]

    def log(self):
        return self.server.log_text()

    def await_done(self, account, count):
        """Waits until so many of an account's deliveries have ended."""
        pattern = r"growth warning \d+ of account %s, (?:mail to [^ ]+|script): " % re.escape(account)
        until(lambda: len(re.findall(pattern, self.log())) >= count, "deliveries of %s do not end" % account)
        assert len(re.findall(pattern, self.log())) == count


def login(site, user):
    client = imaplib.IMAP4(HOST, site.server.imap_port)
    client.login(user, "pass")
    return client


def alerts(client, least=0):
    """[ALERT] texts that came until now; waits for so many."""
    found = []

    def look():
        client.noop()
        found.extend(line.decode() for line in client.untagged_responses.pop("OK", []) if b"[ALERT]" in line)
        return len(found) >= least
    until(look, "no alert comes")
    return found


def alerts_of_login(site, user, least=0):
    client = login(site, user)
    try:
        if least == 0:
            time.sleep(0.2)  # for one that should not come: it would come at once
        return alerts(client, least)
    finally:
        client.logout()


def parsed(octets):
    mail = email.message_from_bytes(octets, policy=email.policy.default)
    for part in mail.walk():
        assert part.defects == [], part.defects
        for name, value in part.items():
            assert value.defects == (), (name, value.defects)
    assert mail["Auto-Submitted"] == "auto-generated" and mail["X-Auto-Response-Suppress"] == "All"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail["Date"].datetime and len(mail["Message-ID"].strip("<>").split("@")) == 2
    return mail


def addresses(header):
    return [address.addr_spec for address in header.addresses]


def plain(mail):
    return mail.get_body(("plain",)).get_content().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def site(module_server_factory):
    site = Site(module_server_factory)
    yield site
    shutil.rmtree(site.folder)


def test_each_way(site):
    with login(site, "ann@told.test") as client:
        client.create("Projects")
        client.append("Projects", None, None, message("p", size=30 * KB))
    site.deliver("bob@told.test", 40 * KB)
    site.deliver("ann@told.test", 100 * KB)
    site.await_done("told.test", 4)
    # IMAP, once a day.
    (alert,) = alerts_of_login(site, "ann@told.test", 1)
    assert re.fullmatch(r"\[ALERT\] told\.test uses 1\d\d kB \(8\d% of 200 kB\)\. (At this rate it is full on \S+\. )?"
                        r"Delete mail or use POP3\. Upgrade: https://my\.example\.com/", alert), alert
    assert alerts_of_login(site, "ann@told.test") == []
    assert len(alerts_of_login(site, "bob@told.test", 1)) == 1
    # Mail, by IMAP.
    (mail,) = site.warnings("ann@told.test")
    assert re.fullmatch(r"told.test uses 8\d% of its space", mail["Subject"])
    assert (addresses(mail["From"]), addresses(mail["To"]), mail["Return-Path"]) == (["postmaster@told.test"], ["ann@told.test"], "<>")
    text = plain(mail)
    assert re.search(r"^ +100 kB  INBOX\n +30\.\d kB  Projects$", text, re.M), text
    assert "bob@" not in text and "Fetch mail by POP3 (pop.example.com, port 995)" in text and "https://my.example.com/" in text
    assert '<a href="https://my.example.com/">' in mail.get_body(("html",)).get_content()
    # And by POP3: the same octets.
    with pop3(site.server, "ann@told.test") as client:
        number = max(client.list())
        assert parsed(client.retr(number))["Message-ID"] == mail["Message-ID"]
    # Each owner hears of their own folders only.
    (of_bob,) = site.warnings("bob@told.test")
    assert "Projects" not in plain(of_bob) and re.search(r"^ +40\.\d kB  INBOX$", plain(of_bob), re.M)
    # The contact, by sendmail: from nobody, as nobody.
    (sent,) = site.ran("sendmail", "boss@elsewhere.example")
    arguments, uid, octets = sent.split("\n", 2)
    assert arguments == "-i -f <> -- boss@elsewhere.example" and uid != "0"
    contact = parsed(octets.encode())
    assert addresses(contact["To"]) == ["boss@elsewhere.example"] and contact["Return-Path"] is None
    assert "ann@told.test" in plain(contact) and "Projects" not in plain(contact)
    # The script.
    (ran,) = site.ran("script", "told.test")
    lines = ran.splitlines()
    assert re.fullmatch(r"told\.test percent notice 8\d|told\.test percent warning 8\d", lines[0]) and lines[1] != "0"
    environment = dict(line.split("=", 1) for line in lines[2:])
    assert environment["HOSTING_LIMIT"] == "204800" and environment["HOSTING_THRESHOLD"] == "80"
    assert "HOME" not in environment and "HOSTING_CURRENCY" in environment
    # Log and event.
    assert len(re.findall(r"growth warning: account told\.test, package=p, number=1, rule=percent", site.log())) == 1
    until(lambda: re.search(r"hosting_growth\s+duration\s+1\b|hosting_growth\s.*\b1\b", site.doveadm("stats", "dump").text), "no event comes")


def test_nothing_comes_twice_after_restarts(site):
    """Needs the test above."""
    before = len(site.ran("sendmail")) + len(site.ran("script"))
    for name in ("hosting-usage", "hosting-warn", "hosting-usage"):
        if name == "hosting-usage" or site.server.pids(name):
            for pid in site.server.pids(name):
                site.server.allow_log(r"service\(%s\).*killed with signal 9" % name, "hosting-warn is away", "hosting-webmeter")
                processes.kill([pid], signal.SIGKILL)
        site.await_service()
        for user in ("ann@told.test", "bob@told.test"):
            assert alerts_of_login(site, user) == []
            assert len(site.warnings(user)) == 1
    site.deliver("ann@told.test", KB)  # figures change, and are looked at
    site.advance(DAY)
    assert len(until(lambda: alerts_of_login(site, "ann@told.test"), "no alert comes the next day")) == 1
    assert len(site.warnings("ann@told.test")) == 1
    assert len(site.ran("sendmail")) + len(site.ran("script")) == before


def test_after_append(site):
    user = "ann@append.test"
    client = login(site, user)
    assert alerts(client) == []
    client.append("INBOX", None, None, message("one", size=150 * KB))
    time.sleep(0.5)
    assert alerts(client) == []
    client.append("INBOX", None, None, message("two", size=20 * KB))
    (alert,) = alerts(client, 1)
    assert alert.startswith("[ALERT] append.test uses 17")
    client.append("INBOX", None, None, message("three", size=KB))
    assert alerts(client) == []
    client.logout()
    assert alerts_of_login(site, user) == []


def test_a_full_account_gets_its_mail(site):
    user = "ann@full.test"
    with lmtp(site.server) as delivery:
        for number in range(3):
            delivery.deliver([user], message("m%d" % number, size=50 * KB))
    used = site.await_usage("full.test", lambda usage: usage.mail > 150 * KB).mail
    with login(site, user) as client:
        client.append("INBOX", None, None, message("rest", size=200 * KB - used - 100))
        assert client.append("INBOX", None, None, message("more", size=KB))[0] == "NO"
    site.await_usage("full.test", lambda usage: usage.mail > 200 * KB, "no warning is in INBOX, over quota")
    (mail,) = site.warnings(user)
    assert mail["Subject"] == "full.test uses 99% of its space"


def test_web_alone(site):
    site.deliver("ann@web.test", 2 * KB)
    with open(site.www + "/index.html", "wb") as file:
        file.write(b"x" * 188 * KB)
    until(lambda: "web roots will be walked" in site.doveadm("hosting", "recalc", "--web", "web.test").text, "no walk")
    site.await_done("web.test", 3)
    (alert,) = alerts_of_login(site, "ann@web.test", 1)
    assert alert.startswith("[ALERT] web.test belegt 19") and "E-Mails loeschen" in alert
    assert re.fullmatch(r"web.test belegt 9\d % des Speicherplatzes", site.warnings("ann@web.test")[0]["Subject"])
    (contact,) = site.warnings("web@web.test")
    assert site.www in plain(contact) and "Was den meisten Platz belegt" in plain(contact)


def test_ways_that_are_off(site):
    site.deliver("ann@silent.test", 190 * KB)
    until(lambda: any(row["account"] == "silent.test" and int(row["percent"].rstrip("%").split(".")[0]) > 90 for row in site.rows("usage")),
          "no mail is counted")
    assert alerts_of_login(site, "ann@silent.test") == []
    assert site.warnings("ann@silent.test") == [] and "account silent.test" not in site.log()
    assert site.ran("script", "silent.test") == []


def test_hostile_names(site):
    user = "ann@evil.test"
    folder = "<b>&\u202e\u05d0 'quoted' {account}"
    client = login(site, user)
    name = '"%s"' % modified_utf7.encode(folder).decode()
    assert client.create(name)[0] == "OK"
    client.append(name, None, None, message("x", size=170 * KB))
    (alert,) = alerts(client, 1)
    assert alert.isascii() and alert.isprintable() and len(alert) <= 210
    client.logout()
    shown = 'x"><script>alert(1)</script>{limit}'
    until(lambda: len(site.ran("script", shown)) == 1 and len(site.warnings(user)) == 1, "no warning comes")
    (mail,) = site.warnings(user)
    assert mail["Subject"] == shown + " uses 8%s%% of its space" % mail["Subject"].split(" uses 8")[1][0]
    assert "\u202e" not in mail.as_string() + plain(mail)
    assert "<b>&\u05d0 'quoted' {account}" in plain(mail)
    html = mail.get_body(("html",)).get_content()
    assert "<script" not in html and "<b>" not in html and "\u202e" not in html
    assert "&lt;b&gt;&amp;\u05d0 &#39;quoted&#39; {account}" in html
    (line,) = [line for line in site.log().splitlines() if "growth warning: account x" in line]
    assert line.isascii() and line.isprintable()


def test_kills_while_mail_is_under_way(site):
    user = "ann@kill.test"
    site.server.allow_log("hosting-usage", "hosting-warn", "hosting-webmeter")
    site.deliver(user, 2 * KB)

    def warn():
        """A job that the stopped hosting-warn has, and has not read."""
        until(lambda: site.doveadm("hosting", "warn", "kill.test").code == 0, "no answer")

    def count():
        return len(site.warnings(user))

    warn()
    site.await_done("kill.test", 2)
    assert count() == 1
    for round, kill in enumerate(("hosting-warn", "hosting-usage")):
        site.advance(1)  # another second, another warning
        helpers = until(lambda: site.server.pids("hosting-warn"), "hosting-warn does not run")
        processes.kill(helpers, signal.SIGSTOP)
        warn()
        until(lambda: "under way: mail" in site.doveadm("hosting", "status").text, "nothing is under way")
        if kill == "hosting-warn":
            processes.kill(helpers, signal.SIGKILL)
        else:
            site.kill("hosting-usage")
            site.await_service()
            processes.kill(helpers, signal.SIGCONT)
        site.await_done("kill.test", 2 * (round + 2))
        assert count() == round + 2, kill
    # Delivered, and killed before the answer was noted.
    site.advance(1)
    warn_pids = site.server.pids("hosting-warn") or []
    if not warn_pids:
        warn()
        site.await_done("kill.test", 8)
        site.advance(1)
        warn_pids = until(lambda: site.server.pids("hosting-warn"), "hosting-warn does not run")
    mails = count()
    processes.kill(warn_pids, signal.SIGSTOP)
    warn()
    until(lambda: "under way: mail" in site.doveadm("hosting", "status").text, "nothing is under way")
    site.signal(signal.SIGSTOP)
    processes.kill(warn_pids, signal.SIGCONT)
    until(lambda: count() == mails + 1, "nothing is delivered without the service")
    site.kill("hosting-usage")
    site.await_service()
    until(lambda: "was delivered before" in site.log(), "it is not found")
    assert count() == mails + 1
