"""The two drivers that differential tests compare, the first being the one under test.

LBOX_DIFF_PAIR="maildir/sdbox" compares two others; their differences tell what is Dovecot's own variation.
"""

import glob
import os
import time

SUBJECT, PEER = os.environ.get("LBOX_DIFF_PAIR", "lbox/maildir").split("/")

# Drivers whose index files are the truth and not a cache: deleting them is not tried.
SUBJECT_INDEX_IS_CACHE = SUBJECT not in ("sdbox", "mdbox")


# What Dovecot says when it makes the list of mailboxes anew.
REBUILT_LIST = r"Warning: .*Mailbox list rescan found \d+ lost mailboxes"


def start_pair(factory, **options):
    """[server of SUBJECT, server of PEER], alike but for the driver."""
    pair = [factory(driver=driver, lbox="lbox" in (SUBJECT, PEER), **options) for driver in (SUBJECT, PEER)]
    pair[0].allow_log(REBUILT_LIST)
    return pair


def delete_index(side):
    """Deletes every index file of the user, once no process has the mailbox open any more."""
    deadline = time.monotonic() + 60
    while side.server.pids("imap", "pop3", "doveadm"):
        assert time.monotonic() < deadline, "mail processes do not end"
        time.sleep(0.02)
    files = [path for pattern in ("dovecot.index*", "dovecot.list.index*")
             for path in glob.glob("%s/**/%s" % (side.server.user_home(side.user), pattern), recursive=True)]
    assert files, "no index files found to delete"
    for path in files:
        os.unlink(path)
