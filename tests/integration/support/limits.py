"""For tests of what happens at a limit: small disks, and folders compared before and after."""

import contextlib
import ctypes
import hashlib
import os
import subprocess

_CLONE_NEWNS = 0x20000
_private = False


def private_mounts():
    """From here on, this process's mounts are seen by it and its children alone, and go when it ends. To be called before a
    server is started that is to see them."""
    global _private
    if not _private:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        # Fails in a chroot whose root is no mount point; what made that chroot has made its mounts private.
        subprocess.run(["mount", "--make-rprivate", "/"], check=False, stderr=subprocess.DEVNULL)
        _private = True


@contextlib.contextmanager
def small_disk(path, megabytes, owner, kind="tmpfs"):
    """A file system of that size at `path`, made for the owner; kind: tmpfs or ext4."""
    private_mounts()
    os.makedirs(path, exist_ok=True)
    image = path.rstrip("/") + ".img"
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0755" % megabytes, "lbox-test", path], check=True)
    else:
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, path], check=True)
    try:
        os.chown(path, owner, owner)
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
        if os.path.exists(image):
            os.unlink(image)


def free_bytes(path):
    info = os.statvfs(path)
    return info.f_bavail * info.f_frsize


def snapshot(folder):
    """{path: what a change would show in}: owner, mode, size, times of change of everything below a folder, and what files hold."""
    found = {}
    for root, folders, names in os.walk(folder):
        for path in [root] + [os.path.join(root, name) for name in names]:
            info = os.lstat(path)
            digest = ""
            if not os.path.isdir(path):
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            found[os.path.relpath(path, folder)] = (info.st_uid, info.st_mode, info.st_size, info.st_mtime_ns, digest)
    return found
