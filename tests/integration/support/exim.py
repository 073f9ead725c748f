"""A private Exim whose clients log in through Dovecot's auth socket.

    with Exim(server, sasl=server.base + "/run/auth-exim") as exim:
        with exim.smtp() as smtp:
            smtp.login("ann@example.com", "pass")

Debian's exim4-daemon-heavy, which conflicts with Postfix: packaging/install-deps unpacks its program alone. It insists on a user
Debian-exim, which it is shown in a mount namespace of its own.
"""

import os
import shutil
import signal
import smtplib
import subprocess
import time

from .ports import Port
from .server import HOST, TIMEOUT

PROGRAM = next((path for path in ("/usr/lib/lbox-tests/exim4", "/usr/sbin/exim4") if os.path.exists(path)), None)
UID = 6010  # nobody else's
START = 'mount --bind {base}/passwd /etc/passwd && mount --bind {base}/group /etc/group && exec "$@"'


class Exim:
    def __init__(self, server, sasl):
        self._port = Port()
        self.port = self._port.number
        self.base = server.base + "/exim"
        for folder in ("spool", "log"):
            os.makedirs("%s/%s" % (self.base, folder))
            os.chown("%s/%s" % (self.base, folder), UID, UID)
        for name, line in (("passwd", "Debian-exim:x:%d:%d::/nonexistent:/usr/sbin/nologin\n"), ("group", "Debian-exim:x:%d:\n")):
            shutil.copy("/etc/" + name, self.base)
            with open("%s/%s" % (self.base, name), "a", encoding="utf-8") as file:
                file.write(line % ((UID,) * line.count("%d")))
        with open(self.base + "/conf", "w", encoding="ascii") as file:
            file.write(_CONF.format(base=self.base, host=HOST, port=self.port, sasl=sasl))
        os.chmod(self.base + "/conf", 0o644)
        self._process = None

    def __enter__(self):
        with open(self.base + "/stderr", "ab") as stderr:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", START.format(base=self.base), "sh", PROGRAM, "-C", self.base + "/conf", "-bdf"],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True)
        try:
            self._await_greeting()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """Ends the daemon and whatever of its session is left."""
        try:
            self._process.terminate()
            self._process.wait(TIMEOUT / 4)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._port.release()

    def _await_greeting(self):
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                with self.smtp():
                    return
            except OSError:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Exim did not start\n" + self.log_text())
            time.sleep(0.05)

    def smtp(self):
        return smtplib.SMTP(HOST, self.port, timeout=TIMEOUT)

    def log_text(self):
        text = ""
        for name in ("stderr", "log/main", "log/reject", "log/panic"):
            try:
                with open("%s/%s" % (self.base, name), encoding="utf-8", errors="replace") as file:
                    text += file.read()
            except FileNotFoundError:
                pass
        return text


_CONF = """
primary_hostname = mail.example.com
spool_directory = {base}/spool
log_file_path = {base}/log/%s
pid_file_path = {base}/spool/pid
local_interfaces = {host}
daemon_smtp_ports = {port}
tls_advertise_hosts =
never_users =
host_lookup =
rfc1413_hosts =
keep_environment =
acl_smtp_rcpt = accept

begin authenticators

dovecot_plain:
  driver = dovecot
  public_name = PLAIN
  server_socket = {sasl}
  server_set_id = $auth1
"""
