"""A disk whose power can be cut, mounted (tests/powercut; its main.cc says what the commands do), and an ext4 whose power is
cut by the kernel. Both have:

    with PowercutDisk(path, owner) as disk:
        disk.off()              every call fails from here on, and nothing changes
        disk.boot("torn", 17)   what was not flushed is dropped as the kind says, and the disk is mounted again

Mounts are seen by this process and its children alone: made before the server that is to see them.
"""

import errno
import fcntl
import os
import struct
import subprocess
import uuid

from .limits import private_mounts
from .server import BUILD

KINDS = ("dropped", "prefix", "torn", "names", "scattered")  # of cuts
PROGRAM = os.path.join(BUILD, "tests", "powercut", "powercut")


class PowercutDisk:
    kinds = KINDS
    # Of Dovecot. In between a write that makes a file longer and its end, FUSE tells the new size but lets nobody read there by a
    # map: a process that maps dovecot.index.log as far as it is told may be killed by SIGBUS.
    settings = "mmap_disable = yes\n"

    def __init__(self, path, owner):
        private_mounts()
        self.path = path
        os.makedirs(path, exist_ok=True)
        self._process = subprocess.Popen([PROGRAM, path, str(owner), str(owner)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         cwd="/", start_new_session=True, text=True, bufsize=1)
        self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._process.stdin.close()  # this ends it
        self._process.stdout.close()
        assert self._process.wait(60) == 0

    def _answer(self):
        line = self._process.stdout.readline()
        assert line.startswith("ok"), "powercut: %r" % line
        return line.split()[1:]

    def command(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        return self._answer()

    def off(self):
        self.command("off")

    def cut(self, kill):
        """The power goes while processes work, which kill() then kills: none of them gets as far as to see a call fail."""
        self.command("hold")
        kill()
        self.off()

    def boot(self, kind="dropped", seed=0):
        self.command("boot", kind, seed)

    def lie(self, on=True):
        """Flushes are acknowledged and not done."""
        self.command("lie", "on" if on else "off")

    def fail(self, error, first, count=1, calls="all"):
        """Calls that change something fail from the first-th (from 1) on. error: of errno, or 0 for short writes; calls: "all", or
        "space" for those only that may need room; first 0: none fails, they are only counted."""
        self.command("fail", error, first, count, calls)

    def faults(self):
        """(calls, those of them that failed) since fail()"""
        calls, failed = self.command("faults")
        return int(calls), int(failed)

    def pending(self):
        """How many changes are not durable."""
        return int(self.command("pending")[0])


class Ext4Disk:
    """An ext4 on a loop device, cut off by EXT4_IOC_SHUTDOWN without a flush of its journal; what the kernel had not written is
    gone. Raises OSError where the machine does not let one."""

    kinds = ("shutdown",)
    settings = ""
    _IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), linux/fs/ext4/ext4.h
    _NOLOGFLUSH = 2

    def __init__(self, path, owner, megabytes=256):
        private_mounts()
        self.path, self._image = path, path.rstrip("/") + ".img"
        os.makedirs(path, exist_ok=True)
        with open(self._image, "wb") as file:
            file.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-m", "0", "-F", self._image)
        self._mount()
        os.chown(path, owner, owner)
        os.sync()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        _run("umount", self.path)
        os.unlink(self._image)

    def _mount(self):
        _run("mount", "-o", "loop", self._image, self.path)

    def off(self):
        root = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(root, self._IOC_SHUTDOWN, struct.pack("=I", self._NOLOGFLUSH))
        finally:
            os.close(root)

    def cut(self, kill):
        self.off()
        kill()

    def boot(self, *_):
        _run("umount", self.path)
        self._mount()


class BootId:
    """What the kernel says which boot this is, for this process and its children, until close()."""

    _PLACE = "/proc/sys/kernel/random/boot_id"

    def __init__(self, folder):
        private_mounts()
        self._path = folder + "/boot_id"
        self.change()
        _run("mount", "--bind", self._path, self._PLACE)

    def change(self):
        with open(self._path, "w", encoding="ascii") as file:
            file.write("%s\n" % uuid.uuid4())

    def close(self):
        _run("umount", self._PLACE)


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(errno.EIO, "%s: %s" % (" ".join(command), done.stderr.strip()))
