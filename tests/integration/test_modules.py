"""What the build puts into build/modules, into Dovecot's module folder, and nowhere else."""

import json
import os
import re
import subprocess

import pytest

from support.server import BUILD, MODULES, REPO

SYSTEM = os.environ.get("DOVECOT_MODULE_DIR", "/usr/lib/dovecot/modules")
WITH_MODULES = os.path.join(REPO, "packaging", "with-modules")


def files(folder):
    return {os.path.relpath(os.path.join(where, name), folder)
            for where, _, names in os.walk(folder) for name in names}


def built():
    return sorted(name for name in files(MODULES) if not os.path.islink(os.path.join(MODULES, name)))


def with_modules(*command):
    return subprocess.run([WITH_MODULES, "-B", BUILD, *command], capture_output=True, text=True,
                          check=False, timeout=60)


def test_folder_holds_what_is_built_and_links_to_the_rest():
    assert any(re.fullmatch(r"lib\d\d_lbox_plugin\.so", name) for name in built())
    assert files(MODULES) == files(SYSTEM) | set(built())
    for name in files(SYSTEM) - set(built()):
        assert os.path.samefile(os.path.join(MODULES, name), os.path.join(SYSTEM, name))


@pytest.mark.parametrize("name", built())
def test_module_exports_its_entry_points_alone(name):
    listed = subprocess.run(["nm", "-D", "--defined-only", os.path.join(MODULES, name)],
                            capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    stem = re.sub(r"^lib(\d\d_)?|\.so$", "", os.path.basename(name))
    assert [stem + "_version"] == [name for kind, name in symbols if name.endswith("_version")]
    assert all(re.search("lbox|hosting", name) and not name.startswith("_Z") for _kind, name in symbols)
    assert not [name for kind, name in symbols if kind == "u"], "unique symbols keep a module loaded"


def test_with_modules_covers_the_compiled_in_folder_for_one_command():
    before = files(SYSTEM)
    seen = with_modules("find", SYSTEM, "!", "-type", "d", "-printf", "%P\n")
    assert seen.returncode == 0, seen.stderr
    assert set(seen.stdout.split()) == before | set(built())
    assert files(SYSTEM) == before
    assert os.listdir(os.path.join(BUILD, "modules.mount")) == []
    # build/modules itself goes on to lead to the system's modules
    broken = with_modules("find", "-L", MODULES, "-type", "l")
    assert (broken.returncode, broken.stdout) == (0, "")


def test_with_modules_passes_arguments_and_exit_status_on():
    done = with_modules("sh", "-c", 'echo "$1|$2|$PWD"; exit 7', "sh", "a b", "$c")
    assert (done.returncode, done.stdout) == (7, "a b|$c|%s\n" % os.getcwd())


def test_install_puts_every_module_where_dovecot_looks(tmp_path):
    subprocess.run(["cmake", "--install", BUILD], check=True, capture_output=True,
                   env={**os.environ, "DESTDIR": str(tmp_path)})
    assert files(str(tmp_path) + SYSTEM) == set(built())


def test_installed_modules_serve_mail(tmp_path, server_factory):
    subprocess.run(["cmake", "--install", BUILD], check=True, capture_output=True,
                   env={**os.environ, "DESTDIR": str(tmp_path)})
    os.chmod(tmp_path, 0o755)
    server = server_factory(driver="lbox", modules=str(tmp_path) + SYSTEM)
    server.deliver("alice", b"Subject: installed\r\n\r\nbody\r\n")
    imap = server.imap("alice")
    assert imap.select("INBOX") == ("OK", [b"1"])
    imap.logout()


def test_doveadm_module_loads_in_place(server_factory):
    server = server_factory(driver="lbox", in_place=True)
    server.deliver("alice", b"Subject: counted\r\n\r\nbody\r\n")
    status, = json.loads(server.doveadm("-f", "json", "lbox", "status", user="alice").out)
    assert int(status["messages"]) == 1
