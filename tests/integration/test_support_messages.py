"""The test messages: enough of them, all different, the same everywhere."""

import hashlib
import os
import subprocess
import sys

from support.messages import normal_messages, own_messages


def digest():
    return hashlib.sha256(repr((own_messages(), normal_messages(50, 3))).encode()).hexdigest()


def test_own_messages_are_many_and_different():
    messages = own_messages()
    assert len(messages) >= 220
    assert len({name for name, _ in messages}) == len(messages)
    assert len({data for _, data in messages}) == len(messages)
    assert sum(name.startswith("bad-") for name, _ in messages) >= 100
    assert max(len(data) for _, data in messages) > 3_000_000


def test_messages_are_the_same_in_every_process():
    script = "import sys; sys.path.insert(0, %r); import test_support_messages as t; print(t.digest())"
    for seed in ("1", "2"):
        done = subprocess.run([sys.executable, "-B", "-c", script % os.path.dirname(__file__)], check=True,
                              capture_output=True, text=True, env=dict(os.environ, PYTHONHASHSEED=seed))
        assert done.stdout.strip() == digest()


def test_normal_messages_follow_from_the_seed():
    assert normal_messages(20, 1) == normal_messages(20, 1)
    assert not set(normal_messages(20, 1)) & set(normal_messages(20, 2))
    assert len(set(normal_messages(500))) == 500
