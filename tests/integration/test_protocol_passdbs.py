"""Whatever the passdbs are: files, SQL, LDAP, prefetched userdb fields, Lua, master users; what they say of the package wins."""

import concurrent.futures
import sqlite3

import pytest

from support.directory import Directory
from support.protocols import DENIED, POLICY, imap_login, logins, pop3_login

FULL_DENIED = "IMAP is not included in your package full."
WRONG = "NO [AUTHENTICATIONFAILED] Authentication failed."


FIELDS = """
[account.by-passdb]
package = "full"
users = ["eve@fields.example"]
[account.by-userdb]
package = "full"
users = ["fay@fields.example"]
[account.mixed]
package = "full"
users = ["gil@fields.example", "hal@fields.example"]
"""


def test_set_package_where_a_field_names_the_package(site_with_fields):
    """Changing the file would have no effect: refused, with the field's name; told for each mailbox where it is one of several."""
    site = site_with_fields
    before = open(site.policy_file, encoding="utf-8").read()
    site.server.allow_log("comes from the field hosting_package")
    for account, source, user in (("by-passdb", "passdb", "eve"), ("by-userdb", "userdb", "fay")):
        for options in ((), ("--dry-run",)):
            refused = site.doveadm("hosting", "account", "set-package", *options, account, "pop-s", check=False)
            assert refused.code == 64
            assert "comes from the field hosting_package of the %s (%s@fields.example: full)" % (source, user) in refused.err
    rows = {(row["user"], row["what"]): row for row in site.rows("account", "set-package", "--dry-run", "mixed", "pop-s")}
    assert rows["gil@fields.example", "imap"]["after"] == "deny"
    assert ("hal@fields.example", "imap") not in rows
    assert rows["hal@fields.example", "package"]["after"] == "full"
    assert "field hosting_package of the passdb" in rows["hal@fields.example", "package"]["note"]
    assert open(site.policy_file, encoding="utf-8").read() == before


@pytest.fixture(scope="module")
def site_with_fields(module_server_factory, tmp_path_factory):
    path = tmp_path_factory.mktemp("passdb") / "passwd"
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        folder.chmod(0o755)
    path.write_text("eve@fields.example:{PLAIN}pass::::::hosting_package=full\n"
                    "fay@fields.example:{PLAIN}pass::::::\n"
                    "gil@fields.example:{PLAIN}pass::::::\n"
                    "hal@fields.example:{PLAIN}pass::::::hosting_package=full\n")
    path.chmod(0o644)
    return logins(module_server_factory, POLICY + FIELDS, userdb={
        "fay@fields.example": {"hosting_package": "full"}, "gil@fields.example": {}}, passdbs={
        "2.3": "passdb {\n  driver = passwd-file\n  args = username_format=%%u %s\n}\n" % path,
        "2.4": "passdb passwd-file {\n  passwd_file_path = %s\n  auth_username_format = %%{user}\n}\n" % path,
    })


def test_passwd_file_names_the_package(server_factory):
    def prepare_file(path):
        path.write_text(
            "ann@pop.example:{PLAIN}pass::::::\n"
            "ann2@pop.example:{PLAIN}pass::::::hosting_package=full\n"
            "bob@full.example:{PLAIN}pass::::::hosting_package=pop-s\n"
            "bob2@full.example:{PLAIN}pass::::::userdb_hosting_package=pop-s\n"
            "cid@elsewhere.example:{PLAIN}pass::::::hosting_account=pop\n"
            "dan@full.example:{PLAIN}pass::::::hosting_package=unknown\n")
        path.chmod(0o644)
    import pathlib
    import tempfile
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    prepare_file(folder / "passwd")
    server = logins(server_factory, passdbs={
        "2.3": "passdb {\n  driver = passwd-file\n  args = username_format=%%u %s/passwd\n}\n" % folder,
        "2.4": "passdb passwd-file {\n  passwd_file_path = %s/passwd\n  auth_username_format = %%{user}\n}\n" % folder,
    }).server
    server.allow_log('field hosting_package names "unknown"')
    assert imap_login(server, "ann@pop.example").text == "NO [CONTACTADMIN] " + DENIED
    assert imap_login(server, "ann2@pop.example").ok
    assert imap_login(server, "bob@full.example").text == "NO [CONTACTADMIN] " + DENIED
    assert imap_login(server, "bob2@full.example").text == "NO [CONTACTADMIN] " + DENIED
    assert imap_login(server, "cid@elsewhere.example").text == "NO [CONTACTADMIN] " + DENIED
    assert imap_login(server, "dan@full.example").ok  # the account's own package holds
    server.await_log('field hosting_package names "unknown"')
    assert pop3_login(server, "bob@full.example").ok


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "users.sqlite"
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE users (name TEXT, password TEXT, package TEXT, home TEXT)")
        db.executemany("INSERT INTO users VALUES (?, 'pass', ?, ?)", [
            ("ann@pop.example", None, "/tmp/none"), ("bob@full.example", "pop-s", "/tmp/none"), ("cid@full.example", None, "/tmp/none"),
            ("dan@full.example", None, "/tmp/none")])
    path.chmod(0o644)
    return path


def sql_logins(server_factory, database, tmp_path, after):
    query = "SELECT name AS user, password, package AS hosting_package FROM users WHERE name = '%s'"
    conf = tmp_path / "sql.conf"
    conf.write_text("driver = sqlite\nconnect = %s\ndefault_pass_scheme = PLAIN\npassword_query = %s\n" % (database, query % "%u"))
    return logins(server_factory, passdbs={
        "2.3": "passdb {\n  driver = sql\n  args = %s\n}\n" % conf,
        "2.4": "sql_driver = sqlite\nsqlite_path = %s\npassdb sql {\n  default_password_scheme = PLAIN\n  query = %s\n}\n"
               % (database, query % "%{user}"),
    }, after=after)


@pytest.mark.parametrize("cache", [0, 1])
def test_sql(server_factory, database, tmp_path, cache):
    """With the auth cache, too: what was cached for one protocol decides nothing for another."""
    server = sql_logins(server_factory, database, tmp_path, "auth_failure_delay = 0 s\n" + ("auth_cache_size = 1M\n" if cache else "")).server
    for _ in range(2):
        for user in ("ann@pop.example", "bob@full.example"):
            assert imap_login(server, user).text == "NO [CONTACTADMIN] " + DENIED
            assert pop3_login(server, user).ok
        assert imap_login(server, "cid@full.example").ok
        assert imap_login(server, "bob@full.example", "wrong").text == WRONG


def test_apply_flushes_the_auth_cache(server_factory, database, tmp_path):
    """What a passdb said of the package is forgotten at once, long before the cache would ask again."""
    site = sql_logins(server_factory, database, tmp_path, "auth_cache_size = 1M\nauth_cache_ttl = 1 hour\n")
    assert imap_login(site.server, "cid@full.example").ok
    with sqlite3.connect(database) as db:
        db.execute("UPDATE users SET package = 'pop-s' WHERE name = 'cid@full.example'")
    site.doveadm("hosting", "reload")
    assert imap_login(site.server, "cid@full.example").ok  # the cache still says so
    site.rows("policy", "apply")
    assert imap_login(site.server, "cid@full.example").text == "NO [CONTACTADMIN] " + DENIED
    # And where the policy file changes.
    assert imap_login(site.server, "dan@full.example").ok
    site.write_policy(POLICY.replace("[package.full]\n", '[package.full]\nimap = "deny"\n'))
    site.rows("policy", "apply")
    assert imap_login(site.server, "dan@full.example").text.startswith("NO [CONTACTADMIN] " + FULL_DENIED)
    assert imap_login(site.server, "dan@full.example", "wrong").text == WRONG


PEOPLE = (  # user, package by the directory
    ("ann@pop.example", None),
    ("bob@full.example", "pop-s"),
    ("cid@full.example", None),
    ("dan@pop.example", "full"),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    made = Directory(tmp_path_factory.mktemp("ldap"), ("tier",), [
        {"mail": user, "tier": package, "userPassword": "pass", "homeDirectory": "/tmp/none"} for user, package in PEOPLE])
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("bind", [False, True], ids=["password", "bind"])
def test_ldap(server_factory, directory, tmp_path, bind):
    """Which answers later, while auth does other things; whether auth compares the passwords or the directory does."""
    conf = tmp_path / "ldap.conf"
    conf.write_text("hosts = 127.0.0.1:%d\nbase = dc=example\npass_filter = (&(objectClass=posixAccount)(mail=%%u))\n"
                    "pass_attrs = mail=user, %stier=hosting_package\ndefault_pass_scheme = PLAIN\nauth_bind = %s\n"
                    % (directory.port.number, "" if bind else "userPassword=password, ", "yes" if bind else "no"))
    server = logins(server_factory, passdbs={
        "2.3": "passdb {\n  driver = ldap\n  args = %s\n}\n" % conf,
        "2.4": """ldap_uris = ldap://127.0.0.1:%d
ldap_base = dc=example
passdb ldap {
  ldap_filter = (&(objectClass=posixAccount)(mail=%%{user}))
  default_password_scheme = PLAIN
  ldap_bind = %s
  fields {
    user = %%{ldap:mail}
    %s
    hosting_package = %%{ldap:tier | default('')}
  }
}
""" % (directory.port.number, "yes" if bind else "no", "" if bind else "password = %{ldap:userPassword}"),
    }, after="auth_failure_delay = 0 s\n").server
    denied = "NO [CONTACTADMIN] " + DENIED
    wanted = {"ann@pop.example": denied, "bob@full.example": denied, "cid@full.example": "OK", "dan@pop.example": "OK"}
    for number, (user, text) in enumerate(wanted.items(), 1):
        assert imap_login(server, user).text.startswith(text), user
        assert pop3_login(server, user).ok
        # Each failure from an address makes the next one wait.
        assert imap_login(server, user, "wrong", source="127.0.2.%d" % number).text == WRONG
    assert imap_login(server, "nobody@pop.example", source="127.0.3.1").text == WRONG
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for user, answer in [(user, threads.submit(imap_login, server, user)) for user in 4 * list(wanted)]:
            assert answer.result().text.startswith(wanted[user]), user


def test_prefetched_userdb_fields(server_factory):
    fields = "userdb_uid=5000 userdb_gid=5000 userdb_home=@base@/home/%s userdb_hosting_package=pop-s"
    server = logins(server_factory, passdbs={
        "2.3": "passdb {\n  driver = static\n  args = password=pass %s\n}\nuserdb {\n  driver = prefetch\n}\n" % (fields % "%u"),
        "2.4": "passdb static {\n  password = pass\n  fields {\n%s\n  }\n}\nuserdb prefetch {\n}\n" % "\n".join(
            "    %s = %s" % tuple(field.split("=")) for field in (fields % "%{user}").split()),
    }).server
    assert imap_login(server, "bob@full.example").text == "NO [CONTACTADMIN] " + DENIED
    assert pop3_login(server, "bob@full.example").ok


def test_lua(server_factory, tmp_path):
    script = tmp_path / "auth.lua"
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    script.write_text("""
function auth_password_verify(request, password)
  if password == "pass" then return dovecot.auth.PASSDB_RESULT_OK, {hosting_package = "pop-s"} end
  return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, "wrong"
end
""")
    script.chmod(0o644)
    server = logins(server_factory, passdbs={
        "2.3": "passdb {\n  driver = lua\n  args = file=%s\n}\n" % script,
        "2.4": "passdb lua {\n  lua_file = %s\n}\n" % script,
    }, after="auth_failure_delay = 0 s\n").server
    assert imap_login(server, "bob@full.example").text == "NO [CONTACTADMIN] " + DENIED
    assert pop3_login(server, "bob@full.example").ok
    assert imap_login(server, "bob@full.example", "wrong").text == WRONG


MASTER = {
    "2.3": "passdb {\n  driver = static\n  master = yes\n  args = password=secret\n}\n",
    "2.4": "passdb master {\n  driver = static\n  master = yes\n  passdb_static_password = secret\n}\n",
}
PLAIN = {
    "2.3": "passdb {\n  driver = static\n  args = password=pass\n}\n",
    "2.4": "passdb static {\n  password = pass\n}\n",
}


@pytest.mark.parametrize("exempt", [True, False])
def test_master_users(server_factory, exempt):
    policy = POLICY if exempt else POLICY.replace("[protocols]\n", "[protocols]\nexempt_master_users = false\n")
    server = logins(server_factory, policy, passdbs={series: MASTER[series] + PLAIN[series] for series in PLAIN},
                    after="auth_master_user_separator = *\n").server
    answer = imap_login(server, "ann@pop.example*support", "secret")
    assert answer.ok == exempt, answer
    if exempt:
        server.await_log(r"user=<ann@pop.example>, protocol=imap: login exempt \(.*exempt as a master user\)")
    else:
        assert answer.text == "NO [CONTACTADMIN] " + DENIED
    assert not imap_login(server, "ann@pop.example").ok
    assert imap_login(server, "bob@full.example*support", "secret").ok
