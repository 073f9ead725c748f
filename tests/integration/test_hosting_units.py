"""The systemd units: systemd reads them, and what they start does its work when run as they say."""
# ctest: timeout=300 labels=quota

import configparser
import os
import shlex
import shutil
import signal
import subprocess

import pytest

from support.hosting import METER_UID, PROGRAMS, Hosting
from support.server import REPO, TIMEOUT
from support.tools import fill_store

UNITS = os.path.join(REPO, "packaging")
POLICY = """
[package.pop]
imap = "deny"
pop3_retention = { days = 14, notice_days = 0, unretrieved = "delete" }
[account.pop]
package = "pop"
domains = ["pop.example"]
web_roots = ["%s"]
"""
USER = "ann@pop.example"
MB = 1 << 20


def section(name, unit="Service"):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(os.path.join(UNITS, name))
    return parser[unit]


@pytest.fixture(scope="module")
def site(module_server_factory):
    web = "/run/lbox-web-units-%d" % os.getpid()
    os.makedirs(web, mode=0o700)
    os.chown(web, 6001, 6001)  # the customer's, and nobody else's to read
    try:
        site = Hosting(module_server_factory, "lbox", POLICY % web, userdb={USER: {}})
        site.web_root = web
        site.await_service()
        yield site
    finally:
        shutil.rmtree(web)


def test_retention_of_users_who_never_log_in(site):
    fill_store(site.server, USER, 0, 0, 20)  # messages of 2023
    timer = section("hosting-retention.timer", "Timer")
    assert timer["OnCalendar"] and section("hosting-retention.timer", "Install")["WantedBy"] == "timers.target"
    command = shlex.split(section("hosting-retention.service")["ExecStart"])
    assert command[0] == "/usr/bin/doveadm"
    assert site.doveadm("mailbox", "status", "-u", USER, "messages", "INBOX").text.strip().endswith("messages=20")
    site.doveadm(*command[1:])
    assert site.doveadm("mailbox", "status", "-u", USER, "messages", "INBOX").text.strip().endswith("messages=0")


def test_web_meter(site):
    """With the rights of its unit and no others: it walks a folder that nobody else may read, and reports."""
    with open(site.web_root + "/movie", "wb") as file:
        file.write(os.urandom(MB))
    unit = section("hosting-webmeter.service")
    assert unit["User"] == unit["Group"] == "hosting-web"
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == "CAP_DAC_READ_SEARCH" and unit["NoNewPrivileges"] == "yes"
    command = shlex.split(unit["ExecStart"])
    here = {"/usr/lib/dovecot/hosting-webmeter": PROGRAMS + "/hosting-webmeter", "hosting-web": str(METER_UID),
            "/run/dovecot/hosting-usage": site.server.base + "/run/hosting-usage",
            "/var/lib/dovecot/hosting/policy.snapshot": site.state + "/policy.snapshot"}
    assert set(here) < set(command)
    policy = open(site.policy_file, encoding="utf-8").read()
    assert "web_uids = [%d]" % METER_UID in policy
    for path in (site.server.base + "/run", site.state):  # as Dovecot's own folders are to be found by the meter
        os.chmod(path, os.stat(path).st_mode | 0o055)
    os.chmod(site.state + "/policy.snapshot", 0o644)
    rights = ["setpriv", "--reuid=%d" % METER_UID, "--regid=%d" % METER_UID, "--clear-groups", "--inh-caps=-all,+dac_read_search",
              "--ambient-caps=+dac_read_search", "--bounding-set=-all,+dac_read_search", "--no-new-privs"]
    with open(site.server.base + "/meter.log", "wb") as log:
        process = subprocess.Popen(rights + [here.get(word, word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        site.await_usage("pop", lambda usage: usage.web >= MB, open(site.server.base + "/meter.log", encoding="utf-8").read())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
@pytest.mark.parametrize("name", ["hosting-retention.service", "hosting-retention.timer", "hosting-webmeter.service"])
def test_systemd_reads_them(tmp_path, name):
    for unit in ("hosting-retention.service", "hosting-retention.timer", "hosting-webmeter.service"):
        text = open(os.path.join(UNITS, unit), encoding="utf-8").read()
        for program in ("/usr/lib/dovecot/hosting-webmeter", "/usr/bin/doveadm"):
            text = text.replace("ExecStart=" + program, "ExecStart=/bin/true")  # may not be installed here
        (tmp_path / unit).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "hosting-" in line]
    assert not complaints and done.returncode == 0, done.stderr
