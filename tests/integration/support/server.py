"""A private Dovecot for one test: its own folder, configuration, ports and log.

    with Server(driver="lbox", modules=MODULES) as server:
        server.deliver("alice", b"Subject: hi\r\n\r\nhello\r\n")
        imap = server.imap("alice")

The master runs as root, mail processes as an unprivileged numeric uid under the default vsz_limit.
A server never outlives the process that started it. Its folder is removed by stop(), unless the
test failed (see conftest.py) or $LBOX_KEEP is set: then the log, the mail and any core files stay.
"""

import atexit
import contextlib
import dataclasses
import imaplib
import os
import poplib
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time

from . import processes
from .config import DEFAULT_PATHS, PASSWORD, Config, by_series, render
from .ports import Port

HOST = "127.0.0.1"
DOVECOT_DIR = "/usr/lib/dovecot"
REPO = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.environ.get("LBOX_BUILD", os.path.join(REPO, "build"))
MODULES = os.path.join(BUILD, "modules") if os.path.isdir(os.path.join(BUILD, "modules")) else None
TIMEOUT = float(os.environ.get("LBOX_TIMEOUT", "60"))  # seconds, for one answer of a server

BAD_LINE = re.compile(r"\b(Error|Warning|Fatal|Panic): ")
STOP_LINE = re.compile(r": Warning: Killed with signal 15 ")
# What a process may say of another one that ended before it, once the server is being stopped.
ENDING_LINES = [re.compile(pattern) for pattern in (
    r"stats-writer .*Timeout waiting for handshake response",
    r"hosting-usage is away: .* closed the connection",
    r"hosting-recount.*: Error: Counting mail failed: hosting-usage does not answer",
    r"hosting-recount.*: Error: auth-master: userdb lookup\(.*\): Disconnected unexpectedly",
    r"hosting-recount.*: Error: User .*: Internal error occurred\.",
)]
MAIL_SERVICES = ("imap", "pop3", "lmtp", "dovecot-lda", "doveadm-server", "indexer-worker",
                 "imap-hibernate")

# Commands of more than one word, where "-u user" goes after the last word.
COMMAND_WORDS = {
    "mailbox": {"cache": {}, "cryptokey": {}, "metadata": {}},
    **{word: {} for word in ("acl", "dict", "fs", "fts", "lbox", "quota", "sieve", "stats")},
}

poplib._MAXLINE = 1 << 26  # messages of any line length are to be read back
imaplib._MAXLINE = 1 << 26


def dovecot_series():
    version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True)
    return re.match(r"(\d+\.\d+)\.", version.stdout).group(1)


SERIES = dovecot_series()


def lbox_is_built():
    return MODULES is not None and any(
        re.fullmatch(r"lib\d\d_lbox_plugin\.so", name) for name in os.listdir(MODULES))


@dataclasses.dataclass
class Result:
    """What a command answered."""

    code: int
    out: bytes
    err: str

    @property
    def text(self):
        return self.out.decode("utf-8", "surrogateescape")


class Server:
    live = []

    def __init__(self, driver="lbox", modules=MODULES, in_place=False, **options):
        """Options are Config's fields. in_place: packaging/with-modules puts the build in Dovecot's
        compiled-in module folder instead of naming it as mail_plugin_dir."""
        self.series = SERIES
        self.prefix_command = []
        if in_place:
            self.prefix_command = [os.path.join(REPO, "packaging", "with-modules"), "-B", BUILD]
            modules = None
        self.config = Config(driver=driver, modules=modules, **options)
        self.base = tempfile.mkdtemp(prefix="lbox-", dir=os.environ.get("LBOX_TMP", "/tmp"))
        os.chmod(self.base, 0o755)
        os.mkdir(self.base + "/home")
        os.chown(self.base + "/home", self.config.mail_uid, self.config.mail_uid)
        self.config_file = self.base + "/dovecot.conf"
        self._ports = {name: Port() for name in ("imap", "pop3", "lmtp")}
        self.imap_port, self.pop3_port, self.lmtp_port = (
            self._ports[name].number for name in ("imap", "pop3", "lmtp"))
        self.lmtp_socket = self.base + "/run/lmtp"
        self.keep = bool(os.environ.get("LBOX_KEEP"))
        self._allowed = [STOP_LINE]
        self._checked = {}  # log file -> bytes already checked
        self._endings = []  # {log file: (first byte, last byte)} of each time that it was stopped
        self._master = None
        self._guard = None
        self.write_config()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.keep = self.keep or kind is not None
        self.close()

    # Life ---------------------------------------------------------------------------------------

    def write_config(self):
        """Writes dovecot.conf from self.config; a running server wants reload() or restart()."""
        ports = {name: port.number for name, port in self._ports.items()}
        with open(self.config_file, "w", encoding="utf-8") as file:
            file.write(render(self.config, self.series, self.base, ports, DOVECOT_DIR))
        if self.config.users is not None:
            with open(self.base + "/passwd", "w", encoding="utf-8") as file:
                for user, password in self.config.users.items():
                    file.write("%s:{PLAIN}%s::::::\n" % (user, password))
            os.chmod(self.base + "/passwd", 0o644)
        if self.config.userdb is not None:
            with open(self.base + "/userdb", "w", encoding="utf-8") as file:
                for user, fields in self.config.userdb.items():
                    file.write("%s::%d:%d::%s::%s\n" % (
                        user, self.config.mail_uid, self.config.mail_uid, self.user_home(user),
                        " ".join("userdb_%s=%s" % item for item in fields.items())))
            os.chmod(self.base + "/userdb", 0o644)

    def start(self):
        """Starts Dovecot and returns once every protocol answers."""
        assert self._master is None, "already started"
        before = self.log_size()
        with open(self.base + "/stderr", "ab") as stderr:
            self._master = subprocess.Popen(
                ["sh", "-c", 'ulimit -c unlimited; ulimit -n $(ulimit -H -n); exec "$@"', "sh",
                 *self.prefix_command, "dovecot", "-F", "-c", self.config_file],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, cwd=self.base,
                start_new_session=True)
        self._guard = processes.guard(self._master.pid)
        Server.live.append(self)
        try:
            for port in (self.imap_port, self.pop3_port, self.lmtp_port):
                self._await_greeting(port)
            self._await_stats()
            # From here on the log process runs, and nothing that is logged gets lost.
            self.await_log(r"starting up for ", since=before)
        except BaseException:
            self.keep = True
            self.stop()
            raise
        return self

    def _await_greeting(self, port):
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                with socket.create_connection((HOST, port), timeout=TIMEOUT) as connection:
                    if connection.recv(4096):
                        return
            except ConnectionError:
                pass
            if self._master.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Dovecot did not start, see %s\n%s" % (
                    self.base, self.log_tail()))
            time.sleep(0.02)

    def _await_stats(self):
        """Until the stats process answers who connects. Others wait for it, up to 5 s, when they begin and when they end; their events are
        lost when it does not come."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(self.base + "/run/stats-writer")
            assert connection.recv(100).startswith(b"VERSION\tstats-server\t"), self.log_tail()

    def stop(self):
        """Ends every process of this server; what does not go by SIGTERM is killed."""
        if self._master is None:
            return
        before = {file: os.path.getsize(file) for file in self.log_files() if os.path.exists(file)}
        self._end_processes()
        self._endings.append({file: (before.get(file, 0), os.path.getsize(file)) for file in self.log_files() if os.path.exists(file)})

    def _end_processes(self):
        if self._master.poll() is None:
            # Mail processes first, while the master still logs how each of them ended: one that
            # crashes only now may otherwise go unnoticed.
            mail = [pid for pid in self.pids(*MAIL_SERVICES) if processes.catches_sigterm(pid)]
            processes.kill(mail, signal.SIGTERM)
            processes.await_gone(self._master.pid, mail, TIMEOUT / 4)
            self._master.terminate()
            # Once all others have gone, the master only sleeps a second for good measure.
            if processes.await_only(self._master.pid, ("dovecot", "log"), TIMEOUT / 4):
                self._master.kill()
        if not processes.await_session_end(self._master, TIMEOUT / 2):
            processes.kill_session(self._master.pid)
            processes.await_session_end(self._master, TIMEOUT / 2)
        self._guard.dismiss()
        self._master = self._guard = None
        Server.live.remove(self)

    def kill(self):
        """Sends SIGKILL to every process, the master included; crash() sees them end."""
        processes.kill_session(self._master.pid)

    def crash(self):
        """Kills every process of this server at once, as a power cut would; start() may follow. What they logged in their last
        moments is not counted, but for crashes: see skip_log()."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            processes.kill_session(self._master.pid)
            if processes.await_session_end(self._master, 0.1):
                break
            assert time.monotonic() < deadline, "processes that SIGKILL does not end"
        self._guard.dismiss()
        self._master = self._guard = None
        Server.live.remove(self)
        self.skip_log()

    def close(self):
        """Stops, gives the ports back and removes the folder unless it is to be kept."""
        self.stop()
        for port in self._ports.values():
            port.release()
        if not self.keep:
            shutil.rmtree(self.base, ignore_errors=True)

    def detach(self):
        """Leaves the server running when this process ends, its folder kept."""
        self._guard.dismiss()
        self._master = self._guard = None
        self.keep = True
        Server.live.remove(self)

    def restart(self):
        self.stop()
        self.start()

    def reload(self):
        """Writes the configuration again and has the master take it."""
        self.write_config()
        self.run("doveadm", "-c", self.config_file, "reload")

    def pids(self, *names):
        """Processes of this server by name ("imap", ...), all without a name."""
        known = {name[:15] for name in names}  # all that the kernel keeps of a name
        return [pid for pid, name in processes.session(self._master.pid) if not names or name in known]

    def await_no_sessions(self):
        """Waits until the processes of ended IMAP and POP3 sessions have gone; what they had to
        write at the end is then written."""
        deadline = time.monotonic() + TIMEOUT
        while self.pids("imap", "pop3"):
            assert time.monotonic() < deadline, "sessions are still open"
            time.sleep(0.02)

    def open_below(self, folder):
        """Files below the folder that processes of this server have open. (In a mount namespace of their own their paths may begin elsewhere.)"""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for name in os.listdir("/proc/%d/fd" % pid):
                    with contextlib.suppress(OSError):
                        found.append(os.readlink("/proc/%d/fd/%s" % (pid, name)))
        return [path for path in found if folder + "/" in path]

    def await_closed(self, folder):
        """Waits until nothing below the folder is open; lmtp keeps a store open for a moment."""
        deadline = time.monotonic() + TIMEOUT
        while self.open_below(folder):
            assert time.monotonic() < deadline, "files below %s are still open" % folder
            time.sleep(0.02)

    def kill_mail_processes(self, sig=signal.SIGKILL):
        """Signals every process that has mail open; returns how many there were. Dovecot logs each
        killed process: see allow_log()."""
        pids = self.pids(*MAIL_SERVICES)
        processes.kill(pids, sig)
        return len(pids)

    # Commands -----------------------------------------------------------------------------------

    def run(self, *command, input=None, check=True, timeout=None, uid=None):
        """Runs a command beside the server, where its modules are in place. What it says on stderr
        counts as part of the server's log."""
        ids = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        done = subprocess.run(
            [*self._beside(), *command], input=input, capture_output=True, cwd=self.base,
            timeout=timeout or TIMEOUT * 5, **ids)
        error = done.stderr.decode("utf-8", "replace")
        with open(self.base + "/commands.log", "a", encoding="utf-8") as log:
            log.write(error)
        if check and done.returncode != 0:
            raise AssertionError("%s: exit status %d\n%s" % (
                " ".join(command), done.returncode, error))
        return Result(done.returncode, done.stdout, error)

    def _beside(self):
        """What puts a command where the server's modules are: its own mounts, when it has some."""
        if self.prefix_command and self._master is not None:
            return ["nsenter", "--target", str(self._master.pid), "--mount", "--root", "--wd"]
        return self.prefix_command

    def doveadm(self, *args, user=None, **options):
        """doveadm, with "-u user" put where the command expects it. Options are those of run().
        doveadm's own modules load from the compiled-in folder alone: they need in_place."""
        args = list(args)
        if user is not None:
            at = 0
            while args[at].startswith("-"):  # options of doveadm itself
                at += 2 if args[at] in ("-f", "-o") else 1
            known = COMMAND_WORDS.get(args[at])
            at += 1
            while known is not None and at < len(args):
                known = known.get(args[at])
                at += 1
            args[at:at] = ["-u", user]
        return self.run("doveadm", "-c", self.config_file, *args, **options)

    def lda(self, user, message, *args, **options):
        """Delivers through dovecot-lda."""
        return self.run(DOVECOT_DIR + "/dovecot-lda", "-c", self.config_file, "-d", user, *args,
                        input=message, **options)

    # Connections --------------------------------------------------------------------------------

    def password(self, user):
        return PASSWORD if self.config.users is None else self.config.users[user]

    def imap(self, user=None, password=None):
        """An imaplib connection, logged in when a user is given."""
        connection = imaplib.IMAP4(HOST, self.imap_port, timeout=TIMEOUT)
        if user is not None:
            connection.login(user, password or self.password(user))
        return connection

    def pop3(self, user=None, password=None):
        """A poplib connection, logged in when a user is given."""
        connection = poplib.POP3(HOST, self.pop3_port, timeout=TIMEOUT)
        if user is not None:
            connection.user(user)
            connection.pass_(password or self.password(user))
        return connection

    def lmtp(self):
        """An smtplib.LMTP connection. Its sendmail() misreads replies for several recipients."""
        connection = smtplib.LMTP(HOST, self.lmtp_port)
        connection.sock.settimeout(TIMEOUT)
        return connection

    def deliver(self, recipient, message, sender="sender@example.com"):
        """Delivers one message to one recipient by LMTP."""
        with self.lmtp() as connection:
            connection.sendmail(sender, [recipient], message)

    # Files and logs -----------------------------------------------------------------------------

    def user_home(self, user):
        return (self.config.home or self.base + "/home/%u").replace("%u", user)

    def mail_root(self, user):
        """The folder that holds the user's mail."""
        path = self.config.mail_path or DEFAULT_PATHS[self.config.driver]
        return path.replace("~", self.user_home(user)).replace("%u", user)

    def log_files(self):
        return [self.base + "/" + name for name in ("dovecot.log", "stderr", "commands.log")]

    def log_text(self):
        """Everything logged so far: by the server, and by the commands run beside it."""
        return "".join(_read_from(file, 0).decode("utf-8", "replace") for file in self.log_files())

    def log_tail(self, lines=80):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def allow_log(self, *patterns):
        """Complaints in the log that this test provokes on purpose (regular expressions)."""
        self._allowed += [re.compile(pattern) for pattern in patterns]

    def assert_log_clean(self, allow=()):
        """Fails when anything was complained about since the last check."""
        allowed = self._allowed + [re.compile(pattern) for pattern in allow]
        bad = []
        for file in self.log_files():
            at = self._checked.get(file, 0)
            for raw in _read_from(file, at).splitlines(keepends=True):
                line = raw.decode("utf-8", "replace").rstrip("\n")
                here = allowed + (ENDING_LINES if self._is_ending(file, at) else [])
                at += len(raw)
                if BAD_LINE.search(line) and not any(p.search(line) for p in here):
                    bad.append(line)
            self._checked[file] = at
        assert not bad, "Dovecot complained:\n" + "\n".join(bad)

    def _is_ending(self, file, at):
        """Whether what is there in a log was logged while the server was being stopped."""
        return any(file in ending and ending[file][0] <= at < ending[file][1] for ending in self._endings)

    def skip_log(self):
        """Complaints logged so far are not counted; crashes are, but for those by SIGBUS: a map of a disk that has failed."""
        self.assert_log_clean(allow=(r"^(?!.*(Panic: |killed with signal (?![79]\b)))",))

    def log_size(self):
        """How much the server has logged, in bytes: a place in its log for await_log()."""
        return len(_read_from(self.log_files()[0], 0))

    def await_log(self, pattern, timeout=TIMEOUT, since=0):
        """Waits until the server's log matches from the place `since` on; returns the match."""
        deadline = time.monotonic() + timeout
        while True:
            text = _read_from(self.log_files()[0], since).decode("utf-8", "replace")
            match = re.search(pattern, text)
            if match:
                return match
            assert time.monotonic() < deadline, "not logged within %g s: %s\n%s" % (
                timeout, pattern, self.log_tail())
            time.sleep(0.05)

    def text(self, by):
        """The variant of a text for the series at hand."""
        return by_series(by, self.series)


def _read_from(file, offset):
    try:
        with open(file, "rb") as stream:
            stream.seek(offset)
            return stream.read()
    except FileNotFoundError:
        return b""


@atexit.register
def _stop_all():
    for server in list(Server.live):
        server.stop()
