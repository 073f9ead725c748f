"""Postfix and Exim on a host of their own (host.py), with what packaging/conf/examples has for them, and nothing else that matters."""

import os
import re
import smtplib

from .beside import until
from .examples import EXAMPLES
from .exim import PROGRAM
from .server import TIMEOUT

# What Debian's main.cf has besides; and retry() finds no message that is too young.
_MAIN_CF = """
compatibility_level = 3.6
myhostname = mail.example.com
mydestination =
mynetworks = 127.0.0.0/8
inet_protocols = ipv4
alias_maps =
alias_database =
data_directory = /var/spool/postfix/data
smtpd_sasl_auth_enable = yes
minimal_backoff_time = 1s
maximal_backoff_time = 1s
transport_retry_time = 1s
"""
_EXIM_BEFORE = """
exim_path = %s
primary_hostname = mail.example.com
spool_directory = /var/mail/exim
log_file_path = syslog
syslog_timestamp = false
pid_file_path = /run/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = %d
tls_advertise_hosts =
never_users =
host_lookup =
rfc1413_hosts =
keep_environment =
acl_smtp_rcpt = check_rcpt

begin acl

check_rcpt:
  accept domains = example.com
         verify = recipient
  deny

"""
_EXIM_AFTER = """
begin retry

* * F,1h,1m
"""


class _Mta:
    """port: where it takes mail, in the host's network. retry() tries again at once what is deferred."""

    def __init__(self, host):
        self.host = host

    def smtp(self, source=None):
        """A connection to hand in mail, from another of the host's addresses if asked."""
        with self.host.network():
            return smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=TIMEOUT, source_address=source and (source, 0))

    def send(self, recipient, subject, sender="bob@example.org"):
        with self.smtp() as smtp:
            assert smtp.sendmail(sender, [recipient], "From: bob@example.org\r\nSubject: %s\r\n\r\nhello\r\n" % subject) == {}

    def await_answer(self):
        def answers():
            try:
                self.smtp().close()
                return True
            except OSError:
                return False
        until(answers, "it does not answer")


class HostPostfix(_Mta):
    port = 25

    def start(self):
        with open(os.path.join(EXAMPLES, "postfix-main.cf"), encoding="utf-8") as file:
            self.host.write("/etc/postfix/main.cf", file.read() + _MAIN_CF)
        with open("/usr/share/postfix/master.cf.dist", encoding="utf-8") as file:
            self.host.write("/etc/postfix/master.cf", file.read())
        for folder in ("/var/spool/postfix/data", "/var/spool/postfix/private"):
            os.makedirs(self.host.path(folder), exist_ok=True)
            self.host.run("chown", "postfix", folder)
        self.host.run("postfix", "start")
        self.await_answer()
        return self

    def retry(self):
        self.host.run("postqueue", "-f")

    def stop(self):
        self.host.run("postfix", "abort", check=False)

    def queue(self):
        """{recipient: why it is still there}"""
        text = self.host.run("postqueue", "-p").text
        return {recipient: reason for reason, recipient in re.findall(r"^ *\((.*)\)\n +(\S+@\S+)$", text, re.MULTILINE)}


class HostExim(_Mta):
    port = 26

    def start(self):
        with open(os.path.join(EXAMPLES, "exim-dovecot.conf"), encoding="utf-8") as file:
            self.host.write("/etc/exim.conf", _EXIM_BEFORE % (PROGRAM, self.port) + file.read() + _EXIM_AFTER)
        os.mkdir(self.host.path("/var/mail/exim"))
        self.host.run("chown", "Debian-exim", "/var/mail/exim")
        self.host.run(PROGRAM, "-C", "/etc/exim.conf", "-bd")
        self.await_answer()
        return self

    def retry(self):
        self.host.run(PROGRAM, "-C", "/etc/exim.conf", "-qff")

    def stop(self):
        self.host.run("sh", "-c", "kill $(cat /run/exim.pid)", check=False)
