"""Random operations by many processes at once, then everything is held against what they were told: see support/model_work.py.

$LBOX_MODEL_OPS sets the number of operations.
"""
# ctest: timeout=900 processors=2

import collections
import concurrent.futures
import copy
import glob
import multiprocessing
import os
import time

from support.model_check import observe, problems
from support.model_work import FOLDERS, USERS, fresh_state, run
from support.wire import Imap

DRIVER = os.environ.get("LBOX_TEST_DRIVER", "lbox")
OPERATIONS = int(os.environ.get("LBOX_MODEL_OPS", "104000"))
# Of 100 operations; nine processes.
SHARES = [("imap", 15.6)] * 5 + [("lmtp", 3), ("pop3", 8.8), ("pop3", 8.8), ("doveadm", 1.4)]
KINDS = ("deliver", "append", "copy", "move", "store", "expunge", "POP3 delete", "rename", "body fetch")
PHASES = 2


def prepare(server):
    for user in USERS:
        with Imap(port=server.imap_port, user=user, password=server.password(user)) as imap:
            for folder in FOLDERS[1:]:
                imap.ok("CREATE", folder)


def lose_indexes(server):
    """Removes every index file; returns how many there were."""
    files = [path for user in USERS for path in glob.glob(server.mail_root(user) + "/**/dovecot*index*", recursive=True)]
    for path in files:
        os.remove(path)
    return len(files)


def doctored(states):
    """The same logs, each with one lie in it."""
    for what in ("lost", "doubled", "flags", "uid"):
        lying = copy.deepcopy(states)
        token = next(t for t, places in lying[0]["live"].items() if places)
        place = next(iter(lying[0]["live"][token]))
        flags = lying[0]["live"][token][place]
        if what == "lost":
            del lying[0]["live"][token][place]
        elif what == "doubled":
            lying[0]["live"][token][place[0], "INBOX", "?another"] = flags
        elif what == "flags":
            lying[0]["live"][token][place] = flags ^ {"kw0"}
        else:
            key = next(key for key in lying[0]["uids"] if not key[1].startswith("own"))
            lying[1]["uids"][key] = "someone else's"
        yield what, lying


def test_model(server_factory):
    server = server_factory(driver=DRIVER, extra={"2.3": _LIMITS, "2.4": _LIMITS})
    prepare(server)
    ports = {"imap": server.imap_port, "pop3": server.pop3_port, "lmtp": server.lmtp_port}
    states = [fresh_state(number, kind) for number, (kind, _) in enumerate(SHARES)]
    started = time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(len(SHARES), multiprocessing.get_context("fork")) as pool:
        for _ in range(PHASES):
            running = [pool.submit(run, ports, server.config_file, server.password("ann"), state,
                                   int(OPERATIONS * share / 100 / PHASES) + 1)
                       for state, (_, share) in zip(states, SHARES)]
            states = [future.result() for future in running]
            found = observe(server)
            said = problems(found, states)
            assert not said, "%d problems\n%s" % (len(said), "\n".join(said[:30]))
    counts = sum((state["counts"] for state in states), collections.Counter())
    seconds = time.monotonic() - started
    print("%d operations in %.0f s, %.0f a second: %s" % (
        sum(counts.values()), seconds, sum(counts.values()) / seconds, ", ".join("%s %d" % item for item in sorted(counts.items()))))
    assert sum(counts.values()) >= OPERATIONS
    assert min(counts[kind] for kind in KINDS) >= OPERATIONS // 21

    for what, lying in doctored(states):  # the control
        assert problems(found, lying), what

    server.stop()
    if DRIVER == "lbox":
        assert lose_indexes(server) > len(USERS) * 2 * len(FOLDERS)
    server.start()
    said = problems(observe(server), states, earlier=found)
    assert not said, "%d problems after the loss of the index files\n%s" % (len(said), "\n".join(said[:30]))


_LIMITS = """
mail_max_userip_connections = 100
service imap-login {
  process_limit = 64
}
"""
