"""hosting-webmeter as a service of Dovecot's, beside hosting-usage: a customer's web root, which nobody else may read, comes
into the account's figure; what the process may do; its end, its death and a reload."""

import os
import shutil
import signal
import subprocess
import tempfile

import pytest

from support import processes
from support.beside import until
from support.server import BUILD
from support.usage_wire import UsageWire, field, fields

PROGRAMS = os.path.join(BUILD, "libexec")
CUSTOMER = 6001
METER = 6002
ACCOUNT = "example.com"

POLICY = """
[service]
mail_uids = [5000]
web_uids = [%(meter)d]
[package.gold]
limit = "1G"
web_interval = "1 min"
[account."example.com"]
package = "gold"
domains = ["example.com"]
uid = %(customer)d
web_roots = ["%(root)s"]
"""

SERVICES = """
service hosting-usage {
  executable = %(programs)s/hosting-usage --policy %(policy)s --state-dir %(state)s
  user = nobody
  process_limit = 1
  process_min_avail = 1
  unix_listener hosting-usage {
    mode = 0666
  }
}
service hosting-webmeter {
  executable = %(programs)s/hosting-webmeter --user %(meter)d --snapshot %(state)s/policy.snapshot
  user = root
  process_limit = 1
  process_min_avail = 1
  client_limit = 1
  unix_listener hosting-webmeter {
    mode = 0600
  }
}
"""


def web_figure(server):
    """Bytes of the account's web roots, as hosting-usage has them."""
    with UsageWire(server.base + "/run/hosting-usage") as usage:
        reply = usage.ask(6, field(2, field(1, ACCOUNT.encode())))
    (result,) = [value for number, value in fields(reply) if number == 4]
    (account,) = [value for number, value in fields(result) if number == 1]
    return dict(fields(account)).get(4, 0)


def disk_usage(path):
    return int(subprocess.check_output(["du", "-sx", "--block-size=1", path]).split()[0])


@pytest.fixture
def folder():
    # Neither the policy nor a folder above it may be writable by others.
    path = tempfile.mkdtemp(prefix="lbox-web-", dir="/run")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def site(folder, server_factory):
    os.chmod(folder, 0o755)
    root = folder + "/root"
    os.mkdir(root)
    with open(root + "/index.html", "wb") as file:
        file.write(b"x" * 50_000)
    os.chown(root, CUSTOMER, CUSTOMER)
    os.chmod(root, 0o700)
    with open(folder + "/hosting.toml", "w", encoding="utf-8") as file:
        file.write(POLICY % {"meter": METER, "customer": CUSTOMER, "root": root})

    os.mkdir(folder + "/state")
    shutil.chown(folder + "/state", "nobody")
    server = server_factory(driver="maildir", extra=SERVICES % {
        "programs": PROGRAMS, "policy": folder + "/hosting.toml", "state": folder + "/state", "meter": METER})
    server.root = root
    return server


def meter_pid(server):
    (pid,) = until(lambda: server.pids("hosting-webmeter"), "hosting-webmeter does not run")
    return pid


def test_figures_of_a_closed_root(site):
    until(lambda: web_figure(site) == disk_usage(site.root), "the web root's figure does not come")
    assert web_figure(site) > 50_000


def test_what_the_process_may_do(site):
    until(lambda: web_figure(site) > 0, "the web root's figure does not come")
    with open("/proc/%d/status" % meter_pid(site), encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert status["Uid"].split() == [str(METER)] * 4
    assert status["Groups"].split() == []
    assert status["NoNewPrivs"] == "1"
    assert [status[name] for name in ("CapEff", "CapPrm", "CapBnd")] == ["0000000000000004"] * 3
    with open("/proc/%d/stat" % meter_pid(site), encoding="ascii") as file:
        assert file.read().rsplit(")", 1)[1].split()[16] == "19"  # nice
    assert subprocess.check_output(["ionice", "-p", str(meter_pid(site))], text=True).strip() == "idle"
    assert [status[name] for name in ("CapInh", "CapAmb")] == ["0000000000000000"] * 2


def test_another_one_takes_over(site):
    until(lambda: web_figure(site) > 0, "the web root's figure does not come")
    first = meter_pid(site)
    site.allow_log(r"service\(hosting-webmeter\).*killed with signal 9", r"SIGHUP received")
    processes.kill([first], signal.SIGKILL)
    until(lambda: site.pids("hosting-webmeter") not in ([], [first]), "no other meter is started")
    second = meter_pid(site)
    site.reload()
    until(lambda: second not in site.pids("hosting-webmeter"), "the old one does not end after a reload")
    assert meter_pid(site) != second
