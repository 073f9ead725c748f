"""POP3 unique ids made of GUIDs. Each driver makes GUIDs its own way, so what is checked of both is what a
client relies on."""

import pytest

from support import deliveries
from support.compare import Side
from support.messages import own_messages
from support.pair import SUBJECT_INDEX_IS_CACHE, delete_index, start_pair


@pytest.fixture
def sides(server_factory):
    extra = {"2.3": "pop3_uidl_format = %g", "2.4": "pop3_uidl_format = %{guid}"}
    return [Side(server, "uidl") for server in start_pair(server_factory, extra=extra)]


def uidl(side):
    with side.pop3() as pop:
        return list(pop.uidl().values())


def test_guid_uidl_is_the_guid_and_lasts(sides):
    messages = own_messages()[:40]
    for side in sides:
        deliveries.by_append(side, messages[:30])
        deliveries.by_lmtp(side, messages[30:])
        first = uidl(side)
        assert len(first) == len(set(first)) == len(messages)
        guids = side.server.doveadm("fetch", "guid", "mailbox", "INBOX", user=side.user).out.split()[1::2]
        assert first == guids
        assert uidl(side) == first

    subject = sides[0]
    if SUBJECT_INDEX_IS_CACHE:
        before = uidl(subject)
        delete_index(subject)
        assert uidl(subject) == before
