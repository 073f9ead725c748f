"""What the Debian packages put into /etc, beside Debian's own configuration of Dovecot, on a host of its own (host.py)."""

import os

from .host_mail import PASSWORD
from .server import REPO, SERIES

CONF = os.path.join(REPO, "packaging", "conf")
FILES = {  # as packaging/debian/rules installs them
    "/etc/dovecot/conf.d/11-lbox.conf": "11-lbox.conf", "/etc/dovecot/lbox.conf": "lbox-%s.conf" % SERIES,
    "/etc/dovecot/conf.d/12-hosting.conf": "12-hosting.conf", "/etc/dovecot/hosting.conf": "hosting-%s.conf" % SERIES,
}
GATES = {"/usr/share/dovecot/enable/lbox.conf": "enable-lbox.conf", "/usr/share/dovecot/enable/hosting.conf": "enable-hosting.conf"}
# What operators have there already, before and after the packages' files.
GENERAL = {"2.3": "mail_plugins = $mail_plugins acl\nplugin {\n  acl = vfile\n}\n", "2.4": "mail_plugins {\n  acl = yes\n}\nacl_driver = vfile\n"}
PROTOCOLS = {  # in 2.3, $mail_plugins of a protocol is what was set before
    "2.3": "protocol imap {\n  mail_plugins = $mail_plugins imap_acl\n}\nprotocol lmtp {\n  mail_plugins = $mail_plugins sieve\n}\n",
    "2.4": "protocol imap {\n  mail_plugins {\n    imap_acl = yes\n  }\n}\nprotocol lmtp {\n  mail_plugins {\n    sieve = yes\n  }\n}\n",
}
# And where they name their mail storage.
LBOX = {
    "2.3": "mail_location = lbox:~/lbox\nnamespace inbox {\n  separator = /\n}\n",
    "2.4": "mail_driver = lbox\nmail_path = ~/lbox\nmail_inbox_path =\nnamespace inbox {\n  separator = /\n}\n",
}
POLICY = """
[service]
web_uids = ["hosting-web"]
[package.small]
limit = "100k"
[account.ann]
package = "small"
users = ["ann"]
uid = "ann"
web_roots = ["/srv/www/ann"]
"""


def installed(host):
    """Debian's configuration with plugins of its own in use, and the packages' files."""
    host.debian_defaults()
    host.certificate()
    for target, source in {**FILES, **GATES}.items():
        with open(os.path.join(CONF, source), encoding="utf-8") as file:
            host.write(target, file.read())
    host.add_user("hosting-web", 990, "/nonexistent")
    operators_own(host, SERIES)


def operators_own(host, series):
    """What is not the packages': plugins, a customer and a policy."""
    append(host, "/etc/dovecot/conf.d/10-mail.conf", GENERAL[series])
    append(host, "/etc/dovecot/conf.d/20-imap.conf", PROTOCOLS[series])
    host.write("/etc/dovecot/hosting.toml", POLICY)
    host.add_user("ann", 1001, "/home/ann", PASSWORD)
    for folder in ("/home/ann", "/srv/www/ann"):
        os.makedirs(host.path(folder), 0o700)
        os.chown(host.path(folder), 1001, 1001)


def enable(host, series=SERIES):
    """lbox for all users, and hosting."""
    load(host)
    append(host, "/etc/dovecot/conf.d/10-mail.conf", LBOX[series])


def load(host):
    """Uncomments the line that takes the rest in."""
    for target in FILES:
        if "/conf.d/" in target:
            text = host.read(target)
            assert text.count("\n#!include_try ") == 1
            host.write(target, text.replace("\n#!include_try ", "\n!include_try "))


def append(host, name, text):
    with open(host.path(name), "a", encoding="utf-8") as file:
        file.write(text)
