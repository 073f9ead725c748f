"""The programs of tests/tools, run beside a server."""

import os
import shutil
import subprocess

from .server import BUILD


def fill_store(server, user, mailboxes, each, inbox):
    """Makes a store with that many messages (mailboxes "Box1" ..., INBOX), as the mail uid; returns its folder. The user has none
    so far."""
    store = server.mail_root(user) + "/store"
    for folder in (os.path.dirname(os.path.dirname(store)), os.path.dirname(store)):
        os.mkdir(folder)
        os.chown(folder, server.config.mail_uid, server.config.mail_uid)
    program = server.base + "/fill_store"  # the build folder may be closed to the mail uid
    shutil.copy(os.path.join(BUILD, "tests/tools/fill_store"), program)
    os.chmod(program, 0o755)
    uid = server.config.mail_uid
    subprocess.run([program, store, str(mailboxes), str(each), str(inbox)], check=True, user=uid, group=uid, extra_groups=[], cwd="/")
    return store


def hold_reader(index):
    """A process that has a read transaction of this index open until it is killed or its stdin is closed."""
    process = subprocess.Popen([os.path.join(BUILD, "tests/tools/hold_reader"), index], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ok\n"
    return process
