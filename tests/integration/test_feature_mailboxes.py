"""CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, LIST: in each layout, with each separator."""

import re

import pytest

from support.feature import User, append_uid, message, start, subjects
from support.imap_parse import skip
from support.wire import quote, string

KINDS = {
    "index": dict(layout="index"),
    "fs": dict(layout="fs"),
    "index-dot": dict(layout="index", separator=".", prefix="INBOX."),
    "fs-dot": dict(layout="fs", separator=".", prefix="INBOX."),
}


@pytest.fixture(scope="module", params=KINDS)
def server(module_server_factory, request):
    return start(module_server_factory, **KINDS[request.param])


@pytest.fixture
def user(server, request):
    return User.of(server, request)


def name(user, path):
    """A mailbox name of this server for one like "a/b"."""
    config = user.server.config
    return path if path == "INBOX" else config.prefix + path.replace("/", config.separator)


def listed(imap, user, command='LIST "" "*"'):
    """{path: set of attributes}, names turned back to a/b."""
    config, result = user.server.config, {}
    for raw in imap.ok(command).named("LSUB" if command.startswith("LSUB") else "LIST"):
        attributes = re.search(rb"\(([^)]*)\)", raw)
        at = skip(raw, attributes.end() + 1) + 1
        vname = string(raw[at:skip(raw, at)].strip()).decode()
        if vname.startswith(config.prefix):
            vname = vname[len(config.prefix):]
        result[vname.replace(config.separator, "/")] = set(attributes.group(1).decode().split())
    return result


def selectable(imap, user):
    return {path for path, attributes in listed(imap, user).items()
            if not attributes & {"\\Noselect", "\\NonExistent"}} - {"INBOX"}


def create(imap, user, *paths):
    for path in paths:
        imap.ok("CREATE", quote(name(user, path)))


def rename(imap, user, old, new):
    return imap.command("RENAME", quote(name(user, old)), quote(name(user, new)))


def save(imap, user, path, *texts):
    for text in texts:
        append_uid(imap.append(name(user, path), message(text)))


def contents(imap, user, path):
    state = imap.select(name(user, path), read_only=True)
    return state[b"UIDVALIDITY"], state[b"UIDNEXT"], subjects(imap) if state[b"EXISTS"] else {}


def test_create_nested(user):
    with user.imap() as imap:
        create(imap, user, "a/b/c", "a/d", "e")
        assert selectable(imap, user) >= {"a/b/c", "a/d", "e"}
        for path in ("a/b/c", "a/d", "e"):
            save(imap, user, path, path)
        assert imap.command("CREATE", quote(name(user, "e"))).code == b"ALREADYEXISTS"
        imap.command("CREATE", quote(name(user, "a/b")))  # may exist by itself already
        save(imap, user, "a/b", "parent")
        assert "\\HasChildren" in listed(imap, user)["a/b"]
        assert contents(imap, user, "a/b/c")[2] == {1: "a/b/c"}
        assert contents(imap, user, "a/b")[2] == {1: "parent"}


def test_names(user):
    paths = ["with space", "quo\"te", "back\\slash", "&AOQ-x&ZeVnLIqe-", "x" * 100, "til~de", "per%cent", "st*r", "#hash", "INBOXes"]
    with user.imap() as imap:
        create(imap, user, *paths)
        for path in paths:
            save(imap, user, path, path[:10].replace('"', "").replace("\\", ""))
    with user.imap() as imap:
        assert selectable(imap, user) == set(paths)
        for path in paths:
            assert len(contents(imap, user, path)[2]) == 1
            imap.ok("UNSELECT")
            imap.ok("DELETE", quote(name(user, path)))
        assert selectable(imap, user) == set()


def test_delete(user):
    with user.imap() as imap:
        create(imap, user, "p", "p/q", "p/q/r", "leaf")
        save(imap, user, "p/q/r", "kept")
        save(imap, user, "p/q", "gone")
        imap.ok("DELETE", quote(name(user, "leaf")))
        imap.ok("DELETE", quote(name(user, "p/q")))
        assert selectable(imap, user) == {"p", "p/q/r"}
        assert contents(imap, user, "p/q/r")[2] == {1: "kept"}
        assert imap.command("DELETE", quote(name(user, "leaf"))).status == "NO"
        assert imap.command("SELECT", quote(name(user, "leaf"))).status == "NO"
        assert imap.command("DELETE INBOX").status == "NO"


def test_recreated_mailbox_has_another_uidvalidity(user):
    with user.imap() as imap:
        seen = set()
        for _ in range(3):
            create(imap, user, "box")
            save(imap, user, "box", "a", "b")
            uidvalidity, next_uid, found = contents(imap, user, "box")
            assert uidvalidity not in seen and all(uidvalidity > before for before in seen)
            assert next_uid == 3 and found == {1: "a", 2: "b"}
            seen.add(uidvalidity)
            imap.ok("UNSELECT")
            imap.ok("DELETE", quote(name(user, "box")))


def test_rename_parent_with_children(user):
    with user.imap() as imap:
        create(imap, user, "top", "top/mid", "top/mid/low", "topper")
        for path in ("top", "top/mid", "top/mid/low", "topper"):
            save(imap, user, path, path)
        before = {path: contents(imap, user, path) for path in ("top", "top/mid", "top/mid/low", "topper")}
        imap.ok("UNSELECT")
        assert rename(imap, user, "top", "other/place").ok
    with user.imap() as imap:
        assert selectable(imap, user) - {"other"} == {"other/place", "other/place/mid", "other/place/mid/low", "topper"}
        for path, was in before.items():
            new = path if path == "topper" else "other/place" + path[3:]
            assert contents(imap, user, new) == was
        save(imap, user, "other/place/mid", "new")
        assert contents(imap, user, "other/place/mid")[2] == {1: "top/mid", 2: "new"}


def test_rename_refuses_what_exists_and_what_does_not(user):
    with user.imap() as imap:
        create(imap, user, "a", "b")
        save(imap, user, "a", "in a")
        assert rename(imap, user, "a", "b").code == b"ALREADYEXISTS"
        assert rename(imap, user, "missing", "c").status == "NO"
        assert rename(imap, user, "a", "a/sub").status == "NO"
        assert selectable(imap, user) == {"a", "b"}
        assert contents(imap, user, "a")[2] == {1: "in a"}


def test_swapped_names(user):
    with user.imap() as imap:
        create(imap, user, "a", "b")
        save(imap, user, "a", "was a")
        save(imap, user, "b", "was b", "too")
        before = contents(imap, user, "a"), contents(imap, user, "b")
        imap.ok("UNSELECT")
        for old, new in (("a", "t"), ("b", "a"), ("t", "b")):
            assert rename(imap, user, old, new).ok
    with user.imap() as imap:
        assert (contents(imap, user, "b"), contents(imap, user, "a")) == before


def test_rename_inbox(user):
    with user.imap() as imap:
        save(imap, user, "INBOX", "one", "two")
        create(imap, user, "child")
        imap.select("INBOX")
        before = contents(imap, user, "INBOX")
        imap.ok("UNSELECT")
        answer = rename(imap, user, "INBOX", "old/mail")
        if user.server.config.prefix:  # every name is below INBOX then, and Dovecot refuses
            assert answer.status == "NO" and contents(imap, user, "INBOX") == before
            return
        assert answer.ok
        assert contents(imap, user, "old/mail")[2] == before[2]
        assert contents(imap, user, "INBOX")[2] == {}
        assert contents(imap, user, "INBOX")[0] != contents(imap, user, "old/mail")[0]
        save(imap, user, "INBOX", "fresh")
    user.deliver("delivered")
    with user.imap() as imap:
        assert contents(imap, user, "INBOX")[2] == {1: "fresh", 2: "delivered"}
        assert contents(imap, user, "old/mail")[2] == before[2]


def test_subscriptions(user):
    with user.imap() as imap:
        create(imap, user, "a", "a/b", "c")
        for path in ("a/b", "c"):
            imap.ok("SUBSCRIBE", quote(name(user, path)))
        assert set(listed(imap, user, 'LSUB "" "*"')) == {"a/b", "c"}
        imap.ok("UNSUBSCRIBE", quote(name(user, "c")))
    with user.imap() as imap:
        found = listed(imap, user, 'LIST (SUBSCRIBED) "" "*"')
        assert set(found) == {"a/b"} and "\\Subscribed" in found["a/b"]
        # RFC 3501: deleting does not unsubscribe.
        imap.ok("DELETE", quote(name(user, "a/b")))
        assert set(listed(imap, user, 'LSUB "" "*"')) == {"a/b"}


def status_of(raw):
    words = raw[raw.rindex(b"(") + 1:raw.rindex(b")")].split()
    return {key.decode(): int(value) for key, value in zip(words[::2], words[1::2]) if value.isdigit()}


def test_status(user):
    wanted = "MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE"
    with user.imap() as imap:
        create(imap, user, "a", "a/b")
        sizes = 0
        for n in range(5):
            data = message("m%d" % n, "x" * n + "\r\n")
            append_uid(imap.append(name(user, "a/b"), data, ("\\Seen",) if n < 2 else ()))
            sizes += len(data)
        imap.ok("SUBSCRIBE", quote(name(user, "a/b")))
        (raw,) = imap.ok("STATUS", quote(name(user, "a/b")), "(%s)" % wanted).named("STATUS")
        status = status_of(raw)
        assert {key: status[key] for key in ("MESSAGES", "RECENT", "UIDNEXT", "UNSEEN", "SIZE")} == {
            "MESSAGES": 5, "RECENT": 5, "UIDNEXT": 6, "UNSEEN": 3, "SIZE": sizes}
        answer = imap.ok('LIST "" "*" RETURN (SUBSCRIBED STATUS (%s))' % wanted)
        by_size = {status_of(raw)["SIZE"]: status_of(raw) for raw in answer.named("STATUS")}
        assert by_size[sizes] == status
        state = imap.select(name(user, "a/b"))
        assert state[b"UIDVALIDITY"] == status["UIDVALIDITY"] and state[b"UIDNEXT"] == 6
        imap.ok("UID STORE 1,5 +FLAGS (\\Deleted \\Seen)")
        imap.ok("EXPUNGE")
        imap.ok("UNSELECT")
        (raw,) = imap.ok("STATUS", quote(name(user, "a/b")), "(%s)" % wanted).named("STATUS")
        after = status_of(raw)
        assert (after["MESSAGES"], after["UIDNEXT"], after["UNSEEN"]) == (3, 6, 2)
        assert after["SIZE"] == sum(len(message("m%d" % n, "x" * n + "\r\n")) for n in (1, 2, 3))
        assert after["HIGHESTMODSEQ"] > status["HIGHESTMODSEQ"]
    assert user.doveadm("mailbox", "status", "messages vsize", name(user, "a/b")).text.split()[1:] == [
        "messages=3", "vsize=%d" % after["SIZE"]]


def test_status_after_delivery_elsewhere(user):
    """A mailbox nobody opened since: the list index has to notice what LMTP did."""
    with user.imap() as imap:
        imap.ok("STATUS INBOX (MESSAGES)")
        for n in range(1, 4):
            user.deliver("m%d" % n)
            (raw,) = imap.ok("STATUS INBOX (MESSAGES UIDNEXT)").named("STATUS")
            assert status_of(raw) == {"MESSAGES": n, "UIDNEXT": n + 1}
