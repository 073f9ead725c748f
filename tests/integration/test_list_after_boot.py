"""A power cut may take a mailbox out of Dovecot's list, which is not flushed, but not out of the store: the first
session after a boot puts it back."""

import glob
import os
import shutil


def list_files(root):
    return glob.glob(os.path.join(root, "dovecot.list.index*"))


def names(imap):
    return sorted(line.decode().rsplit(' "/" ', 1)[1].strip('"') for line in imap.list()[1])


def lose_from_list(server, user, create):
    """Puts the list back to what it was before `create` ran; no process has it open meanwhile."""
    root = server.mail_root(user)
    server.stop()
    kept = {path: open(path, "rb").read() for path in list_files(root)}
    server.start()
    create()
    server.stop()
    for path in list_files(root):
        os.unlink(path)
    for path, data in kept.items():
        with open(path, "wb") as file:
            file.write(data)
        shutil.chown(path, server.config.mail_uid, server.config.mail_uid)
    server.start()


def create_with_mail(server):
    imap = server.imap("alice")
    imap.create("work")
    imap.create("work/2026")
    imap.append("work/2026", None, None, b"Subject: kept\r\n\r\nbody\r\n")
    imap.logout()


def test_mailboxes_come_back_after_a_boot(server_factory):
    server = server_factory(driver="lbox")
    server.deliver("alice", b"Subject: one\r\n\r\nbody\r\n")
    imap = server.imap("alice")
    imap.select("INBOX")
    imap.logout()
    noted_boot = server.mail_root("alice") + "/lbox-boot"
    with open("/proc/sys/kernel/random/boot_id") as file:
        assert open(noted_boot).read() == file.read()

    lose_from_list(server, "alice", lambda: create_with_mail(server))
    # In the same boot nobody looks: this is the control.
    imap = server.imap("alice")
    imap.select("INBOX")
    assert names(imap) == ["INBOX"]
    imap.logout()

    with open(noted_boot, "w") as file:
        file.write("another boot\n")
    imap = server.imap("alice")
    imap.select("INBOX")
    assert names(imap) == ["INBOX", "work", "work/2026"]
    assert imap.select('"work/2026"')[1] == [b"1"]
    assert imap.fetch("1", "BODY[]")[1][0][1] == b"Subject: kept\r\n\r\nbody\r\n"
    imap.logout()
