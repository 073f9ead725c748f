"""A private Dovecot for each format."""

import os
import re

from support.server import SERIES, Server
from support.wire import Imap, Lmtp, Pop3

_ZSTD = {
    "2.3": "plugin {\n  zlib_save = zstd\n}\n",
    "2.4": "mail_compress_write_method = zstd\n",
}
_LIMITS = "mail_max_userip_connections = 1000\n"
INDEX_FILE = re.compile(r"^dovecot(\.list)?\.index(?!\.pvt)")

# name -> (driver, compressed)
FORMATS = {"maildir": ("maildir", False), "sdbox": ("sdbox", False), "mdbox": ("mdbox", False), "mdbox-zstd": ("mdbox", True),
           "lbox": ("lbox", False)}
PEERS = [name for name in FORMATS if name != "lbox"]


class Format:
    """One format's server, and what operations need of it. wrap: service -> command before its executable."""

    def __init__(self, name, wrap=None, keep_zstd=True):
        self.name = name
        self.driver, compressed = FORMATS[name]
        plugins = (("zlib" if SERIES == "2.3" else "mail_compress"),) if compressed and keep_zstd else ()
        extra = {series: _LIMITS + (_ZSTD[series] if plugins else "") for series in _ZSTD}
        self.server = Server(driver=self.driver, plugins=plugins, extra=extra, wrap=wrap or {})
        self.start, self.stop = self.server.start, self.server.close

    def imap(self, user):
        return Imap(port=self.server.imap_port, user=user, password=self.server.password(user))

    def pop3(self, user):
        return Pop3(port=self.server.pop3_port, user=user, password=self.server.password(user))

    def lmtp(self):
        return Lmtp(port=self.server.lmtp_port)

    def doveadm(self, *args, user):
        return self.server.doveadm(*args, user=user)

    def home(self, user):
        return self.server.user_home(user)

    def quiet(self):
        """Returns once no session is open, so that no process works on a mailbox any more."""
        self.server.await_no_sessions()

    def remove_index_files(self, user, pattern=INDEX_FILE):
        """Those that match, in every folder of the user."""
        self.quiet()
        for where, _, files in os.walk(self.home(user)):
            for file in filter(pattern.match, files):
                os.unlink(os.path.join(where, file))

    def disk(self, user):
        """(allocated bytes, files) below the user's home; hard links once."""
        seen = {}
        for where, _, files in os.walk(self.home(user)):
            for file in files:
                try:
                    status = os.lstat(os.path.join(where, file))
                except FileNotFoundError:
                    continue  # a temporary file of a process at work
                seen[status.st_dev, status.st_ino] = status.st_blocks * 512
        return sum(seen.values()), len(seen)
