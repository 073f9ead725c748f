# ctest: timeout=300
"""packaging/demo ends well, and does not when mail comes back changed."""

import os
import subprocess

from support.server import BUILD, REPO

DEMO = os.path.join(REPO, "packaging", "demo.py")


def demo(*arguments):
    return subprocess.run(["/usr/bin/python3", "-B", *arguments], capture_output=True, text=True, check=False, timeout=280,
                          env={**os.environ, "LBOX_BUILD": BUILD})


def test_all_steps():
    done = demo(DEMO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("All messages came back as they were sent.\n")
    for word in ("delivering", "by POP3", "migrating", "deleting every dovecot.index*", "deleting every other"):
        assert word in done.stdout, done.stdout


def test_a_changed_message_is_noticed():
    """The control: one message is expected to be another than was delivered."""
    lie = ("import sys; sys.path.insert(0, %r); sys.argv = ['demo']; import demo; delivered = demo.Mailboxes.deliver\n"
           "def deliver(self):\n"
           "    seconds = delivered(self)\n"
           "    name, data = self.messages['carol'][-1]\n"
           "    self.messages['carol'][-1] = name, data[:-3] + b'?' + data[-2:]\n"
           "    return seconds\n"
           "demo.Mailboxes.deliver = deliver\n"
           "demo.main()" % os.path.dirname(DEMO))
    done = demo("-c", lie)
    assert done.returncode != 0 and "read by IMAP differs from what was sent" in done.stdout + done.stderr
