"""The Debian packages in a chroot with the system's Dovecot: installed, in use, upgraded, removed, purged, installed again.

Run by packaging/test-deb, which prepares what $LBOX_DEB_TEST (the chroot) and $LBOX_DEBS (the packages) name. The tests follow upon each
other on one host, where dpkg restarts Dovecot as it does on any: by the trigger that Debian's dovecot-core has on /usr/lib/dovecot/modules.
"""
# ctest: timeout=900

import glob
import imaplib
import os
import re
import shutil
import smtplib
import subprocess

import pytest

from support.beside import until
from support.host import Host
from support.host_mail import PASSWORD, deliver, imap, subjects
from support.host_packages import FILES, GATES, append, enable, load, operators_own

ROOT = os.environ.get("LBOX_DEB_TEST")
DEBS = os.environ.get("LBOX_DEBS", "")
PACKAGES = ("dovecot-lbox", "dovecot-hosting")
DOVECOT = ("dovecot-core", "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd", "dovecot-sieve", "dovecot-managesieved")
NEXT = "9.0.0"
APT = ("apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root")

pytestmark = pytest.mark.skipif(ROOT is None, reason="run by packaging/test-deb: it needs chroots and some minutes")


def repack(package, folder, change):
    """A package with another control file, which change(text) gives; its path."""
    work = os.path.join(folder, "work")
    subprocess.run(["dpkg-deb", "-R", package, work], check=True)
    control = work + "/DEBIAN/control"
    with open(control, encoding="utf-8") as file:
        text = change(file.read())
    with open(control, "w", encoding="utf-8") as file:
        file.write(text)
    made = os.path.join(folder, re.sub(r"_.*_", "_%s_" % re.search(r"^Version: (.*)", text, re.MULTILINE).group(1).replace(":", "."), os.path.basename(package)))
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", "-Znone", work, made], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(work)
    return made


class Machine:
    """The host, and what the tests know of it."""

    def __init__(self, host):
        self.host = host
        version = subprocess.run(["chroot", ROOT, "dovecot", "--version"], capture_output=True, text=True, check=True).stdout
        self.series = re.match(r"2\.\d", version).group(0)

    def put(self, package):
        """Copies a package onto the host; its path there."""
        os.makedirs(self.host.path("/root/debs"), exist_ok=True)
        shutil.copy(package, self.host.path("/root/debs"))
        return "/root/debs/" + os.path.basename(package)

    def newest(self):
        """What put() has copied of the newer version."""
        return sorted("/root/debs/" + os.path.basename(path) for path in glob.glob(self.host.path("/root/debs/*_%s_*" % NEXT)))

    def apt(self, *arguments, check=True):
        return self.host.run("env", "DEBIAN_FRONTEND=noninteractive", *APT, *arguments, check=check)

    def restarted(self, *arguments):
        """apt, upon which dpkg's trigger starts Dovecot anew, which is then up."""
        since = len(self.host.log_text())
        done = self.apt(*arguments)
        self.host.await_log(r"starting up for .*imap", since)
        assert self.host.run("doveadm", "service", "status", "imap", check=False).code == 0
        return done.text + done.err

    def control(self, action):
        since = len(self.host.log_text())
        self.host.run("/etc/init.d/dovecot", action)
        self.host.await_log(r"starting up for ", since)

    def status(self, package):
        return self.host.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package, check=False).text.split()

    def mail(self):
        """Every file of the store, with what it holds, but for what is written at each opening."""
        found = {}
        for where, _, names in os.walk(self.host.path("/home/ann/lbox/store")):
            for name in names:
                if name not in ("lock", "index.1-lock"):
                    with open(os.path.join(where, name), "rb") as file:
                        found[name] = file.read()
        return found

    def subjects(self):
        with imap(self.host, "ann") as session:
            return subjects(session)


@pytest.fixture(scope="module")
def machine():
    with Host(overlay=ROOT) as host:
        host.boot()
        host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", mode=0o755)  # services start here as on any host
        machine = Machine(host)
        operators_own(host, machine.series)
        machine.control("start")
        yield machine
        machine.host.run("sh", "-c", "kill $(cat /run/dovecot/master.pid)", check=False)


def test_installing_changes_nothing(machine):
    host = machine.host
    deliver(host, "ann", "in mbox")
    before = host.run("doveconf", "-n")
    debs = [machine.put(path) for name in PACKAGES for path in glob.glob("%s/%s_*.deb" % (DEBS, name))]
    said = machine.restarted("install", "--no-install-recommends", *debs)
    assert not re.search(r"(?i)error|warning: (?!Download is performed)", said), said
    for package in PACKAGES:
        assert machine.status(package)[0] == "installed"
        # md5sums of all files, and the conffiles as they came
        assert host.run("dpkg", "--verify", package).text == ""
    after = host.run("doveconf", "-n")
    assert (after.out, after.err) == (before.out, "")
    assert machine.subjects() == ["in mbox"]
    for name in (*FILES, *GATES):
        assert os.stat(host.path(name)).st_mode & 0o777 == 0o644
    assert host.run("id", "-u", "hosting-web").code == 0
    assert not host.complaints()


def test_in_use(machine):
    host = machine.host
    enable(host, machine.series)
    machine.control("restart")
    until(lambda: host.run("doveadm", "hosting", "status", check=False).code == 0, "hosting-usage does not answer")
    deliver(host, "ann", "first")
    with imap(host, "ann") as session:
        assert subjects(session) == ["first"]
        assert re.fullmatch(rb"Package \(STORAGE [1-9]\d? 100\)", session.getquota("Package")[1][0])
    assert host.run("doveadm", "lbox", "verify", "-u", "ann").code == 0
    assert host.run("doveadm", "hosting", "config", "check").code == 0
    assert not [line for line in host.complaints() if "policy.logins: No such file" not in line]


def test_upgrade(machine, tmp_path):
    """A session that is open meanwhile goes on with the old modules, beside those with the new ones."""
    host = machine.host
    host.write("/etc/dovecot/local.conf", "shutdown_clients = no\n")
    machine.control("restart")
    append(host, "/etc/dovecot/lbox.conf", "# the operator's remark\n")
    with host.network():
        session = imaplib.IMAP4("127.0.0.1", timeout=60)
    session.login("ann", PASSWORD)
    assert subjects(session) == ["first"]
    debs = [machine.put(repack(path, str(tmp_path), lambda text: re.sub(r"(?m)^Version: .*", "Version: " + NEXT, text)))
            for name in PACKAGES for path in glob.glob("%s/%s_*.deb" % (DEBS, name))]
    machine.restarted("install", *debs)
    assert [machine.status(package) for package in PACKAGES] == [["installed", NEXT]] * 2
    assert "the operator's remark" in host.read("/etc/dovecot/lbox.conf")
    deliver(host, "ann", "second")
    session.noop()
    assert subjects(session) == ["first", "second"]
    assert session.store("1", "+FLAGS", "(\\Flagged)")[0] == "OK" and session.copy("1", "INBOX")[0] == "OK"
    assert machine.subjects() == ["first", "second", "first"]
    session.logout()
    assert host.run("doveadm", "lbox", "verify", "-u", "ann").code == 0


@pytest.mark.parametrize("abi", ["same", "another"])
def test_dovecot_of_another_version(machine, tmp_path, abi):
    """apt never puts it beside modules for the one before, whatever the ABI is called; `upgrade` keeps it back."""
    host = machine.host
    repository = host.path("/root/repository-" + abi)
    os.mkdir(repository)
    packages = ""
    for name in DOVECOT:
        source, = glob.glob("%s/dovecot/%s_*.deb" % (DEBS, name))
        own = subprocess.run(["dpkg-deb", "-f", source, "Version"], capture_output=True, text=True, check=True).stdout.strip()

        def newer(text, own=own):
            text = text.replace(own, own + "+newer")
            return text if abi == "same" else re.sub(r"dovecot-abi-(2\.\d)\.abiv\d+", r"dovecot-abi-\1.abiv99", text)
        path = shutil.move(repack(source, str(tmp_path), newer), repository)
        control = subprocess.run(["dpkg-deb", "-f", path], capture_output=True, text=True, check=True).stdout
        packages += "%sFilename: ./%s\nSize: %d\n\n" % (control, os.path.basename(path), os.path.getsize(path))
    host.write("/root/repository-%s/Packages" % abi, packages)
    host.write("/etc/apt/sources.list", "deb [trusted=yes] file:/root/repository-%s ./\n" % abi)
    shutil.rmtree(host.path("/etc/apt/sources.list.d"), ignore_errors=True)
    machine.apt("update")
    try:
        upgrade = machine.apt("upgrade", "-s").text
        assert "Inst dovecot" not in upgrade and re.search(r"kept back:\n.*dovecot-core", upgrade), upgrade
        for command in (("dist-upgrade", "-s"), ("install", "-s", "dovecot-core")):
            text = machine.apt(*command, check=False).text
            if "Inst dovecot-core" in text:
                assert re.search(r"Remv dovecot-lbox ", text) and re.search(r"Remv dovecot-hosting ", text), text
    finally:
        host.write("/etc/apt/sources.list", "")
        machine.apt("update")


def test_package_for_another_abi(machine, tmp_path):
    source, = glob.glob(DEBS + "/dovecot-lbox_*.deb")
    other = machine.put(repack(source, str(tmp_path), lambda text: re.sub(r"abiv\d+", "abiv99", re.sub(r"(?m)^Version: .*", "Version: 9.9", text))))
    said = machine.apt("install", other, check=False)
    print(said.err)
    assert said.code == 100 and re.search(r"dovecot-lbox : Depends: dovecot-abi-2\.\d\.abiv99", said.text + said.err), said
    assert machine.status("dovecot-lbox") == ["installed", NEXT] and machine.subjects()


def test_removed(machine):
    """Dovecot runs without, users on lbox get a temporary failure, nothing touches the mail."""
    host = machine.host
    before = machine.mail()
    since = len(host.log_text())
    machine.restarted("remove", *PACKAGES)
    assert machine.status("dovecot-lbox")[0] == machine.status("dovecot-hosting")[0] == "config-files"
    shown = host.run("doveconf", "-n")
    assert not shown.err and "hosting" not in shown.text
    refused(machine)
    host.await_log(r"(?i)unknown mail(box)? (storage )?driver|.*lbox", since)
    print("\n".join(host.complaints(since)))
    assert machine.mail() == before


def refused(machine):
    host = machine.host
    with pytest.raises(smtplib.SMTPException) as answer:
        deliver(host, "ann", "meanwhile")
    assert re.search(r"\(4\d\d, ", str(answer.value)), answer.value
    with pytest.raises(imaplib.IMAP4.error), imap(host, "ann") as session:
        session.select("INBOX")
        session.noop()
    assert host.read("/var/mail/ann").count("\nSubject: ") == 1, "delivered elsewhere"


def test_installed_again(machine):
    machine.restarted("install", "--no-install-recommends", *machine.newest())
    assert machine.subjects() == ["first", "second", "first"]
    deliver(machine.host, "ann", "again")
    assert machine.subjects()[-1] == "again"
    assert machine.host.run("doveadm", "hosting", "usage", "ann").code == 0


def test_purged(machine):
    """The same, and no configuration of the packages is left; with them installed again and enabled, the mail is there."""
    host = machine.host
    machine.apt("remove", "dovecot-hosting")  # one alone
    assert machine.subjects()[-1] == "again"
    before = machine.mail()
    machine.restarted("purge", *PACKAGES)
    assert machine.status("dovecot-lbox")[:1] in ([], ["not-installed"])
    left = host.run("find", "/etc", "/usr", "/var/lib", "(", "-name", "*lbox[-_.]*", "-o", "-name", "*hosting*", ")", "-not", "-iname", "*mailbox*").text.split()
    assert sorted(left) == ["/etc/dovecot/hosting.toml", "/var/lib/dovecot/hosting"], left
    machine.control("restart")
    refused(machine)
    assert machine.mail() == before
    machine.restarted("install", "--no-install-recommends", *machine.newest())
    load(host)
    machine.control("restart")
    assert machine.subjects()[-1] == "again"
    assert host.run("doveadm", "lbox", "verify", "-u", "ann").code == 0


def test_programs_of_the_other_series_do_not_start(machine, tmp_path):
    """The loader says why, or the program does."""
    others = glob.glob(os.path.join(DEBS, "other", "dovecot-hosting_*.deb"))
    if not others:
        pytest.skip("only one series was built")
    subprocess.run(["dpkg-deb", "-x", others[0], str(tmp_path)], check=True)
    for name in ("hosting-usage", "hosting-recount", "hosting-warn", "hosting-webmeter"):
        shutil.copy(tmp_path / "usr/lib/dovecot" / name, machine.host.path("/root"))
        done = machine.host.run("/root/" + name, check=False)
        print(done.code, done.err)
        assert done.code in (1, 127) and re.search("error while loading shared libraries|version `.*' not found", done.err) or (
            done.code == 89 and re.search(name + r" is for different ABI version 2\.\d\.ABI", done.err)), (name, done)
