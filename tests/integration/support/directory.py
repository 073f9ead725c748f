"""A private LDAP server with entries of a test's own.

    directory = Directory(folder, ("tier",), [{"mail": "ann@example.com", "tier": "gold", ...}])
    directory.start()
"""

import os
import socket
import subprocess

from .beside import until
from .ports import Port
from .server import HOST

_CONF = """include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
%s
database mdb
suffix "dc=example"
directory %s/db
"""
_ATTRIBUTE = "attributetype ( 1.1.2.%d NAME '%s' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )"


class Directory:
    def __init__(self, folder, attributes, entries):
        """attributes: names that no schema has. entries: dicts of posixAccount's attributes and these; None leaves one out."""
        self.folder, self.port, self.process, self._entries = str(folder), Port(), None, entries
        os.mkdir(self.folder + "/db")
        with open(self.folder + "/slapd.conf", "w", encoding="ascii") as file:
            file.write(_CONF % ("\n".join(_ATTRIBUTE % pair for pair in enumerate(attributes, 1)), self.folder))

    def start(self):
        texts = ["dn: dc=example\nobjectClass: domain\ndc: example\n"]
        for number, entry in enumerate(self._entries):
            lines = ["dn: uid=u%d,dc=example" % number, "objectClass: account", "objectClass: posixAccount", "objectClass: extensibleObject",
                     "uid: u%d" % number, "cn: u", "uidNumber: 5000", "gidNumber: 5000"]
            texts.append("\n".join(lines + ["%s: %s" % pair for pair in entry.items() if pair[1]]) + "\n")
        subprocess.run(["slapadd", "-f", self.folder + "/slapd.conf"], input="\n".join(texts), text=True, check=True, capture_output=True)
        self.process = subprocess.Popen(["slapd", "-d", "0", "-f", self.folder + "/slapd.conf", "-h", "ldap://%s:%d" % (HOST, self.port.number)])
        until(self._answers, "the directory does not answer")

    def _answers(self):
        try:
            socket.create_connection((HOST, self.port.number)).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        self.port.release()
