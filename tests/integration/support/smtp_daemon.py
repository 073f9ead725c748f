"""What a private Postfix and a private Exim have in common: a process in a session of its own that speaks SMTP on a port of its own."""

import os
import signal
import smtplib
import subprocess
import time

from .ports import Port
from .server import HOST, TIMEOUT


class SmtpDaemon:
    """A subclass says how it is started (command), where it writes (logs: paths), and what else ends it (abort)."""

    name = command = logs = None

    def __init__(self, base):
        self._port = Port()
        self.port = self._port.number
        self.base = base
        self._process = None

    def abort(self):
        """What of it does not end with its process."""

    def __enter__(self):
        with open(self.base + "/stderr", "ab") as stderr:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True)
        try:
            self._await_greeting()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """Ends the process, and then whatever of its session is left."""
        try:
            self._process.terminate()
            try:
                self._process.wait(TIMEOUT / 4)
            except subprocess.TimeoutExpired:
                pass
        finally:
            self.abort()
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
                raise RuntimeError("%s did not start\n%s" % (self.name, self.log_text()))
            time.sleep(0.05)

    def smtp(self):
        """An smtplib connection to hand in mail."""
        return smtplib.SMTP(HOST, self.port, timeout=TIMEOUT)

    def log_text(self):
        text = ""
        for path in self.logs:
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    text += file.read()
            except FileNotFoundError:
                pass
        return text
