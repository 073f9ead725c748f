"""A private Dovecot with hosting-usage and its companions, for tests of packages and quota.

    site = Hosting(server_factory, "maildir", POLICY)
    site.usage("example.com").mail == 4711

The policy file lies below /run, since neither it nor a folder above it may be writable by others.
"""

import atexit
import json
import os
import shutil
import signal
import socket
import tempfile
import time

from . import processes
from .beside import imap, until
from .ports import Port
from .server import BUILD, HOST, TIMEOUT

SERVICE_USER = "dovecot"  # Dovecot's own unprivileged user
METER_UID = 6002  # nobody else's
PROGRAMS = os.path.join(BUILD, "libexec")
SERVICES = ("hosting-usage", "hosting-recount", "hosting-webmeter")


class Usage:
    """What `doveadm hosting usage ACCOUNT` tells."""

    def __init__(self, rows):
        self.rows = rows
        self.sources = {(row["kind"], row["name"]): row for row in rows}

    def of(self, kind, name=None):
        """Bytes of all sources of a kind, or of one."""
        return sum(int(row["bytes"]) for row in self.rows
                   if row["kind"] == kind and name in (None, row["name"]))

    def messages(self, name):
        return int(self.sources["mail", name]["messages"])

    @property
    def total(self):
        return self.of("total")

    @property
    def mail(self):
        return self.of("mail")

    @property
    def web(self):
        return self.of("web")


class Hosting:
    def __init__(self, server_factory, driver, policy, web=False, mailbox_root=True, extra="", timeout="10s", after="", clock=False,
                 warn=None, **options):
        """timeout: how long mail processes wait for the service; by default longer than even a busy machine needs.
        after: text of dovecot.conf at its end, with the same %(names)s as what is below. clock: advance() sets the service's time.
        warn: arguments of hosting-warn; None: there is none."""
        self._trial_clock = clock
        self.policy_folder = tempfile.mkdtemp(prefix="lbox-hosting-", dir="/run")
        atexit.register(shutil.rmtree, self.policy_folder, ignore_errors=True)
        os.chmod(self.policy_folder, 0o755)
        self.policy_file = self.policy_folder + "/hosting.toml"
        self.web = web
        self.ahead = 0
        self._clock_file = self.policy_folder + "/clock"
        self.advance(0)
        self._timeout = timeout
        self._ports = {name: Port() for name in ("quota-status", "http")}
        self.status_port, self.http_port = (self._ports[name].number for name in ("quota-status", "http"))
        self._roots = {"2.3": _ROOTS_23 + (_MAILBOX_ROOT_23 if mailbox_root else ""),
                       "2.4": _ROOTS_24 + (_MAILBOX_ROOT_24 if mailbox_root else "")}
        self._extra = extra
        self._after = after
        self._warn = warn
        self.write_policy(policy)
        self.server = server_factory(
            driver=driver, in_place=True, plugins=tuple(options.pop("plugins", ())) + ("quota", "hosting"),
            protocol_plugins={"imap": ("imap_quota",) + tuple(options.pop("imap_plugins", ()))}, prepare=self._prepare, **options)
        for port in self._ports.values():
            port.release()

    def write_policy(self, text):
        """Replaces the policy file as an editor would."""
        with open(self.policy_file + ".new", "w", encoding="utf-8") as file:
            file.write("[service]\nmail_uids = [5000]\nweb_uids = [%d]\n" % METER_UID + text)
        os.chmod(self.policy_file + ".new", 0o644)
        os.rename(self.policy_file + ".new", self.policy_file)

    def advance(self, seconds):
        """Sets hosting-usage's clock on; it takes note within a twentieth of a second."""
        self.ahead += seconds
        with open(self._clock_file + ".new", "w", encoding="ascii") as file:
            file.write("%d\n" % self.ahead)
        os.rename(self._clock_file + ".new", self._clock_file)

    def now(self):
        """Unix seconds of hosting-usage's clock."""
        return int(time.time()) + self.ahead

    def _prepare(self, server):
        self.state = server.base + "/hosting"
        values = {"state": self.state, "policy": self.policy_file, "user": SERVICE_USER, "meter": METER_UID, "programs": PROGRAMS,
                  "timeout": self._timeout, "clock": " --trial-clock " + self._clock_file if self._trial_clock else "",
                  "status": self.status_port, "http": self.http_port, "run": server.base + "/run",
                  "warn": "" if self._warn is None else " --warn-socket %s/run/hosting-warn" % server.base, "warn_arguments": self._warn}
        roots = server.text(self._roots) % values
        extra = server.text(self._extra).replace("%(state)s", self.state)
        if server.series == "2.3":
            roots = "plugin {\n%s\n%s\n}\n" % (roots, extra)
            extra = ""
        server.config.extra = roots + extra + _SERVICES % values + (_WEB_SERVICE % values if self.web else "")
        server.config.extra += "" if self._warn is None else _WARN_SERVICE % values
        server.config.extra += server.text(self._after) % values

    # What the service knows ---------------------------------------------------------------------

    def doveadm(self, *args, **options):
        return self.server.doveadm(*args, **options)

    def rows(self, *args):
        """Of a command, as JSON gives them; numbers are strings, whichever series."""
        return [{key: str(value) for key, value in row.items()}
                for row in json.loads(self.doveadm("-f", "json", "hosting", *args).out)]

    def usage(self, account):
        return Usage(self.rows("usage", account))

    def await_usage(self, account, wanted, complaint="the figure does not come", timeout=TIMEOUT):
        """Waits until wanted(usage) holds; returns the usage."""
        def right():
            usage = self.usage(account)
            return usage if wanted(usage) else None
        try:
            return until(right, complaint, timeout)
        except AssertionError:
            raise AssertionError("%s: %s" % (complaint, self.usage(account).rows)) from None

    def pid(self, name):
        (pid,) = until(lambda: self.server.pids(name), "%s does not run" % name)
        return pid

    def await_service(self):
        until(lambda: self.doveadm("hosting", "status", check=False).code == 0, "hosting-usage does not answer")

    def signal(self, sig, name="hosting-usage"):
        processes.kill([self.pid(name)], sig)

    def kill(self, name="hosting-usage"):
        """SIGKILL; Dovecot's master starts another when it is asked for. Returns once it has ended."""
        pid = self.pid(name)
        self.server.allow_log(r"service\(%s\).*killed with signal 9" % name)
        processes.kill([pid], signal.SIGKILL)
        until(lambda: pid not in self.server.pids(name), "%s does not end" % name)

    # Asking as others do ------------------------------------------------------------------------

    def ask_quota_status(self, recipient, size=1000):
        """What quota-status tells Postfix about a recipient, before DATA."""
        with socket.create_connection((HOST, self.status_port), timeout=TIMEOUT) as connection:
            connection.sendall(b"request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=SMTP\n"
                               b"sender=s@example.org\nrecipient=%s\nsize=%d\n\n" % (recipient.encode(), size))
            answer = b""
            while not answer.endswith(b"\n\n"):
                more = connection.recv(4096)
                assert more, "quota-status hung up"
                answer += more
        return answer.decode().strip().removeprefix("action=")


def mail_bytes(server, user):
    """Bytes of all of the user's mail, as IMAP gives them."""
    total = 0
    with imap(server, user) as session:
        for line in session.ok('LIST "" "*"').named("LIST"):
            if b"\\Noselect" not in line and session.select(line.split()[-1].strip(b'"\r\n').decode())[b"EXISTS"]:
                total += sum(int(items[b"RFC822.SIZE"]) for items in session.fetch("1:*", "RFC822.SIZE").values())
    return total


_ROOTS_23 = """
quota = hosting:Package
hosting_spool = %(state)s/spool
hosting_policy_file = %(policy)s
hosting_timeout = %(timeout)s
quota_status_success = DUNNO
quota_status_nouser = DUNNO
quota_status_overquota = "552 5.2.2 %%%%{error}"
"""
_MAILBOX_ROOT_23 = "quota2 = hosting-mailbox:Mailbox\n"

_ROOTS_24 = """
quota Package {
  quota_driver = hosting
}
hosting_spool = %(state)s/spool
hosting_policy_file = %(policy)s
hosting_timeout = %(timeout)s
quota_status_success = DUNNO
quota_status_nouser = DUNNO
quota_status_overquota = 552 5.2.2 %%{error}
quota_status_toolarge = 552 5.2.2 %%{error}
"""
_MAILBOX_ROOT_24 = "quota Mailbox {\n  quota_driver = hosting-mailbox\n}\n"

_SERVICES = """
service hosting-usage {
  executable = %(programs)s/hosting-usage --policy %(policy)s --state-dir %(state)s --recount-socket %(run)s/hosting-recount%(clock)s%(warn)s
  user = %(user)s
  process_limit = 1
  process_min_avail = 1
  unix_listener hosting-usage {
    mode = 0666
  }
}
service hosting-recount {
  executable = %(programs)s/hosting-recount
  user = root
  client_limit = 1
  unix_listener hosting-recount {
    mode = 0600
    user = %(user)s
  }
}
service quota-status {
  executable = quota-status -p postfix
  client_limit = 1
  inet_listener quota-status {
    port = %(status)d
  }
}
doveadm_api_key = key
service doveadm {
  inet_listener http {
    port = %(http)d
  }
}
"""

_WARN_SERVICE = """
service hosting-warn {
  executable = %(programs)s/hosting-warn %(warn_arguments)s
  user = root
  client_limit = 1
  unix_listener hosting-warn {
    mode = 0600
    user = %(user)s
  }
}
"""

_WEB_SERVICE = """
service hosting-webmeter {
  executable = %(programs)s/hosting-webmeter --socket %(run)s/hosting-usage --snapshot %(state)s/policy.snapshot --user %(meter)d
  user = root
  process_limit = 1
  process_min_avail = 1
  unix_listener hosting-webmeter {
    mode = 0600
  }
}
"""
