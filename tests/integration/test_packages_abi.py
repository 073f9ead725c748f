"""Modules that were built for another ABI of Dovecot's: refused with a message that says so, nothing crashes, no mail is lost.

Debian's packages depend on the exact ABI; this is what is left when someone copies files.
"""
# ctest: timeout=300

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

MESSAGE = r"Couldn't load (required )?plugin %s/modules/%s: Module is for different ABI version 2\.\d\.ABIv9+\S* \(we have 2\.\d\.ABIv[0-8]\S*\)"

PROGRAM = r" is for different ABI version 2\.\d\.ABIv9+\S* \(Dovecot has 2\.\d\.ABIv[0-8]\S*\): install the package for it"


def fake(folder, wanted):
    """Has the modules and programs whose path matches say that they are for ABI 9 or 99; their names."""
    names = []
    for where, _, files in os.walk(folder):
        for file in files:
            path = os.path.join(where, file)
            name = os.path.relpath(path, folder)
            if re.search(wanted, name) and not os.path.exists(os.path.join(LIBRARIES, name)):
                with open(path, "rb") as stream:
                    data = stream.read()
                faked = re.sub(rb"(2\.[34]\.ABIv)(\d+)(?=[(\0])", lambda found: found[1] + b"9" * len(found[2]), data)
                assert faked != data, name
                os.unlink(path)  # a link to what others use
                with open(path, "wb") as stream:
                    stream.write(faked)
                os.chmod(path, 0o755)
                names.append(name)
    return names


@pytest.fixture(scope="module")
def host():
    folder = tempfile.mkdtemp(prefix="lbox-abi-", dir=os.environ.get("LBOX_TMP", "/tmp"))
    try:
        os.chmod(folder, 0o755)
        subprocess.run(["cp", "-al", installed_libraries() + "/.", folder], check=True)
        with Host(libraries=folder) as host:
            installed(host)
            enable(host)
            yield host.start()  # no service that loads the modules has run yet
    finally:
        shutil.rmtree(folder)


def test_programs(host):
    """Dovecot does not ask them: they say so themselves, whoever starts them."""
    names = fake(host.libraries, r"^hosting-")
    assert len(names) == 4
    for name in names:
        done = host.run(LIBRARIES + "/" + name, check=False)
        assert done.code == 89 and re.fullmatch(name + PROGRAM + "\n", done.err), done
    host.stop()
    since = len(host.log_text())
    host.start()

    def logged():
        host.run("doveadm", "hosting", "status", check=False)  # has Dovecot start it once more
        return re.search("hosting-usage: Error: hosting-usage" + PROGRAM, host.log_text()[since:])
    until(logged, "the program's words do not reach the log")
    assert "killed with signal" not in host.log_text()


def test_plugins(host):
    """imap, lmtp and doveadm; what is in auth and config goes on."""
    assert len(fake(host.libraries, r"lib\d\d_")) == 5
    since = len(host.log_text())
    with pytest.raises(smtplib.SMTPException):
        deliver(host, "ann", "to another ABI")
    host.await_log(r"lmtp\(.*Fatal: .*" + MESSAGE % (LIBRARIES, r"lib20_lbox_plugin\.so"), since)
    with pytest.raises(Exception):
        with imap(host, "ann") as session:
            assert session.select("INBOX")[0] == "OK"
    host.await_log(r"imap.*(Fatal|Error): .*" + MESSAGE % (LIBRARIES, r"lib20_lbox_plugin\.so"), since)
    for command in (("mailbox", "list", "-u", "ann"), ("lbox", "status", "-u", "ann"), ("hosting", "status")):
        answer = host.run("doveadm", *command, check=False)
        assert answer.code == 75 and re.search(MESSAGE % (LIBRARIES, r"lib20_lbox_plugin\.so"), answer.err), command
        assert re.search(MESSAGE % (LIBRARIES, r"doveadm/lib20_doveadm_hosting_plugin\.so"), answer.err), command
    assert "killed with signal" not in host.log_text()


def test_auth_and_settings(host):
    """They serve everybody: nobody logs in until the module is the right one or the configuration does without it."""
    assert fake(host.libraries, r"auth/|settings/")
    host.stop()
    since = len(host.log_text())
    host.start()
    with pytest.raises(imaplib.IMAP4.error, match="Auth process broken"):
        with imap(host, "ann"):
            pass
    host.await_log(r"auth: Fatal: " + MESSAGE % (LIBRARIES, r"auth/libauthdb_hosting\.so"), since)
    if SERIES == "2.4":
        shown = host.run("doveconf", "-n", check=False)
        for name in ("hosting", "lbox"):
            assert re.search(MESSAGE % (LIBRARIES, r"settings/lib%s_settings\.so" % name), shown.err)
    assert "killed with signal" not in host.log_text()
    # The way out that Debian's packages take when they are removed.
    for gate in ("hosting", "lbox"):
        os.unlink(host.path("/usr/share/dovecot/enable/%s.conf" % gate))
    host.stop()
    since = len(host.log_text())
    host.start()
    assert host.run("doveadm", "user", "ann").code == 0 and "Fatal" not in host.log_text()[since:]
