"""Fixtures for tests against a real Dovecot.

A test fails when Dovecot logs an error, a warning or a crash during it, unless the test announced it
with server.allow_log(). When a test fails, the log is shown and the server's folder is kept.
"""

import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from support.server import SERIES, Server  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "series(name): only on this Dovecot series, '2.3' or '2.4'")
    if config.option.basetemp is None:
        # Tests let other uids read below tmp_path. The usual folder is shut to these again whenever another pytest starts.
        config.own_folder = tempfile.mkdtemp(prefix="lbox-pytest-")
        os.chmod(config.own_folder, 0o755)
        config.option.basetemp = config.own_folder + "/tests"


def pytest_unconfigure(config):
    if hasattr(config, "own_folder"):
        shutil.rmtree(config.own_folder, ignore_errors=True)


def pytest_runtest_setup(item):
    for mark in item.iter_markers("series"):
        if mark.args[0] != SERIES:
            pytest.skip("for Dovecot %s, this is %s" % (mark.args[0], SERIES))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in Server.live:
            server.keep = True
            report.sections.append(("Dovecot %s, kept in %s" % (server.series, server.base),
                                    server.log_tail()))


def _factory():
    servers = []

    def make(prepare=None, **options):
        """prepare(server), before it starts: for configuration that needs to know its folder."""
        servers.append(Server(**options))
        if prepare is not None:
            prepare(servers[-1])
            servers[-1].write_config()
        return servers[-1].start()

    yield make
    problems = []
    for server in servers:
        try:
            server.stop()
            server.assert_log_clean()
        except AssertionError as problem:
            server.keep = True
            problems.append("%s\nkept in %s" % (problem, server.base))
        finally:
            server.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def server_factory():
    """server_factory(driver=..., ...) starts a Server that lives as long as the test."""
    yield from _factory()


@pytest.fixture(scope="module")
def module_server_factory():
    """The same, for servers that the tests of one file share."""
    yield from _factory()


@pytest.fixture(autouse=True)
def _clean_logs():
    yield
    for server in Server.live:
        server.assert_log_clean()
