"""docs/security.md: who runs with which privileges, who may read what is made, and what stays out of the log.

The tables of that page are compared with what /proc and the files say.
"""
# ctest: timeout=300 labels=quota

import base64
import os
import pwd
import re
import socket
import stat

import pytest

from support.beside import DATE, imap, lmtp, message, pop3, until
from support.docs import read
from support.hosting import METER_UID, SERVICE_USER, Hosting
from support.packs import records
from support.server import HOST, TIMEOUT

VIRTUAL, CUSTOMERS = 5000, {"ann@own.example": 5001, "bob@other.example": 5002}
POLICY = """
[package.small]
limit = "300k"
[package.pop]
imap = "deny"
pop3_retention = { days = 14, notice_days = 0, unretrieved = "delete" }
[account.small]
package = "small"
domains = ["small.example"]
web_roots = ["%s"]
[account.pop]
package = "pop"
domains = ["pop.example"]
[account.ann]
package = "small"
domains = ["own.example"]
uid = 5001
[account.bob]
package = "small"
domains = ["other.example"]
uid = 5002
"""
PASSDB = {"2.3": "passdb {\n  driver = hosting\n  args = @base@/hosting/policy.logins\n}\npassdb {\n  driver = static\n  args = password=%s\n}\n",
          "2.4": "passdb hosting {\n}\nhosting_login_table = @base@/hosting/policy.logins\npassdb static {\n  password = %s\n}\n"}
# None of these may come into a log. The password comes as SASL PLAIN, too.
PASSWORD = "Marker-Password-1"
WRONG = "Marker-Wrong-2"
MARKERS = ["Marker-Body-3", "Marker-Subject-4", "Marker-Header-5", "Marker-Spoilt-6", "Marker-Refused-7", PASSWORD, WRONG]
DEBUG = "mail_debug = yes\nauth_debug = yes\n"
NO_PENALTY = "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"  # of failed logins; 2.4 has another
CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "SETGID": 6, "SETUID": 7, "SYS_CHROOT": 18}


class Site(Hosting):
    def __init__(self, server_factory, web):
        super().__init__(server_factory, "lbox", POLICY % web, web=True, imap_plugins=("imap_hosting",),
                         warn="--sendmail /bin/true", passdbs={series: text % PASSWORD for series, text in PASSDB.items()},
                         users=_Everybody(), after={"2.3": DEBUG + NO_PENALTY, "2.4": DEBUG},
                         userdb_text={"2.3": "userdb {\n  driver = passwd-file\n  args = username_format=%%u %s/people\n}\n" % web,
                                                          "2.4": "userdb passwd-file {\n  passwd_file_path = %s/people\n  auth_username_format = %%{user}\n}\n" % web})
        self.server.allow_log("hosting: login table .*: No such file")
        self.await_service()
        with open(web + "/people", "w", encoding="ascii") as file:
            for user in ("ann@small.example", "bob@small.example", "eve@pop.example", "hurt@free.example"):
                file.write("%s::%d:%d::%s::\n" % (user, VIRTUAL, VIRTUAL, self.server.user_home(user)))
            for user, uid in CUSTOMERS.items():
                os.mkdir(self.server.user_home(user), 0o755)  # open to all, as some systems make homes
                os.chown(self.server.user_home(user), uid, uid)
                file.write("%s::%d:%d::%s::\n" % (user, uid, uid, self.server.user_home(user)))


class _Everybody(dict):
    """Users whose passwords only the passdb above knows."""

    def __missing__(self, user):
        return PASSWORD


@pytest.fixture(scope="module")
def site(module_server_factory, tmp_path_factory):
    umask = os.umask(0o022)  # what Debian's services begin with
    web = "/run/lbox-security-%d" % os.getpid()
    os.mkdir(web, 0o755)
    try:
        site = Site(module_server_factory, web)
        work(site)
        yield site
    finally:
        os.umask(umask)
        for name in os.listdir(web):
            os.unlink(web + "/" + name)
        os.rmdir(web)


def marked(name, size=2000):
    data = message("Marker-Subject-4 " + name, lines=("Marker-Body-3",), header=("X-Note: Marker-Header-5",))
    return data + b"more of it\r\n" * (size // 12)


def work(site):
    """A bit of everything: deliveries, refusals, removals, retention, damage, repair, failed logins."""
    server = site.server
    server.allow_log(r"Error: .*lbox: ", r"Warning: .*lbox: repair", r"auth.*(Warning|Error)")
    with lmtp(server) as delivery:
        for user in ("ann@small.example", "eve@pop.example", "hurt@free.example", *CUSTOMERS):
            delivery.deliver([user], marked("to " + user))
        (reply,) = delivery.try_deliver("ann@small.example", marked("Marker-Refused-7", 400_000))
        assert not reply.ok and b"does not fit" in reply.text, reply
        delivery.deliver(["bob@small.example"], marked("large", 3000) + base64.encodebytes(os.urandom(150_000)).replace(b"\n", b"\r\n"))
    for user in ("ann@small.example", "ann@own.example"):
        with imap(server, user) as session:
            session.ok("CREATE Folder")
            session.append("Folder", marked("appended"), (), DATE).expect_ok()
            session.select("INBOX")
            session.ok("COPY 1 Folder")
            session.ok("STORE 1 +FLAGS (\\Deleted Marker)")
            session.ok("EXPUNGE")
    with pop3(server, "eve@pop.example") as client:
        client.retr(1)
        client.dele(1)
    for login in (lambda: server.imap("bob@small.example", WRONG), lambda: server.imap("eve@pop.example", PASSWORD)):
        with pytest.raises(Exception):
            login()
    with socket.create_connection((HOST, server.imap_port)) as connection:
        connection.settimeout(TIMEOUT)
        assert b"OK" in connection.recv(4096)
        connection.sendall(b"a AUTHENTICATE PLAIN " + base64.b64encode(b"\0bob@small.example\0" + WRONG.encode()) + b"\r\n")
        assert b"a NO" in connection.recv(4096)
    until(lambda: not server.pids("imap", "pop3"), "sessions do not end")
    spoil(server, "hurt@free.example")
    with imap(server, "hurt@free.example") as session:
        session.append("INBOX", message("Marker-Spoilt-6", lines=("Marker-Body-3",)), (), DATE).expect_ok()
        session.select("INBOX")
        assert session.command("UID FETCH 1 BODY.PEEK[]").status == "NO"
        session.command("UID SEARCH BODY Marker-Body-3")
    until(lambda: not server.pids("imap"), "imap does not end")
    server.doveadm("lbox", "verify", user="hurt@free.example", check=False)
    server.doveadm("lbox", "repair", user="hurt@free.example")
    server.doveadm("force-resync", "*", user="hurt@free.example")
    server.doveadm("hosting", "retention", "run", "eve@pop.example")
    site.doveadm("hosting", "recalc", "ann@small.example", check=False)
    site.doveadm("hosting", "recalc", "small", check=False)


def spoil(server, user):
    record = next(iter(records(server.mail_root(user) + "/store")))
    with open(record.path, "r+b") as file:
        file.seek(record.frames_at + record.header_stored + 20)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0xFF]))


def table(heading):
    """The rows of the first table below a heading of docs/security.md, cells without their backticks."""
    text = read("security.md")
    lines = text[text.index("\n## %s\n" % heading):].splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = []
    for line in lines[begin + 1:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def status_of(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def number_of(name, site):
    """The uid that the documentation calls so."""
    return {"root": 0, "the internal user": pwd.getpwnam(SERVICE_USER).pw_uid, "`--user`": METER_UID, "the mail user": VIRTUAL}[name]


def wake(site, name):
    """Has a service started that only runs while it is asked."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("%s/run/%s" % (site.server.base, name))
    return connection


def test_privileges(site):
    server = site.server
    keep = [wake(site, "hosting-recount"), wake(site, "hosting-warn")]
    with imap(server, "ann@small.example"), pop3(server, "eve@pop.example"):
        for name, uid, capabilities, no_new, _ in table("Privileges"):
            name = name.strip("`")
            pids = until(lambda name=name: server.pids(name), "%s does not run" % name)
            status = status_of(pids[0])
            uids = status["Uid"].split()
            # One of root's may still have the effective uid of the last user whom it became.
            assert uids[:1] == ["0"] if uid == "root" else set(uids) == {str(number_of(uid, site))}, (name, uids)
            if capabilities != "all":
                mask = sum(1 << CAPABILITIES[word] for word in re.findall(r"[A-Z_]{4,}", capabilities))
                found = {key: int(status[key], 16) for key in ("CapEff", "CapPrm", "CapAmb")}
                if no_new == "yes":
                    found["CapInh"] = int(status["CapInh"], 16)  # 2.4's master has some; without a program to run they are of no use
                assert not any(value & ~mask for value in found.values()) and not found["CapAmb"] and not found.get("CapInh"), (name, found)
                assert mask == 0 or found["CapPrm"] & mask, (name, found)
            assert status["NoNewPrivs"] == {"yes": "1", "no": "0"}[no_new], name
            if uid != "root":
                assert not set(status["Groups"].split()) & {"0"}, (name, status["Groups"])
    for connection in keep:
        connection.close()


def test_a_customers_session_runs_as_the_customer(site):
    with imap(site.server, "ann@own.example"):
        (pid,) = site.server.pids("imap")
        status = status_of(pid)
        assert status["Uid"].split() == ["5001"] * 4 and status["Gid"].split() == ["5001"] * 4
        assert int(status["CapPrm"], 16) == 0


def owners(name, path):
    if name == "the mail user":
        user = re.search(r"/home/([^/]+)", path)
        return CUSTOMERS.get(user.group(1), VIRTUAL) if user else VIRTUAL
    return {"the internal user": pwd.getpwnam(SERVICE_USER).pw_uid, "root": 0}[name]


def everything(folder):
    for where, folders, files in os.walk(folder):
        for name in folders + files:
            yield os.path.join(where, name)


def test_files_and_sockets(site):
    """Each file that is made is in the table, with that owner and mode, and each row of the table is met."""
    server = site.server
    rows = [(re.compile("|".join(_pattern(part) for part in re.findall("`([^`]+)`", row[0]))), row[1], int(row[2], 8), row[0])
            for row in table("Files and sockets")]
    met, wrong = set(), []
    places = [(server.base + "/home/", "home/"), (site.state + "/", "STATE/"), (server.base + "/run/", "run/")]
    for folder, short in places:
        for path in everything(folder):
            name = short + re.sub(r"^[^/]+", "USER", path[len(folder):]) if short == "home/" else short + path[len(folder):]
            if short == "run/" and not os.path.basename(path).startswith("hosting-"):
                continue  # Dovecot's own
            if short == "home/" and "/" not in path[len(folder):]:
                continue  # a home: made by whoever makes the user
            row = next((row for row in rows if row[0].fullmatch(name)), None)
            if row is None:
                wrong.append("%s: not in the table" % name)
                continue
            met.add(row[3])
            info = os.lstat(path)
            if stat.S_IMODE(info.st_mode) != row[2]:
                wrong.append("%s: mode %04o, not %04o" % (name, stat.S_IMODE(info.st_mode), row[2]))
            if info.st_uid != owners(row[1], path):
                wrong.append("%s: uid %d, not %s" % (name, info.st_uid, row[1]))
    assert not wrong, "\n".join(wrong)
    missed = [row[3] for row in rows if row[3] not in met and "now and then" not in row[3]]
    assert not missed, missed


def _pattern(text):
    return re.escape(text).replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace("…", ".*")


def test_customers_cannot_read_each_other(site):
    home = site.server.user_home("ann@own.example")
    assert os.path.isdir(home + "/lbox/store")
    for path in [home + "/lbox", home + "/lbox/store", *everything(home)]:
        for uid in (5002, VIRTUAL, METER_UID):
            pid = os.fork()
            if pid == 0:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
                try:
                    os.listdir(path) if os.path.isdir(path) else open(path, "rb").close()
                except (PermissionError, FileNotFoundError, NotADirectoryError):
                    os._exit(0)
                os._exit(1)
            assert os.waitpid(pid, 0)[1] == 0, "%s is open to uid %d" % (path, uid)


def test_no_secret_and_no_mail_in_the_log(site):
    text = site.server.log_text()
    # That much is logged, and all of it was logged.
    for wanted in ("Debug: ", "wrong hash of the body", "hurt@free.example", "login denied", "Refused: "):
        assert wanted in text, wanted
    encoded = [base64.b64encode(b"\0bob@small.example\0" + word.encode()).decode() for word in (PASSWORD, WRONG)]
    for marker in MARKERS + encoded:
        lines = [line for line in text.splitlines() if marker.lower() in line.lower()]
        assert not lines, lines[:3]


def test_what_journals_keep(site):
    """Of mail they keep what docs/security.md says: Message-IDs, and no subjects or bodies."""
    found = b""
    for user in ("ann@small.example", "eve@pop.example", "hurt@free.example"):
        for path in everything(site.server.user_home(user)):
            if re.search(r"hosting|report\.txt", os.path.basename(path)) and os.path.isfile(path):
                with open(path, "rb") as file:
                    found += file.read()
    for where in (site.state,):
        for path in everything(where):
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    data = file.read()
                assert b"Marker" not in data, path
    assert b"@beside.lbox.example>" in found
    for marker in ("Marker-Body-3", "Marker-Header-5", PASSWORD):
        assert marker.encode() not in found
    assert not re.search(rb"Marker-Subject-4 ", found)
