# ctest: timeout=600
"""zlib (2.4: mail_compress) and mail_crypt beside lbox, alone and together: mail reads back as it came, and what lies on
disk is what the plugin wrote. lbox keeps such bodies as they are (docs/format.md: codec opaque)."""

import functools
import gzip
import os
import subprocess

import pytest

from support import packs
from support.beside import (DATE, DRIVER, delete_index_files, filling, files_below, files_with, imap, incompressible, is_index_file,
                            lmtp, message, pop3, uid_of)
from support.compression import MAGIC, decompress, stream_of
from support.server import SERIES
from support.wire import Disconnected, string

METHODS = ("gz", "bz2", "lz4", "zstd")
COMPRESS = "zlib" if SERIES == "2.3" else "mail_compress"
CRYPTED = b"CRYPTED\x03\x07"

# Words that no part of a message may show on disk once it is encrypted.
BODY_MARK, HEADER_MARK, SUBJECT_MARK = "Zebra-in-the-body", "Zebra-in-a-header", "Zebra-in-the-subject"


def compress_settings(method):
    if method is None:
        return ""
    return "plugin {\n  zlib_save = %s\n}\n" % method if SERIES == "2.3" else "mail_compress_write_method = %s\n" % method


def global_key_settings(keys, private=True):
    if SERIES == "2.3":
        lines = ["mail_crypt_save_version = 2", "mail_crypt_global_public_key = <%s" % keys["public"]]
        lines += ["mail_crypt_global_private_key = <%s" % keys["private"]] if private else []
        return "plugin {\n%s\n}\n" % "\n".join("  " + line for line in lines)
    return "crypt_global_public_key_file = %s\n" % keys["public"] + (
        "crypt_global_private_key main {\n  crypt_private_key_file = %s\n}\n" % keys["private"] if private else "")


FOLDER_KEY_SETTINGS = {
    "2.3": "mail_attribute_dict = file:%h/dovecot-attributes\nplugin {\n  mail_crypt_curve = prime256v1\n  mail_crypt_save_version = 2\n}\n",
    "2.4": "mail_attribute {\n  dict file {\n    path = %{home}/dovecot-attributes\n  }\n}\ncrypt_user_key_curve = prime256v1\n",
}[SERIES]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    private, public = str(folder / "private.pem"), str(folder / "public.pem")
    for command in (["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private + ".ec"],
                    ["pkcs8", "-topk8", "-nocrypt", "-in", private + ".ec", "-out", private],
                    ["pkey", "-in", private, "-pubout", "-out", public]):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return {"private": private, "public": public}


@functools.lru_cache(maxsize=None)
def kinds():
    """{name: message}: what a body's way to the disk depends on."""
    mime = ("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")
    return {
        "small": message("small", lines=["one line", ".dot", "", "last"]),
        "bare": message("bare line feeds", 3000).replace(b"\r\n", b"\n"),
        "headers only": message("headers only")[:-2] + b"\r\n",
        "8bit": message("eight bit", header=mime) + "Grüße, šťastný\r\n".encode() * 50,
        "binary": message("binary", header=mime) + bytes(range(1, 256)) * 20 + b"\r\n",
        "long": message("long", 300_000),
        "very long": message("very long", 1_500_000),
        "incompressible": message("incompressible") + incompressible(400_000, "kinds"),
    }


def save_all(server, user):
    """Appends each kind, then delivers it by LMTP. Returns {uid: what has to be read back}; by LMTP without what is put on top."""
    expected = {}
    with imap(server, user) as session:
        for name, data in kinds().items():
            expected[uid_of(session.append("INBOX", data, ("\\Flagged",), DATE).expect_ok())] = data
    with lmtp(server) as delivery:
        for number, data in enumerate(kinds().values(), len(expected) + 1):
            delivery.deliver(user, data)
            expected[number] = data
    return expected


def read_all(server, user, expected, mailbox="INBOX"):
    """Reads by IMAP and POP3 (INBOX only) and compares; returns {uid: message as read}."""
    found = {}
    with imap(server, user) as session:
        assert session.select(mailbox)[b"EXISTS"] == len(expected)
        for uid, items in session.fetch("1:*", "(RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER] BODY.PEEK[TEXT])").items():
            found[uid] = string(items[b"BODY[HEADER]"]) + string(items[b"BODY[TEXT]"])
            assert int(items[b"RFC822.SIZE"]) == len(found[uid])
            if uid <= len(kinds()):
                assert string(items[b"INTERNALDATE"]) == DATE.encode()
        assert sorted(found) == sorted(expected)
        for uid, data in expected.items():
            crlf = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            assert found[uid] == crlf or found[uid].endswith(b"\r\n" + crlf) and uid > len(kinds()), uid
            part = string(session.fetch(str(uid), "BODY.PEEK[]<70.500>")[uid][b"BODY[]<70>"])
            assert part == found[uid][70:570], uid
    if mailbox == "INBOX":
        with pop3(server, user) as client:
            sizes = client.list()
            for number, uid in enumerate(sorted(expected), 1):
                assert client.retr(number) == found[uid] and sizes[number] == len(found[uid])
    return found


def stored(server, user):
    """What each message lies on disk as: opaque bodies, or with other drivers whole files."""
    if DRIVER != "lbox":
        blobs = []
        for path in files_below(server.mail_root(user)):
            if not is_index_file(path) and os.path.basename(path).startswith(("u.", "m.")):
                with open(path, "rb") as file:
                    blobs.append(file.read())
        return blobs
    return [record.body_frame for record in packs.records(server.mail_root(user) + "/store")]


def opaque(server, user):
    return {record.codec for record in packs.records(server.mail_root(user) + "/store")} if DRIVER == "lbox" else {packs.OPAQUE}


@pytest.mark.parametrize("method", METHODS)
def test_compressed(server_factory, method):
    server = server_factory(driver=DRIVER, plugins=(COMPRESS,), extra=compress_settings(method))
    expected = save_all(server, "alice")
    found = read_all(server, "alice", expected)
    assert opaque(server, "alice") == {packs.OPAQUE}
    inside = sorted(stream_of(method, blob) or b"" for blob in stored(server, "alice"))
    raw = {uid: found[uid] for uid in found}
    bare = [uid for uid, data in expected.items() if b"\r\n" not in data]
    for uid in bare:  # kept with the line ends that it came with; by LMTP, those are CRLF but for none
        raw[uid] = found[uid] if uid > len(kinds()) else expected[uid]
    have = {text.replace(b"\r\n", b"\n") for text in inside}
    assert have == {text.replace(b"\r\n", b"\n") for text in raw.values()}
    if DRIVER == "lbox":
        for record in packs.records(server.mail_root("alice") + "/store"):
            assert decompress(method, record.body_frame) in inside and len(decompress(method, record.body_frame)) == record.physical_size
            assert record.body_frame.startswith(MAGIC[method])
    total = sum(map(len, stored(server, "alice")))
    assert total < 0.6 * sum(map(len, found.values()))
    if DRIVER == "lbox":
        delete_index_files(server, "alice")
        read_all(server, "alice", expected)


def test_reading_only(server_factory):
    """The plugin loaded without a method: what was compressed before is read, new mail is not compressed by it, and a
    client cannot pass compressed data off as the plugin's."""
    server = server_factory(driver=DRIVER, plugins=(), extra="")
    with imap(server, "bob") as session:
        session.append("INBOX", message("before the plugin", 5000), (), DATE).expect_ok()
        session.append("INBOX", message("before, long", 900_000), (), DATE).expect_ok()
    server.config.plugins, server.config.extra = (COMPRESS,), compress_settings("gz")
    server.write_config()
    server.restart()
    with imap(server, "bob") as session:
        session.append("INBOX", message("with the plugin", 5000), (), DATE).expect_ok()
        session.ok("CREATE Copies")
        session.select("INBOX")
        session.ok("UID COPY 1:3 Copies")
    server.config.extra = compress_settings(None)
    server.write_config()
    server.restart()
    expected = {1: message("before the plugin", 5000), 2: message("before, long", 900_000), 3: message("with the plugin", 5000)}
    assert read_all(server, "bob", expected) == read_all(server, "bob", expected, "Copies") == expected
    with imap(server, "bob") as session:
        expected[4] = message("after the plugin", 5000)
        session.append("INBOX", expected[4], (), DATE).expect_ok()
        refused = session.append("INBOX", gzip.compress(message("forged")), binary=True)
        assert refused.status == "NO" and b"compressed by client" in refused.text
    assert read_all(server, "bob", expected) == expected
    if DRIVER == "lbox":
        codecs = [record.codec for record in packs.records(server.mail_root("bob") + "/store") if record.mailbox]
        assert codecs == [packs.ZSTD, packs.ZSTD, packs.OPAQUE, packs.ZSTD]


def marked(number, size=0):
    return message("%s %d" % (SUBJECT_MARK, number), size, [BODY_MARK], ["X-Mark: " + HEADER_MARK])


def assert_hidden(server, user):
    """No plaintext anywhere in the user's files, but for the header fields that Dovecot keeps in its cache with any driver."""
    home = server.user_home(user)
    assert files_with(home, BODY_MARK.encode()) == []
    assert files_with(home, HEADER_MARK.encode()) == []
    assert set(files_with(home, SUBJECT_MARK.encode())) <= {"dovecot.index.cache"}
    blobs = stored(server, user)
    assert blobs and all(CRYPTED in blob for blob in blobs)


@pytest.mark.parametrize("method", [None, "gz", "zstd"])
def test_encrypted_with_global_keys(server_factory, keys, method):
    plugins = ("mail_crypt",) + ((COMPRESS,) if method else ())
    server = server_factory(driver=DRIVER, plugins=plugins, extra=global_key_settings(keys) + compress_settings(method))
    expected = save_all(server, "alice")
    found = read_all(server, "alice", expected)
    assert opaque(server, "alice") == {packs.OPAQUE}
    assert all(CRYPTED in blob for blob in stored(server, "alice"))
    ratio = sum(map(len, stored(server, "alice"))) / sum(map(len, found.values()))
    assert ratio < 0.6 if method else ratio > 0.95

    with imap(server, "bob") as session:
        for number in range(1, 4):
            session.append("INBOX", marked(number), (), DATE).expect_ok()
        session.append("INBOX", marked(4, 400_000), (), DATE).expect_ok()
        session.ok("CREATE Copies")
        session.select("INBOX")
        session.ok("UID FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (X-Mark)])")
        session.ok("UID COPY 1:* Copies")
        assert session.search("BODY", BODY_MARK) == [1, 2, 3, 4]
        session.ok("UID STORE 1 +FLAGS (\\Deleted)")
        session.ok("EXPUNGE")
    expected = {number: marked(number, 400_000 if number == 4 else 0) for number in range(1, 5)}
    assert read_all(server, "bob", expected, "Copies") == expected
    home = server.user_home("bob")
    assert files_with(home, BODY_MARK.encode()) == []
    # Header fields that were fetched are in the cache, with any driver; nothing else is anywhere.
    assert set(files_with(home, HEADER_MARK.encode())) <= {"dovecot.index.cache"}
    assert set(files_with(home, SUBJECT_MARK.encode())) <= {"dovecot.index.cache"}
    if DRIVER == "lbox":
        delete_index_files(server, "bob")
        assert read_all(server, "bob", expected, "Copies") == expected


def test_not_even_in_the_cache_what_nobody_asked_for(server_factory, keys):
    server = server_factory(driver=DRIVER, plugins=("mail_crypt",), extra=global_key_settings(keys))
    with lmtp(server) as delivery:
        for number in range(3):
            delivery.deliver("carol", marked(number, 200_000 if number else 0))
    with imap(server, "carol") as session:
        session.select("INBOX")
        assert len(session.fetch("1:*", "BODY.PEEK[]")) == 3
    assert_hidden(server, "carol")


def test_old_mail_stays_readable_and_without_the_key_only_that(server_factory, keys):
    server = server_factory(driver=DRIVER)
    with imap(server, "dave") as session:
        session.append("INBOX", marked(1), (), DATE).expect_ok()
        session.append("INBOX", marked(2, 600_000), (), DATE).expect_ok()
    expected = {1: marked(1), 2: marked(2, 600_000), 3: marked(3), 4: marked(4, 600_000)}
    server.config.plugins, server.config.extra = ("mail_crypt",), global_key_settings(keys)
    server.write_config()
    server.restart()
    with imap(server, "dave") as session:
        for uid in (3, 4):
            session.append("INBOX", expected[uid], (), DATE).expect_ok()
        session.ok("CREATE Copies")
        session.select("INBOX")
        session.ok("UID COPY 2:3 Copies")
    assert read_all(server, "dave", expected) == expected
    assert read_all(server, "dave", {1: expected[2], 2: expected[3]}, "Copies") == {1: expected[2], 2: expected[3]}

    server.config.extra = global_key_settings(keys, private=False)
    server.write_config()
    server.restart()
    server.allow_log(r"Error: .*(Private key not available|[Nn]o private key available|Cannot decrypt|[Dd]ecrypt|read\(.*\) failed)")
    session = imap(server, "dave")
    session.select("INBOX")
    assert string(session.fetch("1", "BODY.PEEK[]")[1][b"BODY[]"]) == expected[1]
    # Nothing of it is served. Dovecot may learn so only after it has promised the message, and then has to hang up.
    try:
        answer = session.command("UID FETCH 3 BODY.PEEK[]")
        assert answer.status == "NO" and not answer.fetches()
    except Disconnected as error:
        assert not error.data
    session.close()
    with imap(server, "dave") as session:
        session.select("INBOX")
        assert string(session.fetch("2", "BODY.PEEK[]")[2][b"BODY[]"]) == expected[2]
    with lmtp(server) as delivery:  # takes the public key only
        delivery.deliver("dave", marked(5))
    server.config.extra = global_key_settings(keys)
    server.write_config()
    server.restart()
    with imap(server, "dave") as session:
        session.select("INBOX")
        assert string(session.fetch("3", "BODY.PEEK[]")[3][b"BODY[]"]) == expected[3]
        assert string(session.fetch("5", "BODY.PEEK[]")[5][b"BODY[]"]).endswith(marked(5))


def test_folder_keys(server_factory):
    """Each mailbox has its key, so a copy is written anew, with the key of the mailbox it goes to: it outlives the other's deletion."""
    server = server_factory(driver=DRIVER, plugins=("mail_crypt",), extra=FOLDER_KEY_SETTINGS)
    bodies = {1: marked(1), 2: marked(2, 3000), 3: marked(3, 600_000)}
    with imap(server, "erin") as session:
        session.ok("CREATE A")
        session.ok("CREATE B")
        for data in bodies.values():
            session.append("A", data, ("\\Answered",), DATE).expect_ok()
        session.select("A")
        session.ok("UID COPY 1:3 B")
        session.ok("UID COPY 2 A")  # in the same mailbox
        session.ok("UID MOVE 1 INBOX")
        session.select("B")
        session.ok("UID COPY 3 INBOX")
    assert read_all(server, "erin", bodies, "B") == bodies
    assert read_all(server, "erin", {2: bodies[2], 3: bodies[3], 4: bodies[2]}, "A")[4] == bodies[2]
    with imap(server, "erin") as session:
        session.select("INBOX")
        got = session.fetch("1:*", "(BODY.PEEK[] INTERNALDATE FLAGS)")
        assert {uid: string(items[b"BODY[]"]) for uid, items in got.items()} == {1: bodies[1], 2: bodies[3]}
        assert all(string(items[b"INTERNALDATE"]) == DATE.encode() and b"\\Answered" in items[b"FLAGS"] for items in got.values())
    with lmtp(server) as delivery:
        delivery.deliver("erin", marked(4))
    used = [server.doveadm("mailbox", "cryptokey", "list", name, user="erin").text.split() for name in ("A", "B", "INBOX")]
    assert len({words[-1] for words in used}) == 3, "each has a key of its own"
    assert_hidden(server, "erin")
    if DRIVER == "lbox":
        bodies_written = {record.body_id for record in packs.records(server.mail_root("erin") + "/store")}
        # 3 in A and 3 in B, 2 in INBOX, 1 by LMTP, one copy within A that may share its body or not
        assert len(bodies_written) in (9, 10)

    with imap(server, "erin") as session:
        session.ok("DELETE A")
        session.ok("RENAME B C")
    assert read_all(server, "erin", bodies, "C") == bodies
    with imap(server, "erin") as session:
        session.select("INBOX")
        assert string(session.fetch("2", "BODY.PEEK[]")[2][b"BODY[]"]) == bodies[3]
        assert string(session.fetch("3", "BODY.PEEK[]")[3][b"BODY[]"]).endswith(marked(4))
    if DRIVER == "lbox":
        delete_index_files(server, "erin")
        assert read_all(server, "erin", bodies, "C") == bodies


def test_shared_copy_between_users_is_encrypted_for_the_other(server_factory):
    """doveadm copy from another user's mailbox: read with one's keys, written with the other's."""
    server = server_factory(driver=DRIVER, plugins=("mail_crypt",), extra=FOLDER_KEY_SETTINGS)
    with imap(server, "frank") as session:
        session.append("INBOX", marked(1), (), DATE).expect_ok()
    server.doveadm("mailbox", "create", "From-frank", user="grace")
    server.doveadm("copy", "From-frank", "user", "frank", "all", user="grace")
    assert read_all(server, "grace", {1: marked(1)}, "From-frank") == {1: marked(1)}
    assert_hidden(server, "grace")
