"""Which protocols a package includes, at login: who is denied and told what, and who notices nothing."""

import concurrent.futures
import os

import pytest

from support.beside import until
from support.protocols import DENIED, POLICY, Listeners, Line, await_table, imap_login, logins, pop3_login

FAILURE_DELAY = 2  # s; auth counts whole seconds, and looks twice a second
USERS = {name: "pass" for name in ("ann@pop.example", "bob@full.example")}
PASSWORDS = {
    "2.3": "passdb {\n  driver = passwd-file\n  args = scheme=PLAIN username_format=%u @base@/passwd\n}\n",
    "2.4": "passdb passwd-file {\n  passwd_file_path = @base@/passwd\n  default_password_scheme = PLAIN\n"
           "  auth_username_format = %{user}\n}\n",
}


@pytest.fixture(scope="module")
def site(module_server_factory):
    return logins(module_server_factory)


def test_denied_protocol_is_told(site):
    """By auth alone: the plugin that ends sessions is not there."""
    assert "imap_hosting" not in open(site.server.config_file, encoding="utf-8").read()
    answer = imap_login(site.server, "ann@pop.example")
    assert answer.text == "NO [CONTACTADMIN] " + DENIED
    assert pop3_login(site.server, "ann@pop.example").ok
    site.server.await_log(r"user=<ann@pop.example>, protocol=imap: login denied \(deny: package pop-s \(policy:\d+\)\)")


def test_user_rules_go_before_packages(site):
    assert imap_login(site.server, "admin@pop.example").ok
    assert imap_login(site.server, "bob@full.example").ok
    assert imap_login(site.server, "error_log@full.example").text.startswith(
        "NO [CONTACTADMIN] IMAP is not included in your package full.")
    assert imap_login(site.server, "ann@other.example").ok  # of no account


def test_nobody_else_behind_the_address_waits(site):
    for _ in range(5):
        assert not imap_login(site.server, "ann@pop.example").ok
    assert imap_login(site.server, "bob@full.example").seconds < 1
    assert pop3_login(site.server, "ann@pop.example").seconds < 1


def test_wrong_password_and_unknown_user_notice_nothing(server_factory):
    """With the module and without: the same answer after the same time."""
    options = {"users": USERS, "passdbs": PASSWORDS, "after": "auth_failure_delay = %d s\n" % FAILURE_DELAY}
    with_module = logins(server_factory, **options).server
    without = logins(server_factory, module="", **options).server
    attempts = [(login, user, password) for user, password in (("ann@pop.example", "wrong"), ("bob@full.example", "wrong"),
                                                               ("nobody@pop.example", "pass"))
                for login in (imap_login, pop3_login)]
    with concurrent.futures.ThreadPoolExecutor(2 * len(attempts)) as threads:
        # Each failure from an address makes the next one wait, so each has one of its own.
        answers = [[threads.submit(login, server, user, password, source="127.0.2.%d" % (n + 1)) for server in (with_module, without)]
                   for n, (login, user, password) in enumerate(attempts)]
    for pair in answers:
        with_it, without_it = (future.result() for future in pair)
        assert with_it.text == without_it.text and not with_it.ok
        assert "package" not in with_it.text
        assert all(FAILURE_DELAY - 1 < answer.seconds < FAILURE_DELAY + 1.5 for answer in (with_it, without_it)), (with_it, without_it)
    assert imap_login(without, "ann@pop.example", source="127.0.9.9").ok
    assert imap_login(with_module, "ann@pop.example", source="127.0.9.9").text == "NO [CONTACTADMIN] " + DENIED


@pytest.fixture(scope="module")
def exempting(module_server_factory):
    ports = Listeners("webmail")
    listener = "service imap-login {\n  inet_listener webmail {\n    port = %d\n  }\n}\n" \
               "login_trusted_networks = 127.0.0.8\n" % ports["webmail"]
    policy = POLICY.replace("[protocols]\n", '[protocols]\nexempt_ports = [%d]\nexempt_networks = ["127.0.0.9", "10.0.0.0/8"]\n'
                            % ports["webmail"])
    site = logins(module_server_factory, policy, after=listener)
    site.webmail = ports["webmail"]
    yield site
    ports.release()


def test_exempt_listener(exempting):
    server = exempting.server
    assert imap_login(server, "ann@pop.example", port=exempting.webmail).ok
    assert imap_login(server, "ann@pop.example").text == "NO [CONTACTADMIN] " + DENIED
    server.await_log(r"login exempt \(allow: package pop-s \(policy:\d+\), exempt by the listener's port \(policy:\d+\)\)")


def test_exempt_network_is_that_of_the_entry_hop(exempting):
    server = exempting.server
    assert imap_login(server, "ann@pop.example", source="127.0.0.9").ok
    assert not imap_login(server, "ann@pop.example", source="127.0.0.10").ok
    # A trusted webmail may tell where its user is; who is exempt is decided by who connects.
    for claimed in ("127.0.0.9", "10.1.2.3"):
        told = ['ID ("x-originating-ip" "%s")' % claimed]
        assert not imap_login(server, "ann@pop.example", source="127.0.0.8", before=told).ok
        assert not imap_login(server, "ann@pop.example", source="127.0.0.10", before=told).ok
    assert imap_login(server, "ann@pop.example", source="127.0.0.9", before=['ID ("x-originating-ip" "203.0.113.5")']).ok


def test_alert_in_place_of_nologin(server_factory):
    site = logins(server_factory, POLICY.replace("[protocols]\n", '[protocols]\nanswer = "alert"\n'),
                  after="auth_failure_delay = 3 s\n")
    for _ in range(3):
        answer = imap_login(site.server, "ann@pop.example")
        assert answer.text == "NO [ALERT] " + DENIED
        assert answer.seconds < 2  # it is no failure to be punished
    assert imap_login(site.server, "bob@full.example").seconds < 2
    assert not imap_login(site.server, "bob@full.example", "wrong").text.startswith("NO [ALERT]")


def test_hostile_names_and_texts_stay_one_line(server_factory):
    site = logins(server_factory, """
[protocols.text.en]
deny = "{package} {user}"
[package."[X] * BYE \\"q\\" \\\\ é {user}"]
imap = "deny"
pop3 = "deny"
[account.a]
package = "[X] * BYE \\"q\\" \\\\ é {user}"
domains = ["a.example"]
""")
    text = '(X] * BYE "q" \\ ? {user} ann@a.example'
    with Line(site.server.imap_port) as line:
        line.send("a LOGIN ann@a.example pass")
        assert line.answer("a ") == ["a NO [CONTACTADMIN] " + text]
        line.send("b NOOP")
        assert line.answer("b ")[0].startswith("b OK")
    assert pop3_login(site.server, "ann@a.example").text == "[AUTH] " + text


def test_a_changed_policy_counts_at_once(server_factory):
    site = logins(server_factory)
    server = site.server
    assert not imap_login(server, "ann@pop.example").ok
    site.write_policy(POLICY.replace('[package.pop-s]\nimap = "deny"', '[package.pop-s]\nimap = "allow"'))
    until(lambda: imap_login(server, "ann@pop.example").ok, "the new policy is not seen")
    site.write_policy(POLICY)
    until(lambda: not imap_login(server, "ann@pop.example").ok, "the new policy is not seen")


def test_bad_policies_change_nothing(server_factory):
    """Neither a typo, nor an unknown package, nor a missing or damaged file locks anybody out or lets anybody in."""
    site = logins(server_factory)
    server = site.server
    server.allow_log(r"hosting\.toml", r"login table", r"the last good policy stays in force")

    def as_before():
        return not imap_login(server, "ann@pop.example").ok and imap_login(server, "bob@full.example").ok

    for bad, told in ((POLICY.replace('imap = "deny"', 'imap = "dney"'), 'found "dney"'),
                      (POLICY.replace('package = "full"', 'package = "fulll"'), 'found "fulll"'),
                      ("[", "expected")):
        since = server.log_size()
        site.write_policy(bad)
        server.await_log(told, since=since)
        assert as_before()
    os.unlink(site.policy_file)
    server.await_log("No such file")
    assert as_before()
    with open(site.login_table, "r+b") as table:
        table.truncate(100)
    assert as_before()
    server.await_log("does not match its checksum; the last good policy stays in use")
    os.unlink(site.login_table)
    assert as_before()
    # A new auth process has no last good one, but hosting-usage has, and writes it again.
    site.write_policy(POLICY)
    await_table(site)
    until(as_before, "the policy does not come back")


@pytest.mark.parametrize("default", ["allow", "deny"])
def test_without_any_policy(server_factory, default):
    module = {"2.3": "passdb {\n  driver = hosting\n  args = @base@/none default=%s\n}\n" % default,
              "2.4": "passdb hosting {\n  hosting_login_table = @base@/none\n  hosting_login_default = %s\n}\n" % default}
    site = logins(server_factory, module=module, await_policy=False)
    site.server.allow_log("login table .*No such file")
    answer = imap_login(site.server, "ann@pop.example")
    assert answer.ok == (default == "allow"), answer
    site.server.await_log("login table .*No such file")


def test_module_behind_the_passdbs(server_factory):
    """Where its block stands does not matter."""
    site = logins(server_factory, users=USERS, module="", after="auth_failure_delay = 0 s\n", passdbs={
        series: PASSWORDS[series] + module for series, module in {
            "2.3": "passdb {\n  driver = hosting\n  args = @base@/hosting/policy.logins\n}\n",
            "2.4": "passdb hosting {\n  hosting_login_table = @base@/hosting/policy.logins\n}\n"}.items()})
    assert imap_login(site.server, "ann@pop.example").text == "NO [CONTACTADMIN] " + DENIED
    assert imap_login(site.server, "bob@full.example").ok
    assert imap_login(site.server, "bob@full.example", "wrong", source="127.0.3.1").text == "NO [AUTHENTICATIONFAILED] Authentication failed."
    assert imap_login(site.server, "nobody@full.example", source="127.0.3.2").text == "NO [AUTHENTICATIONFAILED] Authentication failed."
