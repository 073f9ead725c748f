"""A host of its own for the system's Dovecot: its /etc, /run, /home, /srv, spool folders, network and processes; programs and libraries
are this machine's, or those of another Debian's root. So configurations are tried as they will be used, paths, users and ports included.

    with Host() as host:
        host.write("/etc/dovecot/dovecot.conf", text)
        host.start()
        with host.network():
            imaplib.IMAP4("127.0.0.1").login("ann@example.com", "pass")

Dovecot runs as under Debian's unit: what dovecot.service protects is protected (SANDBOX), logging goes to syslog. Nothing
of a host outlives the process that made it.
"""

import atexit
import contextlib
import ctypes
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from .server import BAD_LINE, BUILD, MODULES, STOP_LINE, TIMEOUT, Result

LIBRARIES = "/usr/lib/dovecot"
DEFAULTS = "/usr/share/dovecot"  # what Debian's dovecot-core copies to /etc/dovecot
# Of Debian's dovecot.service; what the two units have besides does not concern files.
SANDBOX = {"PrivateTmp": "true", "ProtectSystem": "full", "ProtectHome": "no", "PrivateDevices": "true"}
READ_ONLY = ["/usr", "/boot", "/efi", "/etc"]  # ProtectSystem=full: systemd.exec(5)
OWN = ("etc", "usr/share/dovecot", "run", "home", "srv", "var/lib/dovecot", "var/spool/postfix", "var/mail", "tmp")  # /tmp last: the others may lie there
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Host:
    def __init__(self, overlay=None, addresses=(), network_of=None, build=True, libraries=None):
        """overlay: the root of another Debian, which stays as it is: what is written goes elsewhere. addresses: beside 127.0.0.1. network_of: the host
        whose network this one shares. build: with what was built, as if installed. libraries: a folder in place of /usr/lib/dovecot."""
        self.base = tempfile.mkdtemp(prefix="lbox-host-", dir=os.environ.get("LBOX_TMP", "/tmp"))
        os.chmod(self.base, 0o755)
        self.root = ""
        self._overlay = None
        if overlay:
            self._overlay = {"lower": overlay, "upper": self.base + "/upper", "work": self.base + "/work"}
            self.root = self.base + "/root"
            for folder in (self._overlay["upper"], self._overlay["work"], self.root):
                os.mkdir(folder, 0o755)
        self._addresses = None if network_of else list(addresses)
        self._network_of = network_of
        self._init = self._pid = self._dovecot = None
        self.keep = bool(os.environ.get("LBOX_KEEP"))
        if not self.root:
            self._own_folders()
            self.libraries = libraries or (installed_libraries() if build else None)

    def _own_folders(self):
        for name in OWN:
            os.makedirs(self.path(name))
        for name in ("tmp", "var/mail"):
            os.chmod(self.path(name), 0o1777)
        shutil.rmtree(self.path("etc"))
        subprocess.run(["cp", "-a", "/etc", self.path("etc")], check=True)
        shutil.rmtree(self.path("etc/dovecot"))
        os.makedirs(self.path("etc/dovecot/private"), mode=0o755)
        os.makedirs(self.path("run/dovecot"))
        subprocess.run(["cp", "-a", DEFAULTS + "/.", self.path(DEFAULTS)], check=True)

    # Files --------------------------------------------------------------------------------------

    def path(self, name):
        """Where a file of the host lies on this machine; with a root of its own, once it has been booted."""
        return os.path.join("/proc/%d/root" % self._pid if self.root else self.base, name.lstrip("/"))

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def debian_defaults(self):
        """/etc/dovecot as the packages leave it."""
        subprocess.run(["cp", "-a", *(os.path.join(DEFAULTS, name) for name in os.listdir(DEFAULTS) if ".conf" in name or name == "conf.d"),
                        self.path("etc/dovecot")], check=True)

    def certificate(self):
        """What Debian's configuration names: a key and a certificate of its own."""
        folder = self.path("etc/dovecot/private/")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=mail",
                        "-days", "2", "-keyout", folder + "dovecot.key", "-out", folder + "dovecot.pem"], check=True, capture_output=True)

    def add_user(self, name, uid, home, password=None):
        """A system user with a group of its name."""
        crypted = "*"
        if password is not None:
            crypted = subprocess.run(["openssl", "passwd", "-6", "-salt", "lbox", password], check=True, capture_output=True, text=True).stdout.strip()
        for file, line in (("passwd", "%s:x:%d:%d::%s:/bin/sh\n" % (name, uid, uid, home)), ("group", "%s:x:%d:\n" % (name, uid)),
                           ("shadow", "%s:%s:19000:0:99999:7:::\n" % (name, crypted))):
            with open(self.path("etc/" + file), "r+", encoding="utf-8") as stream:
                if not re.search(r"^%s:" % name, stream.read(), re.MULTILINE):
                    stream.write(line)

    # Life ---------------------------------------------------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.keep = self.keep or kind is not None
        self.close()

    def boot(self):
        """The host without Dovecot."""
        self._listen_to_syslog()
        covers = {}
        if not self.root:
            covers = {"/" + name: self.path(name) for name in OWN}
            if self.libraries:
                covers = {LIBRARIES: self.libraries, **covers}
        job = {"root": self.root, "overlay": self._overlay, "addresses": self._addresses, "dev": self.base + "/dev",
               "log": self.base + "/syslog", "covers": covers, "read_only": [] if self.root else READ_ONLY}
        with open(self.base + "/job.json", "w", encoding="utf-8") as file:
            json.dump(job, file)
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        if self._network_of:
            command = ["nsenter", "--target", str(self._network_of._pid), "--net", *command]
        else:
            command.append("--net")
        self._init = subprocess.Popen([*command, sys.executable, "-B", os.path.join(os.path.dirname(__file__), "host_init.py"), self.base + "/job.json"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._init.stdout.readline() == "ready\n", "the host does not start"
        with open("/proc/%d/task/%d/children" % (self._init.pid, self._init.pid), encoding="ascii") as file:
            self._pid = int(file.read().split()[0])
        return self

    def start(self):
        """Dovecot; the host too, unless it runs already."""
        if self._init is None:
            self.boot()
        since = len(self.log_text())
        with open(self.base + "/log", "ab") as log:
            self._dovecot = subprocess.Popen(self._inside("/usr/sbin/dovecot", "-F"), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.await_log(r"starting up for ", since=since)
        return self

    def stop(self):
        """Dovecot alone."""
        if self._dovecot is None:
            return
        self.run("sh", "-c", "kill $(cat /run/dovecot/master.pid)", check=False)
        try:
            self._dovecot.wait(TIMEOUT / 2)
        finally:
            self._dovecot = None

    def close(self):
        """Ends all that runs there."""
        if self._init is not None:
            self._init.stdin.close()
            try:
                self._init.wait(TIMEOUT / 4)
            except subprocess.TimeoutExpired:
                self._init.send_signal(signal.SIGKILL)
                self._init.wait()
            self._init.stdout.close()
            if self._dovecot is not None:
                self._dovecot.wait(TIMEOUT / 4)
            self._syslog.shutdown(socket.SHUT_RDWR)
            self._syslog_thread.join()
            self._syslog.close()
        if not self.keep:
            shutil.rmtree(self.base, ignore_errors=True)

    # What runs there ----------------------------------------------------------------------------

    def _inside(self, *command):
        return ["nsenter", "--target", str(self._pid), "--mount", "--net", "--pid", "--root", "--wdns=/", "--", *command]

    def run(self, *command, input=None, check=True):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # no pipes, which daemons would hold open
            done = subprocess.run(self._inside(*command), input=input, stdin=subprocess.DEVNULL if input is None else None, stdout=out, stderr=err,
                                  timeout=TIMEOUT * 2, check=False)
            texts = [(file.seek(0), file.read())[1] for file in (out, err)]
        result = Result(done.returncode, texts[0], texts[1].decode("utf-8", "replace"))
        if check and done.returncode != 0:
            raise AssertionError("%s: exit status %d\n%s%s" % (" ".join(command), result.code, result.text, result.err))
        return result

    @contextlib.contextmanager
    def network(self):
        """Sockets that this thread makes meanwhile are the host's."""
        with open("/proc/thread-self/ns/net", "rb") as own, open("/proc/%d/ns/net" % self._pid, "rb") as other:
            _enter(other)
            try:
                yield
            finally:
                _enter(own)

    # Log ----------------------------------------------------------------------------------------

    def _listen_to_syslog(self):
        open(self.base + "/log", "ab").close()
        self._syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._syslog.bind(self.base + "/syslog")
        os.chmod(self.base + "/syslog", 0o666)

        def collect():
            with open(self.base + "/log", "ab") as file:
                while True:
                    line = self._syslog.recv(65536)
                    if not line:
                        return
                    file.write(line.rstrip(b"\0\n") + b"\n")
                    file.flush()
        self._syslog_thread = threading.Thread(target=collect, daemon=True)
        self._syslog_thread.start()

    def log_text(self):
        with open(self.base + "/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def await_log(self, pattern, since=0):
        """Waits until what is logged from there on matches; returns the match."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            match = re.search(pattern, self.log_text()[since:])
            if match:
                return match
            ended = self._dovecot is not None and self._dovecot.poll() is not None
            assert not ended and time.monotonic() < deadline, "not logged: %s\n%s" % (pattern, self.log_text()[since:])
            time.sleep(0.02)

    def complaints(self, since=0):
        """Lines that are errors or warnings."""
        return [line for line in self.log_text()[since:].splitlines() if BAD_LINE.search(line) and not STOP_LINE.search(line)]


@functools.cache
def installed_libraries():
    """A copy of Dovecot's folder of libraries, programs and modules with what was built, for all hosts of this process."""
    folder = tempfile.mkdtemp(prefix="lbox-installed-", dir=os.environ.get("LBOX_TMP", "/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.chmod(folder, 0o755)
    subprocess.run(["cp", "-a", LIBRARIES + "/.", folder], check=True)
    for source, target in ((MODULES, folder + "/modules"), (BUILD + "/libexec", folder)):
        for where, _, names in os.walk(source):
            for name in names:
                if not os.path.islink(os.path.join(where, name)):
                    shutil.copy(os.path.join(where, name), os.path.join(target, os.path.relpath(where, source), name))
    return folder


def _enter(namespace):
    if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")

