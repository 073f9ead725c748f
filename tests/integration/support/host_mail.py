"""Mail to and from a host of its own (host.py)."""

import contextlib
import imaplib
import os
import smtplib
import socket

from .server import TIMEOUT

PASSWORD = "secret"


class UnixLmtp(smtplib.LMTP):
    """To a socket at any path, however long."""

    def connect(self, host="localhost", port=0, source_address=None):
        folder = os.open(os.path.dirname(host), os.O_PATH)
        try:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect("/proc/self/fd/%d/%s" % (folder, os.path.basename(host)))
        finally:
            os.close(folder)
        return self.getreply()


def deliver(host, recipient, subject, path="/run/dovecot/lmtp"):
    with UnixLmtp(host.path(path), local_hostname="mta.example") as lmtp:
        lmtp.sendmail("bob@example.org", [recipient], "From: bob@example.org\r\nSubject: %s\r\n\r\nhello\r\n" % subject)


@contextlib.contextmanager
def imap(host, user, address="127.0.0.1"):
    with host.network():
        session = imaplib.IMAP4(address, timeout=TIMEOUT)
    try:
        assert session.login(user, PASSWORD)[0] == "OK"
        yield session
    finally:
        session.logout()


def subjects(session, mailbox="INBOX"):
    assert session.select(mailbox)[0] == "OK"
    found = [session.fetch(number, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1] for number in session.search(None, "ALL")[1][0].split()]
    return [text.decode().strip().removeprefix("Subject: ") for text in found]
