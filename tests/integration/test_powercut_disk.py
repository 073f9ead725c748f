"""The disks that power cut tests work on: they behave as disks do for what Dovecot and LMDB need of them, and lose in a power cut
what was not flushed, and only that."""

import contextlib
import errno
import fcntl
import mmap
import multiprocessing
import os
import subprocess
import tempfile

import pytest

from support.config import MAIL_UID
from support.powercut import Ext4Disk, PowercutDisk

DISKS = {"powercut": PowercutDisk, "ext4": Ext4Disk}


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="lbox-", dir=os.environ.get("LBOX_TMP", "/tmp")) as path:
        os.chmod(path, 0o755)  # for the mail user
        yield path


@pytest.fixture
def disk(folder):
    with PowercutDisk(folder + "/disk", MAIL_UID) as made:
        yield made


@pytest.fixture(params=DISKS)
def either_disk(request, folder):
    with DISKS[request.param](folder + "/disk", MAIL_UID) as made:
        yield made


def as_mail_user(function, *arguments):
    """What a function answers when a process of the mail user calls it."""
    receiver, sender = multiprocessing.Pipe(False)

    def run():
        os.setgroups([])
        os.setgid(MAIL_UID)
        os.setuid(MAIL_UID)
        try:
            sender.send((function(*arguments), None))
        except Exception as error:  # pylint: disable=broad-except
            sender.send((None, error))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    answer, error = receiver.recv()
    if error is not None:
        raise error
    return answer


@contextlib.contextmanager
def opened(path, flags=os.O_RDWR | os.O_CREAT, mode=0o600):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def flush_folder(path):
    with opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)


def names(path):
    return sorted(name for name in os.listdir(path) if name != "lost+found")


def test_keeps_what_was_flushed_and_drops_the_rest(either_disk):
    disk, path = either_disk, either_disk.path
    for name in ("flushed", "grown"):
        with opened(path + "/" + name) as fd:
            os.write(fd, b"flushed bytes")
            os.fsync(fd)
    flush_folder(path)
    os.sync()
    with opened(path + "/grown", os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b" and others")
    os.rename(path + "/flushed", path + "/renamed")
    with opened(path + "/new") as fd:
        os.write(fd, b"x")
    assert names(path) == ["grown", "new", "renamed"] and read(path + "/grown") == b"flushed bytes and others"
    disk.off()
    with pytest.raises(OSError):
        with opened(path + "/later") as fd:
            os.write(fd, b"x")
            os.fsync(fd)
    disk.boot()
    assert names(path) == ["flushed", "grown"]
    assert read(path + "/grown") == read(path + "/flushed") == b"flushed bytes"

    # And all of it when it is flushed.
    os.rename(path + "/flushed", path + "/renamed")
    flush_folder(path)
    with opened(path + "/grown", os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b" and others")
        os.fdatasync(fd)
    disk.off()
    disk.boot()
    assert names(path) == ["grown", "renamed"] and read(path + "/grown") == b"flushed bytes and others"


def test_the_kernel_forgets_what_it_had_cached(disk):
    path = disk.path + "/file"
    with opened(path) as fd:
        os.write(fd, b"a" * 8192)
        os.fsync(fd)
        flush_folder(disk.path)
        os.pwrite(fd, b"b" * 8192, 0)
    with open(path, "rb") as old:
        assert old.read() == b"b" * 8192
        disk.off()
        disk.boot()
        assert read(path) == b"a" * 8192
        with pytest.raises(OSError):  # a process of before the cut
            os.fstat(old.fileno())


def test_kinds_of_cuts(disk):
    seen = set()
    for kind in disk.kinds:
        for seed in range(12):
            for name in names(disk.path):
                os.unlink(disk.path + "/" + name)
            flush_folder(disk.path)
            for name in "abcd":
                with opened(disk.path + "/" + name) as fd:
                    os.write(fd, b"x" * 100)
            disk.off()
            disk.boot(kind, seed)
            seen.add((kind, tuple(len(read(disk.path + "/" + name)) for name in names(disk.path))))
    assert {left for kind, left in seen if kind == "dropped"} == {()}
    assert {left for kind, left in seen if kind == "torn"} == {(100, 100, 100, 50)}
    assert {left for kind, left in seen if kind == "names"} == {(0, 0, 0, 0)}
    assert len({left for kind, left in seen if kind == "prefix"}) > 3
    assert len({left for kind, left in seen if kind == "scattered"}) > 3


def test_a_lying_disk(disk):
    disk.lie()
    for name, flags in (("flushed", 0), ("through", os.O_DSYNC)):
        with opened(disk.path + "/" + name, os.O_RDWR | os.O_CREAT | flags) as fd:
            os.write(fd, b"x")
            os.fsync(fd)
    flush_folder(disk.path)
    disk.off()
    disk.boot()
    assert names(disk.path) == []


def test_written_through(disk):
    with opened(disk.path + "/file") as fd:
        os.write(fd, b"0123456789")
        os.fsync(fd)
    flush_folder(disk.path)
    with opened(disk.path + "/file", os.O_WRONLY | os.O_DSYNC) as fd:
        os.pwrite(fd, b"AB", 4)
    assert disk.pending() == 0
    disk.off()
    disk.boot()
    assert read(disk.path + "/file") == b"0123AB6789"


def _maps(path):
    """What LMDB does: writes by pwrite, reads through a shared map."""
    with opened(path) as fd:
        os.pwrite(fd, b"1" * 4096, 0)
        os.ftruncate(fd, 1 << 20)
        shared = mmap.mmap(fd, 1 << 20, mmap.MAP_SHARED, mmap.PROT_READ)
        seen = [shared[:1]]
        for n in range(50):
            os.pwrite(fd, bytes([n]) * 4096, 4096 * n)
            seen.append(shared[4096 * n:4096 * n + 1] == bytes([n]))
        child = os.fork()
        if child == 0:
            with opened(path, os.O_WRONLY) as other:
                os.pwrite(other, b"2", 0)
            os._exit(0)
        os.waitpid(child, 0)
        seen.append(shared[:1])
        shared.close()
        # What another process puts into a map that both write to (LMDB's table of readers).
        os.ftruncate(fd, 8192)
        shared = mmap.mmap(fd, 8192)
        child = os.fork()
        if child == 0:
            with opened(path) as other:
                mmap.mmap(other, 8192)[5000:5005] = b"child"
            os._exit(0)
        os.waitpid(child, 0)
        return seen, shared[5000:5005], os.pread(fd, 5, 5000)


def test_maps(disk):
    assert as_mail_user(_maps, disk.path + "/map") == ([b"1"] + [True] * 50 + [b"2"], b"child", b"child")
    assert read(disk.path + "/map")[5000:5005] == b"child"


def _is_locked(path, by_flock):
    def attempt():
        with opened(path) as fd:
            (fcntl.flock if by_flock else fcntl.lockf)(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    try:
        as_mail_user(attempt)
    except OSError as error:
        assert error.errno in (errno.EAGAIN, errno.EACCES)
        return True
    return False


@pytest.mark.parametrize("by_flock", (True, False))
def test_locks(disk, by_flock):
    path = disk.path + "/lock"
    with opened(path) as fd:
        os.chown(path, MAIL_UID, MAIL_UID)
        assert not _is_locked(path, by_flock)
        (fcntl.flock if by_flock else fcntl.lockf)(fd, fcntl.LOCK_EX)
        assert _is_locked(path, by_flock)
    assert not _is_locked(path, by_flock)


def _names_and_links(path):
    os.chdir(path)
    os.mkdir("d", 0o700)
    with opened("d/a", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640) as fd:
        os.write(fd, b"hello")
        os.link("d/a", "b")
        assert os.fstat(fd).st_nlink == 2
        os.unlink("d/a")
        os.unlink("b")
        assert os.fstat(fd).st_nlink == 0 and os.pread(fd, 9, 0) == b"hello"  # still open
        os.ftruncate(fd, 2)
        os.lseek(fd, 0, os.SEEK_END)
        os.write(fd, b"y")
        assert os.pread(fd, 9, 0) == b"hey"
    with opened("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND) as one, opened("log", os.O_WRONLY | os.O_APPEND) as two:
        for fd in (one, two, one):
            os.write(fd, b"%d" % (fd == two))
    assert read("log") == b"010"
    with pytest.raises(FileExistsError):
        with opened("log", os.O_WRONLY | os.O_CREAT | os.O_EXCL):
            pass
    with open("log", "wb"):
        pass
    assert os.stat("log").st_size == 0
    os.rename("log", "d/log")
    os.rename("d", "e")
    os.chmod("e/log", 0o400)
    os.utime("e/log", (1, 2))
    info = os.stat("e/log")
    assert (info.st_mode & 0o777, info.st_uid, info.st_atime, info.st_mtime) == (0o400, MAIL_UID, 1, 2)
    with pytest.raises(PermissionError):
        os.chown("e/log", 0, 0)
    return sorted(os.listdir(".")), os.listdir("e")


def test_names_and_links_of_the_mail_user(disk):
    assert as_mail_user(_names_and_links, disk.path) == (["e"], ["log"])
    os.mkdir(disk.path + "/root", 0o700)
    with pytest.raises(PermissionError):
        as_mail_user(os.listdir, disk.path + "/root")
    for n in range(500):
        os.mkdir("%s/root/%d" % (disk.path, n))
    assert len(os.listdir(disk.path + "/root")) == 500
    subprocess.run(["rm", "-r", disk.path + "/root"], check=True)


def test_calls_that_fail(disk):
    with opened(disk.path + "/file") as fd:
        disk.fail(errno.ENOSPC, 2, 2)
        assert os.write(fd, b"x" * 100) == 100
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                os.write(fd, b"y" * 100)
        assert os.write(fd, b"z" * 100) == 100
        assert disk.faults() == (4, 2)
        disk.fail(errno.EIO, 1)
        with pytest.raises(OSError, match="Input/output"):
            os.fsync(fd)
        os.fsync(fd)
        disk.fail(0, 1)
        assert os.write(fd, b"w" * 100) == 50
        assert os.write(fd, b"w" * 50) == 50
        disk.fail(errno.ENOSPC, 1, 9, "space")
        os.ftruncate(fd, 250)  # gives room
        disk.fail(0, 0)
    assert read(disk.path + "/file") == b"x" * 100 + b"z" * 100 + b"w" * 50
