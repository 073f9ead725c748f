"""The same on a real file system: an ext4 that the kernel shuts down (EXT4_IOC_SHUTDOWN) without a flush of its journal.

$LBOX_POWERCUT_EXT4_ROUNDS sets the number of rounds.
"""
# ctest: timeout=900 processors=2

import os
import random
import time

import pytest

from support.power_rounds import AFTER_CUT, ROUNDS_OF_USER, Rounds
from support.powercut import Ext4Disk

ROUNDS = int(os.environ.get("LBOX_POWERCUT_EXT4_ROUNDS", "10"))
SEED = int(os.environ.get("LBOX_POWERCUT_SEED", "0")) or time.time_ns() % 1_000_000
LAG = 2.0  # seconds; 1 is promised, the other is for a machine that has much to do


def start(**options):
    try:
        return Rounds(Ext4Disk, SEED, **options)
    except OSError as error:
        pytest.skip("no ext4 on a loop device here: %s" % error)


def test_power_cuts():
    r = random.Random(SEED)
    began = time.monotonic()
    with start(lag=LAG) as run:
        # Dovecot's own: a session whose index log can no longer be read.
        run.server.allow_log(r"Panic: file mail-transaction-log-view\.c: .*view->cur_offset >= file->buffer_offset")
        for number in range(ROUNDS):
            if number % ROUNDS_OF_USER == 0:
                run.next_users()
            run.cut(r.uniform(0.1, 1.2), "shutdown")
            said = run.check()
            assert not said, "seed %d, round %d, %d problems\n%s" % (SEED, number, len(said), "\n".join(said[:30]))
            run.server.assert_log_clean(AFTER_CUT)
    print("%d rounds in %.0f s: %s" % (ROUNDS, time.monotonic() - began, dict(run.counts())))


def test_nothing_flushed_is_noticed():
    """The control: with mail_fsync=never acknowledged mail is lost."""
    with start(fsync="never") as run:
        run.next_users()
        os.sync()
        run.cut(0.8, "shutdown")
        said = run.check()
        assert any(text.endswith("is lost") for text in said), said
        run.server.skip_log()
