"""What the module costs: logins of distinct users at 200 a second, no auth cache, a policy of 10,000 accounts, beside a server without it.

Longer: LBOX_LOGIN_SECONDS=60 ... pytest -s test_protocol_speed.py
"""
# ctest: timeout=300

import os
import statistics
import time

from support.protocols import AuthClient, logins

ACCOUNTS = 10000
RATE = 200  # logins a second, of both servers together
SECONDS = int(os.environ.get("LBOX_LOGIN_SECONDS", "2"))  # of a round
ROUNDS = 3  # the best one counts: what else the machine does hits one server or the other
LIMIT = 0.0002  # s more at the median
SOCKET = "service auth {\n  unix_listener auth-speed {\n    mode = 0666\n  }\n}\n"


def big_policy():
    text = ['[package.full]\n[package.pop-s]\nmanagesieve = "deny"\nimap = { access = "deny", from = "2199-01-01" }\n']
    for n in range(ACCOUNTS):
        text.append('[account."a%d"]\npackage = "%s"\ndomains = ["d%d.example"]\n' % (n, ("full", "pop-s")[n % 2], n))
        if n % 3 == 0:
            text.append('[account."a%d".user."u@d%d.example"]\npop3 = "warn"\n' % (n, n))
    return "".join(text)


def measure(clients):
    """Times of logins of distinct users, in turn: with the module, without."""
    times = ([], [])
    begin = time.monotonic()
    for n in range(SECONDS * RATE):
        time.sleep(max(0, begin + n / RATE - time.monotonic()))
        user = "u@d%d.example" % (n // 2 * 37 % ACCOUNTS)
        at = time.perf_counter()
        answer = clients[n % 2].login(user, service="imap")
        times[n % 2].append(time.perf_counter() - at)
        assert answer[0] == "OK"
    return times


def test_median_of_a_login(server_factory):
    policy = big_policy()
    sites = [logins(server_factory, policy, module=module, after=SOCKET) for module in (None, "")]
    clients = [AuthClient(site.server.base + "/run/auth-speed") for site in sites]
    for client in clients:
        assert client.login("u@d1.example", service="imap")[0] == "OK"
    assert clients[0].login("u@d1.example", service="sieve")[0] == "FAIL"  # it is the policy that is asked
    assert clients[1].login("u@d1.example", service="sieve")[0] == "OK"
    costs = []
    for _ in range(ROUNDS):
        with_module, without = (statistics.median(times) for times in measure(clients))
        print("\nmedian of a login: %.0f us with the module, %.0f us without" % (with_module * 1e6, without * 1e6))
        costs.append(with_module - without)
    assert min(costs) < LIMIT, costs
    for client in clients:
        client.close()
