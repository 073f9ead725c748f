"""docs/monitoring.md: its configuration as it stands there, and /metrics with the right figure for everything that it names."""
# ctest: timeout=300 labels=quota

import glob
import os
import re
import signal
import stat
import subprocess
import textwrap
import urllib.request

import pytest

from support.beside import DATE, imap, incompressible, message, until
from support.docs import block_after, read
from support.hosting import Hosting
from support.packs import records
from support.ports import Port
from support.server import HOST, SERIES

PAGE = "monitoring.md"
POLICY = """
[package.hard]
limit = "40k"
[package.reports]
limit = "40k"
over_limit = "report"
[package.pop]
imap = "deny"
[account.hard]
package = "hard"
domains = ["hard.example"]
[account.reports]
package = "reports"
domains = ["reports.example"]
[account.pop]
package = "pop"
domains = ["pop.example"]
"""
PASSDB = {"2.3": "passdb {\n  driver = hosting\n  args = @base@/hosting/policy.logins\n}\npassdb {\n  driver = static\n  args = password=pass\n}\n",
          "2.4": "passdb hosting {\n}\nhosting_login_table = @base@/hosting/policy.logins\npassdb static {\n  password = pass\n}\n"}


@pytest.fixture(scope="module")
def site(module_server_factory):
    port = Port()
    text = block_after(PAGE, "**Both**") + block_after(PAGE, "**Dovecot %s**" % SERIES)
    assert text.count("9900") == 1
    site = Hosting(module_server_factory, "lbox", POLICY, passdbs=PASSDB, timeout="50ms",
                   after=text.replace("9900", str(port.number)).replace("%", "%%"))
    port.release()
    site.server.allow_log("hosting: login table .*: No such file")  # until hosting-usage has begun
    site.metrics_port = port.number
    site.await_service()
    until(lambda: os.path.exists(site.state + "/policy.logins"), "no table of logins")
    return site


def scrape(site):
    """{series with its labels: value}"""
    with urllib.request.urlopen("http://%s:%d/metrics" % (HOST, site.metrics_port)) as answer:
        assert "openmetrics-text" in answer.headers["Content-Type"]
        text = answer.read().decode()
    assert text.endswith("# EOF\n")
    return {name: float(value) for name, value in re.findall(r"(?m)^(\w+(?:\{[^}]*\})?) ([0-9.e+]+)$", text)}


def await_series(site, wanted, timeout=20):
    """Events of processes that end come a moment later."""
    def right():
        found = scrape(site)
        return all(found.get(name, 0) == value for name, value in wanted.items())
    try:
        until(right, "", timeout)
    except AssertionError:
        found = scrape(site)
        raise AssertionError({name: (found.get(name), value) for name, value in wanted.items()}) from None


def test_prometheus_takes_the_rules(tmp_path):
    (rules,) = re.findall(r"(?m)^    groups:\n(?:(?:    .*)?\n)+", read(PAGE))
    (tmp_path / "rules.yml").write_text(textwrap.dedent(rules))
    (program, *_) = filter(os.path.exists, ("/usr/bin/promtool", "/usr/lib/lbox-tests/promtool"))
    done = subprocess.run([program, "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "SUCCESS: %d rules found" % rules.count("- alert:") in done.stdout, done


def deliver(site, user, size, name="a message"):
    """Whether it was taken."""
    with site.server.lmtp() as connection:
        connection.ehlo_or_helo_if_needed()
        connection.mail("s@example.org")
        connection.rcpt(user)
        code, _ = connection.data(message(name, size))
    return code == 250


def test_every_series_that_is_named_comes(site):
    names = set(re.findall(r"dovecot_\w+", read(PAGE)))
    names -= {"dovecot_lbox_failed_total"}  # no sample before the first
    there = scrape(site)
    assert names and names <= set(there), names - set(there)


def test_refusals_and_deliveries(site):
    before = scrape(site)
    assert deliver(site, "ann@hard.example", 30_000)
    assert not deliver(site, "ann@hard.example", 30_000)
    assert deliver(site, "bob@reports.example", 30_000)
    assert deliver(site, "bob@reports.example", 30_000)
    await_series(site, {"dovecot_%s_total" % name: before["dovecot_%s_total" % name] + more for name, more in {
        "hosting_refused": 1, "hosting_would_refuse": 1, "lmtp_deliveries": 4, "lmtp_failed": 1}.items()})
    until(lambda: scrape(site)["dovecot_hosting_usage_total"] > before["dovecot_hosting_usage_total"], "no event of the usage")


def test_denied_login(site):
    with pytest.raises(Exception):
        site.server.imap("eve@pop.example")
    await_series(site, {"dovecot_hosting_login_denied_total": 1})


def test_damage_and_repair(site):
    server, user = site.server, "damaged@free.example"
    server.allow_log(r"Error: .*lbox: ", r"Warning: .*lbox: repair")
    with imap(server, user) as session:
        session.append("INBOX", message("whole", 3000), (), DATE).expect_ok()
        session.append("INBOX", message("spoilt", 3000), (), DATE).expect_ok()
    until(lambda: not server.pids("imap"), "imap does not end")
    store = server.mail_root(user) + "/store"
    record = next(one for one in records(store) if one.uid == 2)
    with open(record.path, "r+b") as file:
        file.seek(record.frames_at + record.header_stored + 20)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0xFF]))
    with imap(server, user) as session:
        session.select("INBOX")
        assert session.command("UID FETCH 2 BODY.PEEK[]").status == "NO"
    await_series(site, {'dovecot_lbox_failed_total{reason="damaged"}': 1})
    server.doveadm("lbox", "repair", user=user)
    await_series(site, {"dovecot_lbox_repaired_total": 1, "dovecot_lbox_mail_lost_total": 1, "dovecot_lbox_index_rebuilt_total": 0,
                        "dovecot_lbox_repair_failed_total": 0})
    for index in glob.glob(store + "/index.[0-9]*"):
        os.unlink(index)
    server.doveadm("lbox", "repair", user=user)
    await_series(site, {"dovecot_lbox_repaired_total": 2, "dovecot_lbox_mail_lost_total": 1, "dovecot_lbox_index_rebuilt_total": 1})


def test_full_disk(site):
    server, user = site.server, "full@free.example"
    server.allow_log(r"Error: .*", r"Warning: .*")
    # Where the server sees it: its mounts are its own.
    home = server.user_home(user)
    os.makedirs(home, exist_ok=True)
    os.chown(home, 5000, 5000)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700,uid=5000,gid=5000", "lbox-test", home]
    server.run(*mount)
    try:
        for number in range(40):
            with server.lmtp() as connection:
                connection.ehlo_or_helo_if_needed()
                connection.mail("s@example.org")
                connection.rcpt(user)
                code, text = connection.data(message("no. %d" % number) + incompressible(200_000, number))
            if code != 250:
                break
        assert 400 <= code < 500, (code, text)
        await_series(site, {'dovecot_lbox_failed_total{reason="no-space"}': 1})
    finally:
        server.run("umount", "-l", home)


def test_outage(site):
    server = site.server
    server.allow_log(r"Warning: .*hosting-usage is (away|back)")
    before = scrape(site)
    assert deliver(site, "dan@hard.example", 1000)
    site.signal(signal.SIGSTOP)
    try:
        with imap(server, "dan@hard.example") as session:
            session.append("INBOX", message("meanwhile", 1000), (), DATE).expect_ok()
            await_series(site, {"dovecot_hosting_outage_total": before["dovecot_hosting_outage_total"] + 1})
            # What waits for the service is the mail user's, and nobody else's (docs/security.md).
            for path in glob.glob(site.state + "/spool/*"):
                info = os.stat(path)
                assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (5000, 0o640), path
            site.signal(signal.SIGCONT)
            until(lambda: site.doveadm("hosting", "status", check=False).code == 0, "hosting-usage does not come back")
            session.append("INBOX", message("afterwards", 1000), (), DATE).expect_ok()
            session.noop()
            await_series(site, {"dovecot_hosting_outage_over_total": before["dovecot_hosting_outage_over_total"] + 1})
    finally:
        site.signal(signal.SIGCONT)
