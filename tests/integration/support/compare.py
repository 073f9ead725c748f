"""Comparing two servers observation by observation.

A reading is a generator function that takes a Side and yields lists of (key, bytes). Comparison runs the
same reading against both sides at once, step by step, so that only one step's answers are held in memory,
applies the normalisations given, and collects what differs. It also remembers a digest of each observation
that has to be the same whenever it is read again (cold, from caches, after the index was rebuilt).
"""

import concurrent.futures
import hashlib
import itertools

from .wire import Imap, Lmtp, Pop3


class Side:
    """One server and one user on it, with what normalisations need to know of them."""

    def __init__(self, server, user, password="pass"):
        self.server, self.user, self.password = server, user, password
        self.name = server.config.driver
        self.uidvalidity = None
        self.delivered = None  # (first, last) second of delivery where the date of receipt is the clock's

    def imap(self):
        return Imap(port=self.server.imap_port, user=self.user, password=self.password)

    def pop3(self):
        return Pop3(port=self.server.pop3_port, user=self.user, password=self.password)

    def lmtp(self):
        return Lmtp(port=self.server.lmtp_port)


class Difference:
    """key: what was read, in the pass named label; name: the message it belongs to, or None; a, b: what the two
    sides gave, None for nothing."""

    def __init__(self, label, key, a, b, sides, name=None):
        self.label, self.key, self.a, self.b, self.sides, self.name = label, key, a, b, sides, name

    @property
    def kind(self):
        item = self.key[-1] if self.key[0] == "FETCH" else str(self.key[1]).split()[0]
        return "%s: %s %s" % (self.label, self.key[0], item)

    def __str__(self):
        what = "%s: %s" % (self.label, " ".join(str(k) for k in self.key)) + (" (%s)" % self.name if self.name else "")
        if self.a is None or self.b is None:
            return "%s: only in %s: %r" % (what, self.sides[self.a is None], (self.a or self.b or b"")[:200])
        at = next((i for i, (x, y) in enumerate(zip(self.a, self.b)) if x != y), min(len(self.a), len(self.b)))
        start = max(0, at - 40)
        return "%s: at byte %d (lengths %d, %d)\n    %-8s %r\n    %-8s %r" % (
            what, at, len(self.a), len(self.b),
            self.sides[0], self.a[start:at + 60], self.sides[1], self.b[start:at + 60])


class Comparison:
    """equivalent(key, data) -> data, for all comparisons; normalise(side, key, data) -> data, for those of the two
    sides; name_of(key) -> the message a key belongs to; lasting(key) -> whether the same driver has to give the
    same whenever this is read."""

    def __init__(self, a, b, normalise=lambda side, key, data: data, equivalent=lambda key, data: data,
                 name_of=lambda key: None, lasting=lambda key: False):
        self.sides = (a, b)
        self.normalise, self.equivalent, self.name_of, self.lasting = normalise, equivalent, name_of, lasting
        self.differences = []
        self.compared = 0
        self._digests = ({}, {})
        self._pool = concurrent.futures.ThreadPoolExecutor(2)

    def both(self, function):
        """[function(a), function(b)], run at the same time."""
        return list(self._pool.map(self._named(function), self.sides))

    def run(self, reading, label=""):
        """Compares one reading; differences found are added to self.differences."""
        readers = {side: reading(side) for side in self.sides}
        try:
            while True:
                steps = self.both(lambda side: next(readers[side], None))
                if steps == [None, None]:
                    break
                observed = [dict(step or []) for step in steps]
                for key in itertools.chain(observed[0], (k for k in observed[1] if k not in observed[0])):
                    self._compare(label, key, observed[0].get(key), observed[1].get(key))
        finally:
            for reader in readers.values():
                reader.close()

    def _compare(self, label, key, *data):
        self.compared += 1
        data = [one if one is None else self.equivalent(key, one) for one in data]
        if self.lasting(key):
            for side, digests, one in zip(self.sides, self._digests, data):
                digest = one if one is None else hashlib.sha1(one).digest()
                if digests.setdefault(key, digest) != digest:
                    self._differ(label, key, b"something else before", one, ["%s, before" % side.name, side.name])
        if data[0] != data[1]:
            a, b = (one if one is None else self.normalise(side, key, one) for side, one in zip(self.sides, data))
            if a != b:
                self._differ(label, key, a, b, [side.name for side in self.sides])

    def _differ(self, label, key, a, b, sides):
        self.differences.append(Difference(label, key, a, b, sides, self.name_of(key)))

    def _named(self, function):
        def call(side):
            try:
                return function(side)
            except Exception as error:
                raise RuntimeError("on %s, user %s: %s" % (side.name, side.user, error)) from error
        return call

    def report(self, of_each=2):
        """The differences by kind: how many there are, and the first few of each."""
        kinds = {}
        for difference in self.differences:
            kinds.setdefault(difference.kind, []).append(difference)
        lines = []
        for kind, differences in kinds.items():
            lines.append("%d of %s" % (len(differences), kind))
            lines += [str(difference) for difference in differences[:of_each]]
        return "\n".join(lines)

    def assert_equal(self):
        assert self.compared > 0, "nothing was compared"
        assert not self.differences, "%d of %d observations differ\n%s" % (
            len(self.differences), self.compared, self.report())
