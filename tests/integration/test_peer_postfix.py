"""Postfix delivers to lbox by LMTP."""
# ctest: timeout=300

import collections
import os
import re

import pytest

from support.peers import Postfix, number_of, numbered_messages
from support.wire import Imap, string

DRIVER = os.environ.get("LBOX_TEST_DRIVER", "lbox")
USERS = ["%s@%s" % (name, Postfix.DOMAIN) for name in ("alice", "bob", "carol")]


@pytest.fixture
def postfix(server_factory):
    server = server_factory(driver=DRIVER)
    with Postfix(server) as postfix:
        postfix.server = server
        yield postfix


def read(server, user):
    """{number: [message, ...]} of INBOX"""
    found = collections.defaultdict(list)
    with Imap(port=server.imap_port, user=user, password=server.password(user)) as imap:
        state = imap.select("INBOX")
        for items in (imap.fetch("1:*", "BODY.PEEK[]") if state[b"EXISTS"] else {}).values():
            message = string(items[b"BODY[]"])
            found[number_of(message)].append(message)
    return dict(found)


def test_burst_for_three_users(postfix):
    """200 messages, every third to all, over four SMTP connections at once."""
    messages = numbered_messages(200, seed=21)
    wanted = {user: [n for n in range(200) if n % 3 == 0 or USERS[n % 3] == user] for user in USERS}
    connections = [postfix.smtp() for _ in range(4)]
    for number, data in enumerate(messages):
        recipients = [user for user in USERS if number in wanted[user]]
        assert connections[number % 4].sendmail("sender@example.com", recipients, data) == {}
    for connection in connections:
        connection.quit()
    total = sum(map(len, wanted.values()))
    sent = postfix.await_log(r"postfix/lmtp\[\d+\]: .*? dsn=2\.0\.0, status=sent \(250 2\.0\.0 <\S+> \S+ Saved\)", total)
    assert len(sent) == total
    assert not re.search(r"status=(deferred|bounced)|panic:|fatal:", postfix.log_text())
    for user in USERS:
        found = read(postfix.server, user)
        assert sorted(found) == wanted[user]
        for number, copies in found.items():
            assert len(copies) == 1, (user, number)
            assert copies[0].endswith(messages[number])  # what comes before are Postfix's and Dovecot's own lines


def test_store_that_cannot_be_written_defers(postfix):
    server, (user, other) = postfix.server, USERS[:2]
    first, second = numbered_messages(2, seed=22)
    postfix.send([user, other], first)
    postfix.await_log("status=sent", 2)

    server.allow_log(r"[Pp]ermission")
    root = server.mail_root(user)
    os.chmod(root, 0)
    mark = server.log_size()
    postfix.send([user, other], second)
    (reply,) = set(postfix.await_log(r"to=<%s>.*status=deferred \(host \S+ said: (\d\d\d)" % re.escape(user)))
    assert reply.startswith("4")
    server.await_log(r"lmtp\(%s\).*[Pp]ermission" % re.escape(user), since=mark)
    postfix.await_log(r"to=<%s>.*status=sent" % re.escape(other), 2)
    assert sorted(read(server, other)) == [0, 1]  # the other recipient has it meanwhile

    os.chmod(root, 0o700)
    postfix.await_log(r"to=<%s>.*status=sent" % re.escape(user), 2)
    for recipient in (user, other):
        found = read(server, recipient)
        assert {n: len(copies) for n, copies in found.items()} == {0: 1, 1: 1}
        assert found[1][0].endswith(second)
