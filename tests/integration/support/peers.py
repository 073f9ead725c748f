"""Debian's own mail programs, set up to talk to a server under test: Postfix, fetchmail, mbsync.

Each keeps everything in a folder of the server's, so nothing is left behind and no setting of the machine's plays a part.
"""

import os
import re
import subprocess
import time

from .messages import normal_messages
from .server import HOST, TIMEOUT
from .smtp_daemon import SmtpDaemon


def numbered_messages(count, seed):
    """Ordinary messages with a number in a header line, without what mail programs change on the way: odd line ends, Return-Path."""
    return [b"X-Number: %d\r\n" % n + b"".join(line + b"\r\n" for line in data.splitlines() if not line.startswith(b"Return-Path:"))
            for n, data in enumerate(normal_messages(count, seed))]


def number_of(message):
    return int(re.search(rb"^X-Number: (\d+)\r?$", message, re.M).group(1))


class Postfix(SmtpDaemon):
    """A private Postfix: SMTP on a port of its own, every recipient goes to the server by LMTP.

        with Postfix(server) as postfix:
            postfix.send(["alice@mail.example.com"], message)
            postfix.await_log(r"status=sent", count=1)
    """

    DOMAIN = "mail.example.com"
    name = "Postfix"

    def __init__(self, server, policy_service=None, sasl=None):
        """policy_service: what is asked about each recipient, as Postfix names it ("inet:127.0.0.1:12340"); sasl: a socket of Dovecot's auth,
        for those who log in."""
        super().__init__(server.base + "/postfix")
        self.log = self.base + "/log"
        for folder in ("config", "queue", "data"):
            os.makedirs("%s/%s" % (self.base, folder))
        subprocess.run(["chown", "postfix", self.base + "/data"], check=True)
        os.chmod(self.base + "/data", 0o700)
        self._write("main.cf", _MAIN_CF.format(base=self.base, domain=self.DOMAIN, host=HOST, lmtp=server.lmtp_port,
            ask="check_policy_service %s, " % policy_service if policy_service else "") + (_SASL_CF % sasl if sasl else ""))
        self._write("master.cf", _MASTER_CF.format(host=HOST, port=self.port))
        self.command = ["postfix", "-c", self.base + "/config", "start-fg"]
        self.logs = [self.log, self.base + "/stderr"]

    def _write(self, name, text):
        with open("%s/config/%s" % (self.base, name), "w", encoding="ascii") as file:
            file.write(text)

    def abort(self):
        """The master's children."""
        with open(os.devnull, "wb") as null:
            subprocess.run(["postfix", "-c", self.base + "/config", "abort"], stdout=null, stderr=null, check=False)

    def send(self, recipients, message, sender="sender@example.com"):
        with self.smtp() as smtp:
            assert smtp.sendmail(sender, recipients, message) == {}

    def await_log(self, pattern, count=1):
        """Waits until the log matches that often; returns the matches."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            found = re.findall(pattern, self.log_text())
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, "%d of %d times logged: %s\n%s" % (
                len(found), count, pattern, "\n".join(self.log_text().splitlines()[-40:]))
            time.sleep(0.05)


_MAIN_CF = """
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/log
maillog_file_prefixes = {base}
mail_owner = postfix
myhostname = {domain}
mydestination = {domain}
mynetworks = 127.0.0.0/8
inet_interfaces = {host}
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
mailbox_transport = lmtp:inet:{host}:{lmtp}
# a deferred message is tried again at once
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
# a destination that fails is not avoided for long either
transport_retry_time = 1s
smtpd_recipient_restrictions = {ask}permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtputf8_enable = no
"""

_SASL_CF = """
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = %s
smtpd_sasl_security_options = noanonymous
"""

_MASTER_CF = """
{host}:{port} inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
local     unix - n n - - local
lmtp      unix - - n - - lmtp
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Fetchmail:
    """fetchmail by POP3 for one user of one server; each message it gets becomes a file.

    `state` names what it remembers: two instances of one state are the same fetchmail, set to another port.
    """

    def __init__(self, base, server, user, keep, state="fetchmail"):
        self.folder = "%s/%s" % (base, state)
        self.mail = self.folder + "/mail"
        os.makedirs(self.mail, exist_ok=True)
        self._rc = self.folder + "/rc"
        with open(self._rc, "w", encoding="ascii") as file:
            file.write(_FETCHMAIL_RC.format(
                host=HOST, port=server.pop3_port, timeout=int(TIMEOUT), user=user, password=server.password(user),
                keep="keep" if keep else "no keep fetchall", mail=self.mail))
        os.chmod(self._rc, 0o600)

    def run(self):
        """Polls once; returns the new messages as bytes, in no order. Exit status 1 means there was no new mail."""
        before = set(os.listdir(self.mail))
        done = subprocess.run(
            ["fetchmail", "-f", self._rc, "-i", self.folder + "/ids", "--pidfile", self.folder + "/pid", "-v"],
            capture_output=True, text=True, timeout=TIMEOUT * 2, check=False,
            env={"PATH": os.environ["PATH"], "HOME": self.folder, "USER": "root", "FETCHMAILHOME": self.folder, "LC_ALL": "C"})
        assert done.returncode in (0, 1), done.stdout + done.stderr
        messages = []
        for name in sorted(set(os.listdir(self.mail)) - before):
            with open("%s/%s" % (self.mail, name), "rb") as file:
                messages.append(file.read())
        assert (done.returncode == 0) == bool(messages), done.stdout + done.stderr
        return messages


_FETCHMAIL_RC = """
set no bouncemail
set no spambounce
set invisible
poll {host} service {port} protocol pop3 uidl auth password timeout {timeout}
  user "{user}" password "{password}" {keep} no rewrite no mimedecode sslproto ""
  mda "cat > $(mktemp {mail}/XXXXXXXX)"
"""


class Mbsync:
    """mbsync of one user's mailboxes with a Maildir tree of its own."""

    def __init__(self, base, server, user):
        self.folder = base + "/mbsync"
        self.mail = self.folder + "/mail"
        os.makedirs(self.mail)
        os.makedirs(self.folder + "/state")
        version = subprocess.run(["mbsync", "--version"], capture_output=True, text=True, check=True).stdout
        newer = tuple(map(int, re.search(r"(\d+)\.(\d+)", version).groups())) >= (1, 5)
        self._rc = self.folder + "/rc"
        with open(self._rc, "w", encoding="ascii") as file:
            file.write(_MBSYNC_RC.format(host=HOST, port=server.imap_port, user=user, password=server.password(user),
                                         tls="TLSType" if newer else "SSLType", mail=self.mail, state=self.folder + "/state"))

    def run(self):
        """Synchronises once."""
        done = subprocess.run(["mbsync", "-c", self._rc, "-a"], capture_output=True, text=True, timeout=TIMEOUT * 2, check=False,
                              env={"PATH": os.environ["PATH"], "HOME": self.folder, "LC_ALL": "C"})
        assert done.returncode == 0, done.stdout + done.stderr


_MBSYNC_RC = """
IMAPAccount server
Host {host}
Port {port}
User {user}
Pass {password}
{tls} None
AuthMechs LOGIN
PipelineDepth 20

IMAPStore far
Account server

MaildirStore near
Path {mail}/
Inbox {mail}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
Sync All
CopyArrivalDate yes
SyncState {state}/
"""
