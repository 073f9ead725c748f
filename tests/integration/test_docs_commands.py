"""Every command in README.md and docs/ is run here, with a private server in place of the system's, or is named with the test that runs it.

A command that is neither fails: see ELSEWHERE, SPECIAL and PLACES below.
"""
# ctest: timeout=300 labels=quota

import os
import re
import shlex
import shutil
import subprocess
import tempfile

import pytest

from support.beside import DATE, imap, message, until
from support.commands import Command, commands
from support.hosting import Hosting
from support.server import BUILD, REPO, SERIES

POLICY = """
[package.gold]
limit = "1G"
[package.pop-s]
limit = "1G"
imap = "deny"
[account."example.com"]
package = "gold"
domains = ["example.com"]
web_roots = ["%s"]
external.backup = { stale_after = "never" }
"""
# Placeholders of the pages, and what stands for them here. What is in capitals and not here has to be in SPECIAL.
PLACES = {"USER": "ann@example.com", "ACCOUNT": "example.com", "MAILBOX": "INBOX", "NAME": "backup", "BYTES": "1000000"}
# What cannot be run beside others, or takes long: where it is run, and a text that shows it.
ELSEWHERE = [
    (r"packaging/demo( --keep)?", "tests/integration/test_demo.py", "demo.py"),
    (r"packaging/chroot .*", "tests/run", "packaging/chroot"),
    (r"packaging/build-deb|apt(-cache|-mark)? .*", "packaging/test-deb", "build-deb"),
    (r"packaging/install-deps( --tests)?", "tests/run", "packaging/install-deps --tests"),
    (r"cmake -B build -G Ninja && cmake --build build|cmake --preset .*", "tests/run", "cmake --build"),
    (r"packaging/with-modules doveadm lbox status -u .*", "tests/integration/test_modules.py", "with-modules"),
    (r"(LBOX_FUZZ\w+=\S+ )*tests/run.*", ".ci/run", "tests/run"),
    (r"LBOX_FUZZ_RUNS=.*|LBOX_DAMAGE_STRIDE=1 build/.*", "tests/run", "fuzz"),
    (r"(LBOX_\w+=\S+ )+\.\.\. pytest .*|cd tests/integration && .*pytest.*", "tests/CMakeLists.txt", "pytest"),
    (r"LBOX_WEB_FILES=.*", "tests/quota/web_speed_test.cc", "LBOX_WEB_FILES"),
    (r"LBOX_USAGE_\w+=.*", "tests/quota/usage_exact_test.cc", "LBOX_USAGE_"),
    (r"bench/compare.*", "tests/integration/test_bench_compare.py", "compare"),
    (r"bench/instructions.*", "tests/CMakeLists.txt", "bench/instructions"),
    (r"bench/(micro|scale)( --.*)?", "tests/integration/test_bench_compare.py", "comparing.scale"),
    (r"curl http://127.0.0.1:9900/metrics", "tests/integration/test_docs_monitoring.py", "/metrics"),
    (r"(mkdir -p|cp -a --parents .*) ?BACKUP/?", "tests/integration/test_operations.py", "copy_as_documented"),
    (r"rsync .*|cp -al?", "tests/integration/test_operations.py", "rsync -aH"),
    (r"doveadm lbox migrate .*--hook .*", "tests/integration/support/moving.py", "hook"),
    (r"packaging/test-deb", "tests/integration/test_packages_deb.py", "packaging/test-deb"),  # which needs chroots and minutes
    (r"adduser --system --group --no-create-home hosting-web", "packaging/debian/dovecot-hosting.postinst", "adduser --system --group"),
    (r"systemctl enable --now hosting-retention.timer", "tests/integration/test_hosting_units.py", "hosting-retention.timer"),
    (r"(gdb|strace|mdb_stat|mdb_dump) ?.*", "docs/development.md", "Debugging"),  # somebody else's programs, for developers
    (r"chown -R|rm -r( ~USER/Maildir)?", "docs/log.md", "uid"),  # as everywhere
]
INLINE_NAMES = re.compile(r"doveadm( -f json)?( [a-z][a-z-]*)*( -1)?$")


@pytest.fixture(scope="module")
def site(module_server_factory):
    web = tempfile.mkdtemp(prefix="lbox-web-", dir="/run")
    users = {"ann@example.com": {}, "test@example.com": {}, "pop@example.com": {}, "elsewhere@example.com": {}}
    site = Hosting(module_server_factory, "lbox", POLICY % web, web=True, userdb=users)
    try:
        site.await_service()
        server = site.server
        server.allow_log("SIGHUP received - reloading configuration", "hosting-usage is (away|back)", r"Fatal: USER environment is missing")  # of the name alone
        for user in users:
            with imap(server, user) as session:
                session.append("INBOX", message("of " + user, 3000), (), DATE).expect_ok()
                session.append("INBOX", message("removed", 3000), (), DATE).expect_ok()
                session.ok("CREATE Sent")
                session.append("Sent", message("sent", 3000), (), DATE).expect_ok()
                session.select("INBOX")
                session.ok("STORE 2 +FLAGS (\\Deleted)")
                session.ok("EXPUNGE")
        until(lambda: not server.pids("imap"), "imap does not end")
        server.doveadm(*as_format("maildir"), "save", input=message("in the old format", 2000), user="test@example.com")
        shutil.copytree(server.user_home("ann@example.com"), server.base + "/restored", symlinks=True)
        subprocess.run(["chown", "-R", "5000:5000", server.base + "/restored"], check=True)
        yield site
    finally:
        shutil.rmtree(web)


def as_format(driver, path=None):
    path = path or {"lbox": "~/lbox", "maildir": "~/Maildir"}[driver]
    return {"2.3": ["-o", "mail_location=%s:%s" % (driver, path)], "2.4": ["-o", "mail_driver=" + driver, "-o", "mail_path=" + path]}[SERIES]


def shell(site, text, options=(), check=True):
    """Runs a line as it was typed, beside the server; doveadm and doveconf read its configuration."""
    config = shlex.quote(site.server.config_file)
    script = 'doveadm() { command doveadm -c %s %s "$@"; }\ndoveconf() { command doveconf -c %s "$@"; }\n%s\n' % (
        config, " ".join(map(shlex.quote, options)), config, text)
    return site.server.run("bash", "-c", script, check=check)


# How single commands are run where that is not just typing them. Each takes (site, text) --------------

def in_a_session(site, text):
    """Somebody has to be logged in."""
    user = placed(text.split()[-1])
    session = site.server.imap(user)
    until(lambda: user in site.server.doveadm("who").text, "the session is not known")
    shell(site, placed(text))
    session.shutdown()
    until(lambda: not site.server.pids("imap"), "imap does not end")


def from_maildir(site, text):
    shell(site, text.replace("USER", "test@example.com"), as_format("maildir"))
    result = site.server.doveadm("fetch", "hdr.subject", "all", user="test@example.com").text
    assert "in the old format" in result, result


def with_guid(site, text):
    found = site.server.doveadm(*as_format("lbox", site.server.base + "/restored/lbox"), "-f", "tab", "fetch", "guid", "mailbox", "INBOX", user="ann@example.com")
    result = shell(site, restored(site, text.replace("GUID", found.text.split()[1])))
    assert b"of ann@example.com" in result.out


def restored(site, text):
    """Of a store that lies elsewhere; 2.4's options as the page says."""
    text = text.replace("/restored", site.server.base + "/restored").replace("BACKUP", site.server.base + "/restored")
    return text if SERIES == "2.3" else re.sub(r"-o mail_location=lbox:(\S+)", r"-o mail_driver=lbox -o mail_path=\1", text)


def of_restored(site, text):
    shell(site, placed(restored(site, text)))


def of_home(site, text):
    home = site.server.user_home("ann@example.com")
    result = shell(site, text.replace("~USER", shlex.quote(home)))
    assert int(result.text.split()[0]) > 5, result.text


def of_process(site, text):
    with imap(site.server, "ann@example.com"):
        assert b"VmHWM" in shell(site, text.replace("PID", str(site.server.pids("imap")[0]))).out


def with_options(site, text):
    """As a page shows all options: "doveadm lbox verify [-u USER | -A] [--fast]"."""
    shell(site, placed(text.replace("[-u USER | -A]", "-u USER").replace("[--fast]", "--fast")))
    shell(site, text.replace("[-u USER | -A]", "-A").replace("[--fast]", ""))


def edits_policy(site, text):
    """Works on a copy of the policy of its own."""
    with open(site.policy_file, encoding="utf-8") as file:
        before = file.read()
    shell(site, text)
    with open(site.policy_file, encoding="utf-8") as file:
        changed = file.read() != before
    assert changed == ("--dry-run" not in text)
    site.write_policy(before.split("\n", 3)[3])


def over_ssh(site, text):
    """The other server is another user of this one."""
    remote = "doveadm -c %s dsync-server -uelsewhere@example.com%s" % (site.server.config_file, " -U" if SERIES == "2.3" else "")
    shell(site, placed(text), ["-o", "dsync_remote_cmd=" + remote])
    found = [site.server.doveadm("-f", "tab", "fetch", "uid guid hdr.subject", "mailbox", "INBOX", user=user).text
             for user in (PLACES["USER"], "elsewhere@example.com")]
    assert found[0] == found[1] and "of ann@example.com" in found[1], found


def lost_ledger(site, text):
    """Its old owner goes with the reload that comes next on the page, after which mail is counted anew."""
    server = site.server
    aside = server.base + "/aside/"
    os.mkdir(aside)
    shell(site, text.replace("/var/lib/dovecot/hosting", site.state).replace("/root/", aside))
    assert "ledger" in os.listdir(aside)
    before = site.pid("hosting-usage")
    shell(site, "doveadm reload")
    until(lambda: site.server.pids("hosting-usage") not in ([], [before]), "no other hosting-usage")
    site.await_service()
    shell(site, "doveadm hosting recalc example.com")
    with imap(server, "ann@example.com") as session:
        session.append("INBOX", message("after the loss", 3000), (), DATE).expect_ok()
    site.await_usage("example.com", lambda usage: usage.of("mail", "ann@example.com") > 6000)


def of_file(site, text):
    """doveconf as the system has it, without the function that names a configuration."""
    shell(site, "command " + text.replace("FILE", shlex.quote(site.server.config_file)))


def of_owner(site, text):
    home = site.server.user_home("ann@example.com")
    os.chown(home + "/lbox/store", 0, 0)
    shell(site, text.replace("~USER", shlex.quote(home)))
    assert os.stat(home + "/lbox/store").st_uid == 5000


def staged(_, __):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["cmake", "--install", BUILD], check=False, capture_output=True, text=True, env={**os.environ, "DESTDIR": folder})
        assert done.returncode == 0, done.stderr
        names = {name for _, _, files in os.walk(folder) for name in files}
    assert "hosting-usage" in names and any(name.endswith("lbox_plugin.so") for name in names), names


SPECIAL = [
    (r"cmake --install build", staged),
    (r"doveadm backup -u USER remote:root@new\.example\.com", over_ssh),
    (r"mv /var/lib/dovecot/hosting/ledger\* /root/", lost_ledger),
    (r"doveconf -n -c FILE", of_file),
    (r"chown -R --reference=~USER ~USER/lbox", of_owner),
    (r"doveadm kick (USER|test@example.com)", in_a_session),
    (r"doveadm backup -u (USER|test@example.com) lbox:~/lbox", from_maildir),
    (r"doveadm -o mail_location=lbox:/restored/lbox fetch .* GUID", with_guid),
    (r"doveadm import -u USER lbox:/restored/lbox Restored all", of_restored),
    (r"doveadm -o mail_location=lbox:BACKUP/lbox lbox (verify|repair) -u USER", of_restored),
    (r"(du -sk|find) ~USER/lbox.*", of_home),
    (r"grep -E .* /proc/PID/status", of_process),
    (r"doveadm lbox (verify|repair) \[.*", with_options),
    (r"doveadm hosting account set-package .*example.com pop-s", edits_policy),
]


def placed(text):
    return re.sub(r"\b(%s)\b" % "|".join(PLACES), lambda match: PLACES[match.group()], text)


def in_person(site, text):
    for pattern, run in SPECIAL:
        if re.fullmatch(pattern, text):
            return run(site, text)
    assert text.startswith(("doveadm ", "doveconf ")), "nobody runs it: put it into SPECIAL or ELSEWHERE"
    assert not re.search(r"\b[A-Z]{3,}\b", re.sub(r"\b(%s)\b" % "|".join(PLACES), "", text)), "a placeholder that is not in PLACES"
    return shell(site, placed(text))


def is_elsewhere(text):
    return next(((path, sign) for pattern, path, sign in ELSEWHERE if re.fullmatch(pattern, text)), None)


def is_a_name(command):
    """In a sentence: the name of a program, file, setting or command, without the arguments that it needs."""
    return command.inline and (" " not in command.text or INLINE_NAMES.fullmatch(command.text) or re.search("[….*<]", command.text))


def test_every_command(site):
    ran, failed = [], []
    for command in commands():
        if is_elsewhere(command.text) or is_a_name(command) or command.text in ran:
            continue
        try:
            in_person(site, command.text)
        except (AssertionError, subprocess.SubprocessError) as problem:
            failed.append("%s\n    %s" % (command, str(problem).replace("\n", "\n    ")))
        ran.append(command.text)
    assert not failed, "\n".join(failed)
    assert len(ran) > 40, ran


def test_named_commands_exist(site):
    """`doveadm lbox repair` in a sentence: there is a command of that name."""
    def usage(*words):
        result = site.server.run("doveadm", "-c", site.server.config_file, *words, check=False)
        return result.text + result.err
    top, groups, missing = usage(), {}, []
    names = {command.text for command in commands() if INLINE_NAMES.fullmatch(command.text)}
    for name in sorted(names):
        words = [word for word in name.split()[1:] if word not in ("-f", "json", "-1")]
        if words and not re.search(r"(?m)^[\s\S]*\b%s\b" % re.escape(words[0]), top):
            missing.append(name)
        elif len(words) > 1:
            text = groups.setdefault(words[0], usage(words[0]))
            if not all(re.search(r"\b%s\b" % re.escape(word), text) for word in words[1:]):
                missing.append(name)
    assert names and not missing, missing


def test_what_is_elsewhere_is_there():
    for pattern, path, sign in ELSEWHERE:
        with open(os.path.join(REPO, path), encoding="utf-8") as file:
            assert sign in file.read(), (pattern, path)


def test_an_unknown_command_is_noticed(site):
    """The control."""
    site.server.allow_log("Unexpected or incomplete option", "(unknown|Unknown) option")
    for text in ("doveadm lbox verifi -u USER", "doveadm hosting usage --no-such-option", "frobnicate --all"):
        with pytest.raises(AssertionError):
            in_person(site, Command("docs/x.md", 1, text, False).text)
