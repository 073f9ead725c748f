"""mbsync keeps a Maildir tree and lbox the same, both ways: new messages, flags, expunges, folders."""

import os
import re

from support.peers import Mbsync, number_of, numbered_messages
from support.snapshot import assert_same, quoted, snapshot
from support.wire import Imap, string, uid_set

DRIVER = os.environ.get("LBOX_TEST_DRIVER", "lbox")
FOLDERS = ("Lists", "Lists/dev", "Sent Items", "A-B_c")
LETTERS = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged", "D": "\\Draft"}


class Near:
    """The Maildir tree that mbsync keeps, changed as a mail client would."""

    def __init__(self, mail):
        self._mail = mail

    def files(self, folder):
        """{X-Number of each message: path}"""
        found = {}
        for part in ("new", "cur"):
            for name in os.listdir("%s/%s/%s" % (self._mail, folder, part)):
                path = "%s/%s/%s/%s" % (self._mail, folder, part, name)
                with open(path, "rb") as file:
                    number = number_of(file.read())
                assert number not in found
                found[number] = path
        return found

    def read(self):
        """{folder: {X-Number: (flags, message with LF)}}"""
        folders = {}
        for path, names, _ in os.walk(self._mail):
            if "cur" in names:
                folder = os.path.relpath(path, self._mail)
                messages = folders[folder] = {}
                for number, file_name in self.files(folder).items():
                    with open(file_name, "rb") as file:
                        # mbsync marks its messages with a line of its own
                        data = re.sub(rb"^X-TUID:.*\n", b"", file.read(), flags=re.M)
                    messages[number] = frozenset(LETTERS[c] for c in file_name.partition(":2,")[2] if c in LETTERS), data
        return folders

    def every_file(self):
        return sorted(path + "/" + name for path, _, names in os.walk(self._mail) if path.endswith(("/cur", "/new")) for name in names)

    def add(self, folder, message, letters=""):
        os.makedirs("%s/%s" % (self._mail, folder), exist_ok=True)
        for part in ("cur", "new", "tmp"):
            os.makedirs("%s/%s/%s" % (self._mail, folder, part), exist_ok=True)
        name = "%s/%s/%s/%d.client" % (self._mail, folder, "cur" if letters else "new", number_of(message))
        with open(name + (":2," + letters if letters else ""), "wb") as file:
            file.write(message.replace(b"\r\n", b"\n"))

    def set_letters(self, folder, number, letters):
        path = self.files(folder)[number]
        base, _, uid = os.path.basename(path).partition(":2,")[0].partition(",U=")
        os.rename(path, "%s/%s/cur/%s%s:2,%s" % (self._mail, folder, base, ",U=" + uid if uid else "", letters))


class Far:
    """The server's mailboxes."""

    def __init__(self, server, user):
        self._server, self.user = server, user
        self.imap = Imap(port=server.imap_port, user=user, password=server.password(user))

    def names(self):
        return [string(raw.rstrip().rpartition(b'"/" ')[2]).decode() for raw in self.imap.ok('LIST "" "*"').untagged
                if b"NonExistent" not in raw and b"NoSelect" not in raw]

    def uids(self, folder):
        """{X-Number: UID}, the folder being selected"""
        self.imap.select(folder)
        found = {}
        for uid, items in self.imap.fetch("1:*", "BODY.PEEK[HEADER.FIELDS (X-Number)]").items():
            number = number_of(string(items[b"BODY[HEADER.FIELDS (X-NUMBER)]"]))
            assert number not in found
            found[number] = uid
        return found

    def read(self):
        folders = {}
        for folder in self.names():
            state = self.imap.select(folder, read_only=True)
            messages = folders[folder] = {}
            for items in (self.imap.fetch("1:*", "(FLAGS BODY.PEEK[])") if state[b"EXISTS"] else {}).values():
                data = re.sub(rb"^X-TUID:.*\n", b"", string(items[b"BODY[]"]).replace(b"\r\n", b"\n"), flags=re.M)
                flags = {f.decode() for f in items[b"FLAGS"].strip(b"()").split()} & set(LETTERS.values())
                messages[number_of(data)] = frozenset(flags), data
        return folders

    def set_flags(self, folder, numbers, change):
        uids = self.uids(folder)
        self.imap.ok("UID STORE", uid_set(uids[n] for n in numbers), change)

    def expunge(self, folder, numbers):
        self.set_flags(folder, numbers, "+FLAGS (\\Deleted)")
        self.imap.ok("EXPUNGE")

    def append(self, folder, message, flags=()):
        self.imap.append(folder, message, flags).expect_ok()


def a_round(near, far, messages, folders):
    """Changes on both sides, others on each; returns what every folder has to hold afterwards: {folder: {number: flags}}."""
    expected = {folder: {n: flags for n, (flags, _) in found.items()} for folder, found in far.read().items()}
    for folder in folders:
        numbers = sorted(expected[folder])
        flags = expected[folder]
        # on the server
        far.set_flags(folder, numbers[0:2], "+FLAGS (\\Seen \\Flagged)")
        far.set_flags(folder, numbers[2:3], "-FLAGS (\\Seen \\Flagged \\Answered)")
        far.expunge(folder, numbers[3:5])
        far.append(folder, added := next(messages), ("\\Answered",))
        # in the Maildir
        near.set_letters(folder, numbers[5], "RS")
        near.set_letters(folder, numbers[6], "")
        near.set_letters(folder, numbers[7], "ST")  # T: trashed
        near.add(folder, added_near := next(messages), "F")
        near.add(folder, unseen := next(messages))
        # and the same message on both sides, each another flag
        far.set_flags(folder, numbers[8:9], "+FLAGS (\\Draft)")
        near.set_letters(folder, numbers[8], "".join(sorted(c for c, f in LETTERS.items() if f in flags[numbers[8]] | {"\\Answered"})))

        for n in numbers[0:2]:
            flags[n] |= {"\\Seen", "\\Flagged"}
        flags[numbers[2]] -= {"\\Seen", "\\Flagged", "\\Answered"}
        flags[numbers[5]], flags[numbers[6]] = frozenset(["\\Answered", "\\Seen"]), frozenset()
        flags[numbers[8]] |= {"\\Draft", "\\Answered"}
        for n in (*numbers[3:5], numbers[7]):
            del flags[n]
        flags[number_of(added)] = frozenset(["\\Answered"])
        flags[number_of(added_near)], flags[number_of(unseen)] = frozenset(["\\Flagged"]), frozenset()
    return expected


def test_two_way_round_trip(server_factory):
    server = server_factory(driver=DRIVER)
    texts = numbered_messages(300, seed=41)
    messages = iter(texts)
    far = Far(server, "alice")
    for folder in FOLDERS:
        far.imap.ok("CREATE", quoted(folder))
    for folder in ("INBOX",) + FOLDERS:
        for number in range(15):
            far.append(folder, next(messages), ("\\Seen",) if number % 2 else ())
    mbsync = Mbsync(server.base, server, "alice")
    mbsync.run()
    near = Near(mbsync.mail)
    assert near.read() == far.read()
    assert [len(found) for found in near.read().values()] == [15] * 5

    folders = ("INBOX",) + FOLDERS
    for turn in range(2):
        expected = a_round(near, far, messages, folders)
        new = ("New far %d" % turn, "New near %d" % turn)
        far.imap.ok("CREATE", quoted(new[0]))
        for folder in new:
            expected[folder] = {}
        for _ in range(10):
            far.append(new[0], m := next(messages), ("\\Seen",))
            expected[new[0]][number_of(m)] = frozenset(["\\Seen"])
            near.add(new[1], m := next(messages), "S")
            expected[new[1]][number_of(m)] = frozenset(["\\Seen"])
        mbsync.run()
        here, there = near.read(), far.read()
        assert {folder: {n: flags for n, (flags, _) in found.items()} for folder, found in there.items()} == expected
        assert here == there
        folders += new

    # everything is as it was brought in, and nothing is left to do
    for found in there.values():
        for number, (_, message) in found.items():
            assert message == texts[number].replace(b"\r\n", b"\n")
    before, files = snapshot(server, "alice"), near.every_file()
    for _ in range(2):
        mbsync.run()
    assert_same(before, snapshot(server, "alice"))
    assert near.every_file() == files
    assert len(files) == sum(len(found) for found in there.values()) > 100
    with far.imap:
        pass
