"""Rounds of a server under load whose disk loses its power."""

import os
import random
import shutil

from . import power_work
from .power_state import Seen, State, now, observe, settle
from .powercut import BootId
from .server import SERIES, Server

# What a server may complain of once the power is back.
AFTER_CUT = ()
WORKERS = (power_work.ImapWorker,) * 3 + (power_work.LmtpWorker,) * 2 + (power_work.Pop3Worker,)
USERS = 2  # at a time
ROUNDS_OF_USER = 8
EXTRA = {series: """
plugin {
  lbox_allow_fuse = yes
}
""" if series == "2.3" else "lbox_allow_fuse = yes\n" for series in ("2.3", "2.4")}
LIMITS = "mail_max_userip_connections = 100\n"


def _no_sockets(folder, names):
    return [name for name in names if not os.path.isfile(folder + "/" + name) and not os.path.isdir(folder + "/" + name)]


class Rounds:
    """make_disk(path, owner) makes the disk that the homes of all users are on; lag: seconds of flag changes that may be lost."""

    def __init__(self, make_disk, seed=0, lag=0.0, **options):
        extra = {series: text + LIMITS + make_disk.settings for series, text in EXTRA.items()}
        self.server = Server(extra=extra, in_place=SERIES == "2.4", **options)  # for the setting that allows FUSE
        try:
            self.disk = make_disk(self.server.base + "/home", self.server.config.mail_uid)
        except BaseException:
            self.server.close()
            raise
        self.boot = BootId(self.server.base)
        self.random, self.lag = random.Random(seed), lag
        self.seen = Seen()
        self.world = power_work.World(self.server, self.seen)
        self.states = [(State(), kind) for kind in WORKERS]
        self.rounds = self.users = 0
        self.cut_after = 0.0  # when flag changes must have been acknowledged to be durable

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.server.log_tail())
            self.server.keep = True
            try:
                shutil.copytree(self.disk.path, self.server.base + "/home.kept", ignore=_no_sockets)  # the disk goes
            except OSError as error:  # it is off
                print("The disk cannot be kept: %s" % error)
        try:
            self.server.stop()
        finally:
            self.boot.close()
            self.disk.close()
            self.server.close()

    def next_users(self):
        for user in list(self.world.users):
            self.world.drop_user(user, [state for state, _ in self.states])
        for _ in range(USERS):
            self.users += 1
            self.world.add_user("u%d" % self.users)

    def cut(self, seconds, kind):
        """Load for some seconds, then the power goes and comes back."""
        self.rounds += 1
        power_work.run(self.world, self.states, seconds, self.off, self.rounds)
        self.on(kind)

    def on(self, kind):
        self.disk.boot(kind, self.random.getrandbits(32))
        self.boot.change()
        self.server.start()

    def off(self):
        self.cut_after = now() - self.lag
        self.disk.cut(self.server.kill)
        self.server.crash()

    def check(self):
        """Texts of what is not as it was acknowledged."""
        found, said = observe(self.server, self.world.users)
        said += settle(found, [state for state, _ in self.states], self.world.shared, self.seen, self.cut_after)
        return said

    def counts(self):
        return sum((state.counts for state, _ in self.states), State().counts)
