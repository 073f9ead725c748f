"""Mail for migrations, and the doveadm commands that move it.

"doveadm backup" and "sync" take the other storage on the command line. Both series accept "driver:path"; what is beyond the
path differs: 2.3 appends it as in mail_location (maildir:~/Maildir:LAYOUT=fs), 2.4 refuses a second colon and takes settings
as -p options (-p mailbox_list_layout=fs maildir:~/Maildir). Settings of the user's own storage never apply to the other one
(2.4 resets mail_driver, mail_path, mail_index_path, mailbox_list_layout and their like), those of its namespaces do.

A command in place of the storage is a transport of its own: a dsync-server that this dsync talks to over a pipe. Unlike the
in-process one it carries saved dates.
"""

import os
import shlex

from . import modified_utf7
from .deliveries import KEYWORDS, by_append
from .compare import Side
from .message_kit import rng
from .messages import normal_messages, own_messages
from .snapshot import quoted
from .wire import Imap, uid_set

# No "%" in them: a second dsync stumbles over that, whatever the storages.
USUAL = ("Archive", "Archive/2023/Q4", "Sent", "Grüße", "日本語/受信箱", "R&D", "with space", 'quo"te', "back\\slash", "-", "a~b",
         "INBOX/below", "x" * 120)
DOTTED = ("v1.2", "trailing.dot.", "Archive/v1.2/notes.txt")  # Maildir++ cannot hold these
SUBSCRIBED = ("INBOX", "Archive/2023/Q4", "Grüße", "R&D", "not there")


def location(series, driver, path, layout=None):
    """Arguments of doveadm backup and sync that name another storage."""
    if layout is None:
        return [driver + ":" + path]
    if series == "2.3":
        return ["%s:%s:LAYOUT=%s" % (driver, path, layout)]
    return ["-p", "mailbox_list_layout=" + layout, driver + ":" + path]


def over_pipe(server, user):
    """The same for another server's user, through a dsync-server of that server."""
    # The environment is as bare as ssh's: 2.3 keeps settings in it, which the other doveadm would take for its own.
    # dsync adds "dsync-server" at the end of the command, where it becomes the shell's $0.
    command = [*server.prefix_command, "doveadm", "-c", server.config_file, "dsync-server", "-u", user]
    return ["env", "-i", "PATH=" + os.environ["PATH"], "sh", "-c", "exec " + shlex.join(command)]


def connect(server, user):
    return Imap(port=server.imap_port, user=user, password=server.password(user))


def fill(server, user, more_names=()):
    """Mail as it gets over the years: gaps in UIDs, flags and keywords of all kinds, changed ones too, folders."""
    side = Side(server, user)
    messages = [m for m in own_messages() if not m[1].endswith(b"\r")]  # dsync drops such a CR, whatever the storage
    by_append(side, messages[::6] + [m for m in messages if len(m[1]) > 300_000][:3])
    for number, data in enumerate(normal_messages(6, seed=user)):
        server.deliver(user, data.replace(b"\r\n", b"\r\nX-Number: %d\r\n" % number, 1))
    with connect(server, user) as imap:
        state = imap.select("INBOX", parameters="(CONDSTORE)")
        last = state[b"UIDNEXT"] - 1
        r = rng("fill")
        imap.ok("UID STORE", uid_set(r.sample(range(1, last), last // 5)), "+FLAGS.SILENT", "(\\Deleted)")
        imap.ok("UID STORE", b"%d" % last, "+FLAGS.SILENT", "(\\Deleted)")  # so the next UID is not the last one's plus one
        imap.ok("EXPUNGE")
        left = imap.search("ALL")
        for flag in ("\\Seen", "\\Answered", "\\Flagged", *KEYWORDS, "NonJunk"):
            imap.ok("UID STORE", uid_set(r.sample(left, len(left) // 6)), r.choice(("+FLAGS.SILENT", "-FLAGS.SILENT")), "(%s)" % flag)
        for number, name in enumerate(USUAL + tuple(more_names)):
            imap.ok("CREATE", quoted(name))
            if number % 3 != 2:
                imap.ok("UID COPY", uid_set(left[number:number + 5]), quoted(name))
                imap.append(modified_utf7.encode(name), b"Subject: in folder %d\r\n\r\n%s\r\n" % (number, b"line\r\n" * number),
                            flags=("\\Draft", "only%d" % number)).expect_ok()
        _raise_modseqs(imap, [name for n, name in enumerate(USUAL + tuple(more_names)) if n % 3 != 2], r)
        imap.ok("DELETE", quoted("-"))
        imap.ok("CREATE", quoted("-"))
        imap.ok("RENAME", quoted("a~b"), quoted("a~/b"))
        for name in SUBSCRIBED:
            if name == "not there":
                imap.ok("CREATE", quoted(name))
            imap.ok("SUBSCRIBE", quoted(name))
        imap.ok("DELETE", quoted("not there"))


def _raise_modseqs(imap, names, r):
    """Gives every message a modseq as after years of use.

    A storage may keep modseqs that come with messages only where they are above what saving itself counts up to: a
    modseq for each record in the index log.
    """
    for name, steps in [("INBOX", 500)] + [(name, 60) for name in names]:
        imap.select(modified_utf7.encode(name))
        uids = imap.search("ALL")
        tags = [imap.send("UID STORE %d %sFLAGS.SILENT (\\Answered)" % (uids[0], "+-"[n % 2])) for n in range(steps)]
        for tag in tags:
            imap.wait(tag).expect_ok()
        r.shuffle(uids)
        while uids:
            some, uids = uids[:4], uids[4:]
            for sign in "+-":
                imap.ok("UID STORE", uid_set(some), sign + "FLAGS.SILENT", "(touched)")


def change(server, user, mark, first):
    """Changes of all kinds, others on each side when `mark` and `first` (0 or 1) differ."""
    for number in range(first + 1):  # as many on both sides, and dsync could take the mailboxes for unchanged
        server.deliver(user, b"Subject: new %d on %s\r\n\r\nby LMTP\r\n" % (number, mark.encode()))
    with connect(server, user) as imap:
        state = imap.select("INBOX", parameters="(CONDSTORE)")
        assert state[b"EXISTS"] > 20
        uids = imap.search("ALL")
        mine, mail = uids[first::2], uids[:-1]
        imap.append("INBOX", b"Subject: appended on %s\r\n\r\n\r\n" % mark.encode(), ("\\Seen", mark)).expect_ok()
        imap.ok("UID STORE", uid_set(mine[:4]), "+FLAGS.SILENT", "(\\Flagged added-%s)" % mark)
        imap.ok("UID STORE", uid_set(mine[4:6]), "FLAGS.SILENT", "(replaced-%s)" % mark)
        imap.ok("UID STORE", uid_set(mine[6:8]), "+FLAGS.SILENT", "(\\Deleted)")
        imap.ok("UID EXPUNGE", uid_set(mine[6:8]))
        imap.ok("CREATE", quoted("made on %s/Ünder" % mark))
        imap.ok("UID COPY", uid_set(mail[-3:]), quoted("made on %s/Ünder" % mark))
        imap.ok("RENAME", quoted(("Sent", "with space")[first]), quoted("renamed on " + mark))
        imap.ok("DELETE", quoted(('quo"te', "back\\slash")[first]))
        imap.ok("SUBSCRIBE", quoted("made on %s/Ünder" % mark))
        imap.ok("UNSUBSCRIBE", quoted(("R&D", "Grüße")[first]))


def courier_maildir(path, messages, owner, uidvalidity=1_111_111_111, guid="0123456789abcdef0123456789abcdef"):
    """A Maildir as a conversion from Courier leaves it: POP3 UIDLs of the old server in dovecot-uidlist, UIDs with gaps.

    Returns [(uid, UIDL, file name)] in order.
    """
    for folder in ("cur", "new", "tmp"):
        os.makedirs("%s/%s" % (path, folder))
    rows = []
    for number, data in enumerate(messages):
        uid = 10 + number * 3
        name = "%d.M%dP77.old.example.com,S=%d" % (1_300_000_000 + number, number, len(data))
        with open("%s/cur/%s:2,%s" % (path, name, "S" if number % 2 else ""), "wb") as file:
            file.write(data)
        os.utime(file.name, (1_300_000_000 + number,) * 2)
        rows.append((uid, "UID%d-%d" % (uid, uidvalidity - 1), name))
    with open(path + "/dovecot-uidlist", "w", encoding="ascii") as file:
        file.write("3 V%d N%d G%s\n" % (uidvalidity, rows[-1][0] + 5, guid))
        file.writelines("%d P%s :%s\n" % row for row in rows)
    for folder, _, files in os.walk(path):
        for entry in [folder] + [os.path.join(folder, name) for name in files]:
            os.chown(entry, owner, owner)
    return rows
