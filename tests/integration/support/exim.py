"""A private Exim whose clients log in through Dovecot's auth socket.

    with Exim(server, sasl=server.base + "/run/auth-exim") as exim:
        with exim.smtp() as smtp:
            smtp.login("ann@example.com", "pass")

Debian's exim4-daemon-heavy, which conflicts with Postfix: packaging/install-deps unpacks its program alone. It insists on a user
Debian-exim, which it is shown in a mount namespace of its own.
"""

import os
import shutil

from .server import HOST
from .smtp_daemon import SmtpDaemon

PROGRAM = next((path for path in ("/usr/lib/lbox-tests/exim4", "/usr/sbin/exim4") if os.path.exists(path)), None)
UID = 6010  # nobody else's
START = 'mount --bind {base}/passwd /etc/passwd && mount --bind {base}/group /etc/group && exec "$@"'


class Exim(SmtpDaemon):
    name = "Exim"

    def __init__(self, server, sasl):
        super().__init__(server.base + "/exim")
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
        self.command = ["unshare", "--mount", "sh", "-c", START.format(base=self.base), "sh", PROGRAM, "-C", self.base + "/conf", "-bdf"]
        self.logs = [self.base + name for name in ("/stderr", "/log/main", "/log/reject", "/log/panic")]


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
