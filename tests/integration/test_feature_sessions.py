"""Several sessions on the same mail at once."""

import threading

import pytest

from support.feature import User, append_uid, flags_of, incompressible, message, start, subjects
from support.wire import string


@pytest.fixture(scope="module")
def server(module_server_factory):
    return start(module_server_factory)


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def together(*functions):
    """Runs them at the same time and raises what any of them raised."""
    problems = []

    def run(function):
        try:
            function()
        except Exception as problem:  # noqa: BLE001, raised below
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def test_fetch_while_another_expunges(user):
    """Each body comes whole, or not at all; never another message's."""
    sent = {}
    with user.imap() as imap:
        for n in range(40):
            data = message("m%d" % n, incompressible(200_000 if n % 8 == 0 else 3_000, seed=n))
            sent[append_uid(imap.append("INBOX", data))] = data
    with user.imap("INBOX") as reader, user.imap("INBOX") as writer:
        def read():
            for uid, data in sent.items():
                answer = reader.command("UID FETCH %d (BODY.PEEK[])" % uid)
                for _, items in answer.fetch_list():
                    if b"BODY[]" in items and items[b"BODY[]"] != b"NIL":
                        assert string(items[b"BODY[]"]) == data

        def expunge():
            for uid in reversed(list(sent)):
                if uid % 2:
                    writer.ok("UID STORE %d +FLAGS.SILENT (\\Deleted)" % uid)
                    writer.ok("UID EXPUNGE %d" % uid)

        together(read, expunge)
        writer.noop()
        assert list(subjects(writer)) == [uid for uid in sent if not uid % 2]


def test_fetch_by_offset_while_it_is_expunged(user):
    data = message("big", incompressible(1_500_000))
    with user.imap() as imap:
        append_uid(imap.append("INBOX", data))
    with user.imap("INBOX") as reader, user.imap("INBOX") as writer:
        items = reader.fetch("1", "BODY.PEEK[]<0.1000>")[1]
        assert string(items[b"BODY[]<0>"]) == data[:1000]
        writer.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)")
        writer.ok("EXPUNGE")
        for offset in (700_000, 1_000):
            answer = reader.command("UID FETCH 1 (BODY.PEEK[]<%d.1000>)" % offset)
            for _, items in answer.fetch_list():
                got = string(items.get(b"BODY[]<%d>" % offset, b"NIL"))
                assert got in (None, b"", data[offset:offset + 1000])
        reader.noop()
        assert reader.ok("UID FETCH 1:* FLAGS").fetches() == {}


def test_rename_while_another_appends(user):
    with user.imap() as imap:
        imap.ok("CREATE here")
    with user.imap("here") as one, user.imap() as two:
        names = ["here", "there"]

        def append():
            for n in range(30):
                # Under either name, whichever it has by then.
                for _ in range(200):
                    if any(one.append(box, message("m%d" % n)).ok for box in names):
                        break
                else:
                    raise AssertionError("no name would take it")

        def rename():
            for n in range(10):
                two.ok("RENAME", names[n % 2], names[(n + 1) % 2])

        together(append, rename)
    with user.imap("here") as imap:
        assert sorted(subjects(imap).values()) == sorted("m%d" % n for n in range(30))


def test_delete_while_selected(user):
    with user.imap() as imap:
        imap.ok("CREATE doomed")
        append_uid(imap.append("doomed", message("a")))
    watcher = user.imap("doomed")
    with user.imap() as imap:
        imap.ok("DELETE doomed")
        imap.ok("CREATE doomed")
        append_uid(imap.append("doomed", message("new one")))
        imap.select("doomed")
        assert subjects(imap) == {1: "new one"}
    try:
        answer = watcher.command("UID FETCH 1 (BODY.PEEK[TEXT])")
        assert not answer.ok or all(b"new one" not in raw for raw in answer.untagged)
    except Exception as problem:  # Dovecot ends a session whose mailbox is gone
        assert "closed" in str(problem) or "reset" in str(problem)
    watcher.close()


def test_two_sessions_store_flags(user):
    user.append("INBOX", *("m%d" % n for n in range(20)))
    with user.imap("INBOX") as one, user.imap("INBOX") as two:
        def store(imap, flag):
            for n in range(25):
                imap.ok("UID STORE 1:* +FLAGS.SILENT (%s)" % flag)
                imap.ok("UID STORE %d:%d -FLAGS.SILENT (%s)" % (n % 20 + 1, n % 20 + 1, flag))
            imap.ok("UID STORE 1:* +FLAGS.SILENT (%s)" % flag)

        together(lambda: store(one, "\\Flagged one"), lambda: store(two, "\\Answered two"))
        for imap in (one, two):
            imap.noop()
            found = {uid: flags_of(items) - {"\\Recent"} for uid, items in imap.fetch("1:*", "FLAGS").items()}
            assert found == {uid: {"\\Flagged", "one", "\\Answered", "two"} for uid in range(1, 21)}


@pytest.mark.parametrize("index", [None, "MEMORY"])
def test_deliveries_at_once(server_factory, index):
    # With layout index, Dovecot has to have its list index on disk.
    server = start(server_factory, index_dir=index, layout="fs" if index else None)
    user = User(server, "busy")

    def deliver(number):
        with user.lmtp() as lmtp:
            for n in range(15):
                lmtp.deliver(user.name, message("d%d-%d" % (number, n)))

    together(*(lambda number=number: deliver(number) for number in range(4)))
    with user.imap("INBOX") as imap:
        found = subjects(imap)
        assert list(found) == list(range(1, 61))
        assert sorted(found.values()) == sorted("d%d-%d" % (a, b) for a in range(4) for b in range(15))
        for number in range(4):  # one connection's are in order
            mine = [int(name.split("-")[1]) for name in found.values() if name.startswith("d%d-" % number)]
            assert mine == list(range(15))
