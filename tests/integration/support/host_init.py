"""The first process of a host of its own (host.py): mounts and network; it then stays until its stdin is closed.

    python3 host_init.py JOB      in new mount, network and PID namespaces; JOB is a JSON file

A program, not a module.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys

SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8914, 1
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def cover(source, target):
    os.makedirs(target, exist_ok=True)
    mount("--bind", source, target)


def network(addresses):
    """lo, and further addresses on it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for number, address in enumerate(["127.0.0.1", *addresses]):
            name = ("lo:%d" % number if number else "lo").encode()
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address)))
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name, IFF_UP))


def devices(root, folder, log):
    """PrivateDevices=true, and where syslog() writes."""
    os.makedirs(folder, exist_ok=True)
    mount("-t", "tmpfs", "-o", "mode=0755", "host-dev", folder)
    for name in DEVICES:
        open(folder + "/" + name, "w", encoding="ascii").close()
        mount("--bind", "/dev/" + name, folder + "/" + name)
    for name in ("shm", "pts"):
        os.mkdir(folder + "/" + name, 0o1777)
    open(folder + "/log", "w", encoding="ascii").close()
    mount("--bind", log, folder + "/log")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, folder + "/" + name)
    mount("--move", folder, root + "/dev")


def read_only(root, folders):
    """ProtectSystem=: these folders with all that is mounted below them."""
    for folder in folders:
        path = root + folder
        if os.path.isdir(path) and not os.path.islink(path):
            mount("--rbind", path, path)
            with open("/proc/self/mounts", encoding="utf-8") as file:
                points = {line.split()[1] for line in file}
            for point in points:
                if point == path or point.startswith(path + "/"):
                    mount("-o", "remount,bind,ro", point)


def main(path):
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    root = job["root"]
    if job["addresses"] is not None:
        network(job["addresses"])
    if job["overlay"]:
        mount("-t", "overlay", "-o", "lowerdir=%(lower)s,upperdir=%(upper)s,workdir=%(work)s" % job["overlay"], "host", root)
    devices(root, job["dev"], job["log"])
    for target, source in job["covers"].items():
        cover(source, root + target)
    mount("-t", "proc", "proc", root + "/proc")
    read_only(root, job["read_only"])
    os.chroot(root or "/")
    os.chdir("/")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaps what others leave
    print("ready", flush=True)
    sys.stdin.read()  # until whoever started it closes that, or has ended; then the kernel ends all processes here


main(sys.argv[1])
