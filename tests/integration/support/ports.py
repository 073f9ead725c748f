"""TCP ports for servers under test.

Several test runs may share a network namespace (the host's and a chroot's, say), so a port is claimed
machine-wide by holding an abstract UNIX socket named after it. The kernel drops the claim when the
process ends, however it ends. The range lies below the ephemeral ports of every usual system.
"""

import itertools
import os
import socket

FIRST, LAST = 20000, 29999


class Port:
    """A claimed TCP port on 127.0.0.1; free again after release() or when the process ends."""

    def __init__(self):
        start = (os.getpid() * 37) % (LAST - FIRST)
        for offset in itertools.chain(range(start, LAST - FIRST + 1), range(start)):
            if self._claim(FIRST + offset):
                return
        raise RuntimeError("no free TCP port between %d and %d" % (FIRST, LAST))

    def _claim(self, number):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind("\0lbox-test-port-%d" % number)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", number))
        except OSError:
            claim.close()
            return False
        self._socket = claim
        self.number = number
        return True

    def release(self):
        self._socket.close()
