"""Modules that were built for another ABI of Dovecot's, or for another build of the same: refused with a message that says so.

Nothing crashes, no mail is lost. Debian's packages depend on Dovecot's exact version; this is what is left when someone copies files.
"""
# ctest: timeout=300

import functools
import imaplib
import os
import re
import shutil
import smtplib
import subprocess
import tempfile

import pytest

from support.beside import until
from support.host import LIBRARIES, Host, installed_libraries
from support.host_mail import deliver, imap
from support.host_packages import enable, installed
from support.server import SERIES

# What the versions of modules and programs look like that are not for this Dovecot.
OTHER = {
    "abi": r"2\.\d\.ABIv9+\S*",
    "build": r"2\.\d\.ABIv\d+ of another build of Dovecot \([\w.-]+ [0-9a-f]{12}, here [0-9a-f]{12}\): "
             r"install the lbox package for the Dovecot that is running, or build lbox again",
}
MESSAGE = r"Couldn't load (required )?plugin %s/modules/%s: Module is for different ABI version %s \(we have 2\.\d\.ABIv[0-8]\S*\)"
PROGRAM = {
    "abi": r" is for different ABI version " + OTHER["abi"] + r" \(Dovecot has 2\.\d\.ABIv[0-8]\S*\): install the package for it",
    "build": r" is for different ABI version " + OTHER["build"],
}


def refusal(kind, name):
    return MESSAGE % (LIBRARIES, re.escape(name), OTHER[kind])


def for_another(kind, data, objects=r"[\w-]+"):
    """The same module for ABI 9 or 99, or for libraries and programs with other build-ids."""
    if kind == "abi":
        return re.sub(rb"(2\.[34]\.ABIv)(\d+)(?=[(\0])", lambda found: found[1] + b"9" * len(found[2]), data)
    return re.sub(rb"LBOX-BUILT-FOR:[^\0]+", lambda ids: re.sub(
        rb"(?<=[:,])(%s=)(.)" % objects.encode(), lambda found: found[1] + (b"0" if found[2] != b"0" else b"1"), ids[0]), data)


def fake(folder, wanted, kind, **options):
    """Has the modules and programs whose path matches say that they are for another Dovecot; their names."""
    names = []
    for where, _, files in os.walk(folder):
        for file in files:
            path = os.path.join(where, file)
            name = os.path.relpath(path, folder)
            if re.search(wanted, name) and not os.path.exists(os.path.join(LIBRARIES, name)):
                with open(path, "rb") as stream:
                    data = stream.read()
                faked = for_another(kind, data, **options)
                assert faked != data and len(faked) == len(data), name
                replace(path, faked)
                names.append(name)
    return names


def replace(path, data):
    """Not in place: it is a link to what others use, and processes may have it loaded."""
    os.unlink(path)
    with open(path, "wb") as stream:
        stream.write(data)
    os.chmod(path, 0o755)


def put_back(folder, names):
    for name in names:
        with open(os.path.join(installed_files(), name), "rb") as stream:
            replace(os.path.join(folder, name), stream.read())


def restart(host):
    """Where in the log the new one begins."""
    host.stop()
    since = len(host.log_text())
    host.start()
    return since


@functools.cache
def installed_files():
    return installed_libraries()


@pytest.fixture(scope="module", params=sorted(OTHER))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def host(kind):
    folder = tempfile.mkdtemp(prefix="lbox-abi-", dir=os.environ.get("LBOX_TMP", "/tmp"))
    try:
        os.chmod(folder, 0o755)
        subprocess.run(["cp", "-al", installed_files() + "/.", folder], check=True)
        with Host(libraries=folder) as host:
            installed(host)
            enable(host)
            yield host.start()  # no service that loads the modules has run yet
    finally:
        shutil.rmtree(folder)


def test_programs(host, kind):
    """Dovecot does not ask them: they say so themselves, whoever starts them."""
    names = fake(host.libraries, r"^hosting-", kind)
    assert len(names) == 4
    for name in names:
        done = host.run(LIBRARIES + "/" + name, check=False)
        assert done.code == 89 and re.fullmatch(name + PROGRAM[kind] + "\n", done.err), done
    since = restart(host)

    def logged():
        host.run("doveadm", "hosting", "status", check=False)  # has Dovecot start it once more
        return re.search("hosting-usage: Error: hosting-usage" + PROGRAM[kind], host.log_text()[since:])
    until(logged, "the program's words do not reach the log")
    assert "killed with signal" not in host.log_text()


def test_plugins(host, kind):
    """imap, lmtp and doveadm; what is in auth and config goes on."""
    deliver(host, "ann", "kept")
    names = fake(host.libraries, r"lib\d\d_", kind)
    assert len(names) == 5
    since = restart(host)
    with pytest.raises(smtplib.SMTPException) as refused:
        deliver(host, "ann", "to another ABI")
    assert temporary(refused.value), refused.value
    host.await_log(r"lmtp\(.*Fatal: .*" + refusal(kind, "lib20_lbox_plugin.so"), since)
    with pytest.raises(Exception):
        with imap(host, "ann") as session:
            assert session.select("INBOX")[0] == "OK"
    host.await_log(r"imap.*(Fatal|Error): .*" + refusal(kind, "lib20_lbox_plugin.so"), since)
    for command in (("mailbox", "list", "-u", "ann"), ("lbox", "status", "-u", "ann"), ("hosting", "status")):
        answer = host.run("doveadm", *command, check=False)
        assert answer.code == 75 and re.search(refusal(kind, "lib20_lbox_plugin.so"), answer.err), command
        assert re.search(refusal(kind, "doveadm/lib20_doveadm_hosting_plugin.so"), answer.err), command
    assert "killed with signal" not in host.log_text()
    put_back(host.libraries, names)
    restart(host)
    assert subjects(host) == ["kept"]


def test_the_program_counts_too(host, kind):
    """imap's own structures are not its libraries'."""
    if kind == "abi":
        pytest.skip("programs have no ABI of their own")
    names = fake(host.libraries, r"^modules/lib95_imap_hosting_plugin", kind, objects="imap")
    assert len(names) == 1
    since = restart(host)
    deliver(host, "ann", "another imap")
    with pytest.raises(imaplib.IMAP4.error):
        with imap(host, "ann") as session:
            session.select("INBOX")
    host.await_log(r"imap.*(Fatal|Error): .*" + refusal(kind, os.path.basename(names[0])).replace(r"[\w.-]+", "imap"), since)
    put_back(host.libraries, names)
    restart(host)
    assert subjects(host) == ["kept", "another imap"]


def temporary(refused):
    """The MTA keeps the mail: LMTP refuses the recipient or the mail for now, or ends without an answer."""
    if isinstance(refused, smtplib.SMTPServerDisconnected):
        return True
    codes = [code for code, _ in refused.recipients.values()] if isinstance(refused, smtplib.SMTPRecipientsRefused) else [refused.smtp_code]
    return all(400 <= code < 500 for code in codes)


def subjects(host):
    with imap(host, "ann") as session:
        session.select("INBOX", readonly=True)
        _, answer = session.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return [item[1].decode().split(": ")[1].strip() for item in answer if isinstance(item, tuple)]


def test_auth_and_settings(host, kind):
    """They serve everybody: nobody logs in until the module is the right one or the configuration does without it."""
    assert fake(host.libraries, r"auth/|settings/", kind)
    since = restart(host)
    with pytest.raises(imaplib.IMAP4.error, match="Auth process broken"):
        with imap(host, "ann"):
            pass
    host.await_log(r"auth: Fatal: " + refusal(kind, "auth/libauthdb_hosting.so"), since)
    if SERIES == "2.4":
        shown = host.run("doveconf", "-n", check=False)
        for name in ("hosting", "lbox"):
            assert re.search(refusal(kind, "settings/lib%s_settings.so" % name), shown.err)
    assert "killed with signal" not in host.log_text()
    # The way out that Debian's packages take when they are removed.
    for gate in ("hosting", "lbox"):
        os.unlink(host.path("/usr/share/dovecot/enable/%s.conf" % gate))
    since = restart(host)
    assert host.run("doveadm", "user", "ann").code == 0 and "Fatal" not in host.log_text()[since:]
