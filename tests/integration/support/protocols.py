"""Servers with the auth module "hosting", and logins as they go over the wire.

    site = logins(server_factory, POLICY)
    imap_login(site.server, "ann@example.com") -> Answer(ok=False, text="NO [CONTACTADMIN] ...")
"""

import base64
import os
import socket
import time
from dataclasses import dataclass

from .beside import until
from .hosting import Hosting
from .ports import Port
from .server import HOST, PASSWORD, TIMEOUT

# The module's own passdb stands first, before whatever asks for passwords.
MODULE = {
    "2.3": "passdb {\n  driver = hosting\n  args = @base@/hosting/policy.logins\n}\n",
    "2.4": "passdb hosting {\n  hosting_login_table = @base@/hosting/policy.logins\n}\n",
}
STATIC = {
    "2.3": "passdb {\n  driver = static\n  args = password=%s\n}\n" % PASSWORD,
    "2.4": "passdb static {\n  password = %s\n}\n" % PASSWORD,
}
POLICY = """
[protocols]
pop3_host = "pop.example.com"
upgrade_url = "https://my.example.com/"
[package.full]
[package.pop-s]
imap = "deny"
managesieve = "deny"
submission = "deny"
smtp = "deny"
[account.pop]
package = "pop-s"
domains = ["pop.example"]
[account.pop.user."admin@pop.example"]
imap = "allow"
[account.full]
package = "full"
domains = ["full.example"]
[account.full.user."error_log@full.example"]
imap = "deny"
"""
DENIED = "IMAP is not included in your package pop-s. POP3 works: pop.example.com port 995. Upgrade: https://my.example.com/"


@dataclass
class Answer:
    ok: bool
    text: str  # of the answer, without tag or "-ERR"
    seconds: float  # until it came


def logins(server_factory, policy=POLICY, driver="maildir", passdbs=STATIC, module=None, after="", await_policy=True, **options):
    """A server whose auth asks the policy. auth and hosting-usage, whose table it reads, run as one user."""
    module = MODULE if module is None else module

    def texts(series):
        def of(text):
            return text[series] if isinstance(text, dict) else text
        return of
    both = {series: texts(series)(module) + texts(series)(passdbs) for series in ("2.3", "2.4")}
    site = Hosting(server_factory, driver, policy, passdbs=both,
                   after=after, **options)
    site.login_table = site.state + "/policy.logins"
    # auth may have started before hosting-usage wrote its first table.
    site.server.allow_log(r"hosting: login table \S+: No such file or directory$")
    if await_policy:
        await_table(site)
    return site


def await_table(site):
    until(lambda: os.path.exists(site.login_table), "hosting-usage writes no login table")


class Line:
    """A connection on which lines go to and fro."""

    def __init__(self, port, source=None):
        self.socket = socket.create_connection((HOST, port), timeout=TIMEOUT, source_address=(source, 0) if source else None)
        self.file = self.socket.makefile("rb")
        self.greeting = self.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def read(self):
        return self.file.readline().decode("ascii").rstrip("\r\n")

    def send(self, text):
        self.socket.sendall(text.encode() + b"\r\n")

    def answer(self, tag):
        """The first line that begins with the tag, and those before it."""
        lines = []
        while True:
            line = self.read()
            assert line, "hung up after %s" % lines
            lines.append(line)
            if line.startswith(tag):
                return lines


def imap_login(server, user, password=PASSWORD, port=None, source=None, before=()):
    with Line(port or server.imap_port, source) as line:
        for command in before:
            line.send("x " + command)
            line.answer("x ")
        began = time.monotonic()
        line.send('a LOGIN "%s" "%s"' % (user, password))
        text = line.answer("a ")[-1][2:]
        return Answer(text.startswith("OK"), text, time.monotonic() - began)


def pop3_login(server, user, password=PASSWORD, port=None, source=None):
    with Line(port or server.pop3_port, source) as line:
        line.send("USER " + user)
        line.read()
        began = time.monotonic()
        line.send("PASS " + password)
        text = line.read()
        return Answer(text.startswith("+OK"), text.partition(" ")[2], time.monotonic() - began)


def sasl_plain(user, password=PASSWORD, master=None):
    """An initial response of SASL PLAIN; master: who logs in as the user."""
    text = "%s\0%s\0%s" % (user if master else "", master or user, password)
    return base64.b64encode(text.encode()).decode()


class AuthClient:
    """The client's side of auth's socket, as Postfix and Exim speak it: they know no nologin."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")
        self._id = 0
        self.socket.sendall(b"VERSION\t1\t1\nCPID\t4711\n")
        while self.file.readline() != b"DONE\n":
            pass

    def login(self, user, password=PASSWORD, service="smtp"):
        self._id += 1
        self.socket.sendall(b"AUTH\t%d\tPLAIN\tservice=%s\tnologin\tlip=127.0.0.1\trip=203.0.113.7\tsecured\tresp=%s\n"
                            % (self._id, service.encode(), sasl_plain(user, password).encode()))
        return self.file.readline().decode().rstrip("\n").split("\t")

    def close(self):
        self.file.close()
        self.socket.close()


class Listeners:
    """Ports beside those that every server has."""

    def __init__(self, *names):
        self._ports = {name: Port() for name in names}

    def __getitem__(self, name):
        return self._ports[name].number

    def release(self):
        for port in self._ports.values():
            port.release()
