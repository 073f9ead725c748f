"""A private Dovecot for each format."""

from support.disk import INDEX_FILE, allocated, remove_files
from support.server import SERIES, Server
from support.wire import Imap, Lmtp, Pop3
from support.wire_stream import Stream

Stream.quick_acks = True

_ZSTD = {
    "2.3": "plugin {\n  zlib_save = zstd\n}\n",
    "2.4": "mail_compress_write_method = zstd\n",
}
_LIMITS = "mail_max_userip_connections = 1000\n"

# name -> (driver, compressed)
FORMATS = {"maildir": ("maildir", False), "sdbox": ("sdbox", False), "mdbox": ("mdbox", False), "mdbox-zstd": ("mdbox", True),
           "lbox": ("lbox", False)}
PEERS = [name for name in FORMATS if name != "lbox"]


class Format:
    """One format's server, and what operations need of it. wrap: service -> command before its executable."""

    def __init__(self, name, wrap=None):
        self.name = name
        self.driver, compressed = FORMATS[name]
        plugins = (("zlib" if SERIES == "2.3" else "mail_compress"),) if compressed else ()
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
        remove_files(self.home(user), pattern)

    def disk(self, *users):
        """(allocated bytes, files) below the users' homes; hard links once."""
        return allocated(*map(self.home, users))
