"""What lies in a folder: how much disk it takes, and which files are Dovecot's index files."""

import itertools
import os
import re

INDEX_FILE = re.compile(r"^dovecot(\.list)?\.index(?!\.pvt)")


def allocated(*folders):
    """(bytes, files) below folders; hard links once, temporary files that go meanwhile not at all."""
    seen = {}
    for where, _, files in itertools.chain(*map(os.walk, folders)):
        for file in files:
            try:
                status = os.lstat(os.path.join(where, file))
            except FileNotFoundError:
                continue
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values()), len(seen)


def remove_files(folder, pattern=INDEX_FILE):
    """Removes the files below a folder whose names match; returns how many there were."""
    count = 0
    for where, _, files in os.walk(folder):
        for file in filter(pattern.match, files):
            os.unlink(os.path.join(where, file))
            count += 1
    return count
