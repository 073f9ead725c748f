"""Dovecot configuration for a server under test, in the language of either series."""

from dataclasses import dataclass, field

MAIL_UID = 5000  # no system user has it: mail processes need none
PASSWORD = "pass"

DEFAULT_PATHS = {"lbox": "~/lbox", "maildir": "~/Maildir", "sdbox": "~/sdbox", "mdbox": "~/mdbox"}


@dataclass
class Config:
    """What a test chooses. Texts are str, or a dict by series: {"2.3": ..., "2.4": ...}."""

    driver: str = "lbox"  # lbox, maildir, sdbox, mdbox
    modules: str = None  # mail_plugin_dir; None leaves the system's
    lbox: bool = None  # load the lbox module; by default when it is the driver
    plugins: tuple = ()  # mail_plugins besides lbox
    protocol_plugins: dict = field(default_factory=dict)  # {"imap": ("imap_quota",)}
    mail_path: str = None
    layout: str = None  # index, fs, maildir++; None leaves the driver's default
    index_dir: str = None  # INDEX= / mail_index_path, MEMORY included
    control_dir: str = None  # CONTROL= / mail_control_path
    separator: str = "/"  # of the inbox namespace; None leaves the driver's default
    prefix: str = ""  # of the inbox namespace
    namespaces: object = None  # text that replaces the inbox namespace
    users: dict = None  # name -> password; None lets any user in with PASSWORD
    passdbs: object = None  # text in place of the passdb, @base@ is the server's folder
    userdb: dict = None  # user -> {field: value}, beside the fields that every user gets
    userdb_text: object = None  # replaces the userdb blocks
    home: str = None  # template, %u is the user; default <base>/home/%u
    fsync: str = None  # mail_fsync
    sieve: bool = False  # for LMTP and LDA; active script ~/.dovecot.sieve
    hibernate: str = None  # imap_hibernate_timeout
    wrap: dict = field(default_factory=dict)  # service -> command put before its executable
    debug: bool = False
    extra: object = ""  # text put at the end
    mail_uid: int = MAIL_UID


def render(config, series, base, ports, dovecot_dir):
    """The text of dovecot.conf. ports: {"imap": number, "pop3": ..., "lmtp": ...}."""
    common = """
base_dir = {base}/run
log_path = {base}/dovecot.log
instance_name = lbox-test
listen = 127.0.0.1
ssl = no
mail_home = {home}
mail_uid = {uid}
mail_gid = {uid}
first_valid_uid = 1
postmaster_address = postmaster@example.com
hostname = mail.example.com
auth_mechanisms = plain login
auth_failure_delay = 0
""".format(base=base, home=_home(config, series, base), uid=config.mail_uid)
    parts = [
        _HEAD[series],
        common,
        _services(config, ports, dovecot_dir),
        _auth(config, series, base),
        (_mail_23 if series == "2.3" else _mail_24)(config),
        _namespace(config, series),
    ]
    if config.modules:
        parts.append("mail_plugin_dir = %s" % config.modules)
    if config.fsync:
        parts.append("mail_fsync = %s" % config.fsync)
    if config.hibernate:
        parts.append("imap_hibernate_timeout = %s" % config.hibernate)
    if config.debug:
        parts.append("log_debug = category=*")
    parts.append(by_series(config.extra, series))
    return "\n".join(parts) + "\n"


def by_series(text, series):
    return (text or {}).get(series, "") if isinstance(text, dict) or text is None else text


def mail_plugins(config):
    load_lbox = config.driver == "lbox" if config.lbox is None else config.lbox
    return (["lbox"] if load_lbox else []) + list(config.plugins)


_HEAD = {
    "2.3": "protocols = imap pop3 lmtp\ndisable_plaintext_auth = no\n",
    "2.4": "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"
    "protocols {\n  imap = yes\n  pop3 = yes\n  lmtp = yes\n}\nauth_allow_cleartext = yes\n",
}


def _home(config, series, base):
    home = config.home or base + "/home/%u"
    return home.replace("%u", "%{user}") if series == "2.4" else home


def _services(config, ports, dovecot_dir):
    def executable(name):
        wrap = config.wrap.get(name)
        return "\n  executable = %s %s/%s" % (" ".join(wrap), dovecot_dir, name) if wrap else ""

    # Sockets that mail processes open are made reachable for the mail uid, which is in no group.
    return """
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{{lmtp_exe}
  inet_listener lmtp {{
    port = {lmtp}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service imap {{{imap_exe}
  unix_listener imap-master {{
    mode = 0666
  }}
}}
service pop3 {{{pop3_exe}
}}
service imap-hibernate {{
  unix_listener imap-hibernate {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener auth-userdb {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
service indexer {{
  unix_listener indexer {{
    mode = 0666
  }}
}}
service dict {{
  unix_listener dict {{
    mode = 0666
  }}
}}
""".format(imap=ports["imap"], pop3=ports["pop3"], lmtp=ports["lmtp"],
           imap_exe=executable("imap"), pop3_exe=executable("pop3"), lmtp_exe=executable("lmtp"))


def _auth(config, series, base):
    passdbs, userdbs = _default_auth(config, series, base)
    return (by_series(config.passdbs, series).replace("@base@", base) or passdbs) + userdbs


def _default_auth(config, series, base):
    fields = {"uid": config.mail_uid, "gid": config.mail_uid, "home": _home(config, series, base)}
    if series == "2.3":
        passdb = ("driver = static\n  args = password=%s" % PASSWORD if config.users is None else
                  "driver = passwd-file\n  args = scheme=PLAIN username_format=%%u %s/passwd" % base)
        userdb = "driver = static\n  args = %s allow_all_users=yes" % " ".join(
            "%s=%s" % item for item in fields.items())
        if config.userdb_text is not None:
            return "passdb {\n  %s\n}\n" % passdb, by_series(config.userdb_text, series)
        if config.userdb is not None:
            userdb = ("driver = passwd-file\n  args = username_format=%%u %s/userdb\n}\n"
                      "userdb {\n  %s" % (base, userdb))
        return "passdb {\n  %s\n}\n" % passdb, "userdb {\n  %s\n}\n" % userdb
    if config.users is None:
        passdb = "passdb static {\n  password = %s\n}\n" % PASSWORD
    else:
        passdb = ("passdb passwd-file {\n  passwd_file_path = %s/passwd\n"
                  "  default_password_scheme = PLAIN\n  auth_username_format = %%{user}\n}\n" % base)
    if config.userdb_text is not None:
        return passdb, by_series(config.userdb_text, series)
    userdb = ""
    if config.userdb is not None:
        userdb = ("userdb passwd-file {\n  passwd_file_path = %s/userdb\n"
                   "  auth_username_format = %%{user}\n}\n" % base)
    return passdb, userdb + "userdb static {\n  fields {\n%s\n  }\n  static_allow_all_users = yes\n}\n" % (
        "\n".join("    %s = %s" % item for item in fields.items()))


def _mail_23(config):
    location = "%s:%s" % (config.driver, config.mail_path or DEFAULT_PATHS[config.driver])
    for key, value in (("LAYOUT", config.layout), ("INDEX", config.index_dir),
                       ("CONTROL", config.control_dir)):
        if value:
            location += ":%s=%s" % (key, value)
    lines = ["mail_location = " + location, "mail_plugins = " + " ".join(mail_plugins(config))]
    for protocol, names in _protocol_plugins(config).items():
        lines.append("protocol %s {\n  mail_plugins = $mail_plugins %s\n}" % (
            protocol, " ".join(names)))
    if config.sieve:
        lines.append("plugin {\n  sieve = file:~/sieve;active=~/.dovecot.sieve\n}")
    return "\n".join(lines)


# What modules/settings/liblbox_settings.so gives as defaults: the config process loads that only from the compiled-in folder.
_LBOX_24 = ["mailbox_list_layout = index", "mailbox_root_directory_name = boxes",
            "mailbox_directory_name = lbox-Mails"]


def _mail_24(config):
    lines = ["mail_driver = " + config.driver,
             "mail_path = " + (config.mail_path or DEFAULT_PATHS[config.driver])]
    if config.driver == "lbox" and config.modules:
        lines += [line for line in _LBOX_24 if not (config.layout and "_layout" in line)]
    for key, value in (("mailbox_list_layout", config.layout), ("mail_index_path", config.index_dir),
                       ("mail_control_path", config.control_dir)):
        if value:
            lines.append("%s = %s" % (key, value))

    def block(names):
        return "mail_plugins {\n%s}" % "".join("  %s = yes\n" % name for name in names)

    lines.append(block(mail_plugins(config)))
    for protocol, names in _protocol_plugins(config).items():
        lines.append("protocol %s {\n%s\n}" % (protocol, block(names)))
    if config.sieve:
        lines.append("sieve_script personal {\n  driver = file\n  path = ~/sieve\n"
                     "  active_path = ~/.dovecot.sieve\n}")
    return "\n".join(lines)


def _protocol_plugins(config):
    plugins = {protocol: list(names) for protocol, names in config.protocol_plugins.items()}
    if config.sieve:
        for protocol in ("lmtp", "lda"):
            plugins.setdefault(protocol, []).append("sieve")
    return plugins


def _namespace(config, series):
    if config.namespaces is not None:
        return by_series(config.namespaces, series)
    lines = ["  inbox = yes"]
    if config.separator:
        lines.append("  separator = " + config.separator)
    if config.prefix:
        lines.append("  prefix = " + config.prefix)
    return "namespace inbox {\n%s\n}\n" % "\n".join(lines)
