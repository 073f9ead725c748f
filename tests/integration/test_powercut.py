"""Power cuts of a whole server: on a disk that drops what was not flushed, with IMAP, LMTP and POP3 clients at work, and everything
compared with what was acknowledged, round after round.

$LBOX_POWERCUT_ROUNDS sets the number of rounds, $LBOX_POWERCUT_SEED what is random in them.
"""
# ctest: timeout=900 processors=2

import os
import random
import time

import pytest

from support.power_rounds import AFTER_CUT, ROUNDS_OF_USER, Rounds
from support.powercut import PowercutDisk

ROUNDS = int(os.environ.get("LBOX_POWERCUT_ROUNDS", "40"))
SEED = int(os.environ.get("LBOX_POWERCUT_SEED", "0")) or time.time_ns() % 1_000_000
LAG = {"optimized": 2.0, "always": 0.0}  # seconds; 1 is promised, the other is for a machine that has much to do


@pytest.mark.parametrize("fsync", ("optimized", "always"))
def test_power_cuts(fsync):
    r = random.Random("%s %s" % (fsync, SEED))
    rounds = ROUNDS // 2
    began = time.monotonic()
    with Rounds(PowercutDisk, SEED, LAG[fsync], fsync=fsync) as run:
        for number in range(rounds):
            if number % ROUNDS_OF_USER == 0:
                run.next_users()
            kind = run.disk.kinds[number % len(run.disk.kinds)]
            seconds = 3.5 if number % 16 == 9 else r.uniform(0.1, 0.8)
            run.cut(seconds, kind)
            said = run.check()
            assert not said, "seed %d, round %d (%s), %d problems\n%s" % (SEED, number, kind, len(said), "\n".join(said[:30]))
            run.server.assert_log_clean(AFTER_CUT)
    print("%d rounds in %.0f s, mail_fsync=%s: %s" % (rounds, time.monotonic() - began, fsync, dict(run.counts())))


def test_a_lying_disk_is_noticed():
    """The control: the same with a disk that acknowledges flushes and does not do them."""
    with Rounds(PowercutDisk, SEED, fsync="always") as run:
        run.next_users()
        run.cut(0.3, "dropped")
        assert not run.check()
        run.disk.lie()
        run.cut(0.8, "dropped")
        said = run.check()
        assert any(text.endswith("is lost") for text in said), said
        run.server.skip_log()
