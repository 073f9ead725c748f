"""doveadm hosting: what an operator and a panel see and do."""
# ctest: timeout=300 labels=quota

import base64
import csv
import io
import json
import os
import time
import urllib.request

import pytest

from support.beside import lmtp, message
from support.hosting import Hosting
from support.server import HOST, REPO

KB = 1024
POLICY = """
[package.gold]
limit = "200k"
mailbox_limit = "120k"
over_limit = "bill"
hard_limit = "1M"
overage = { price = "20.00", currency = "ZAR", per = "1G" }
[account."example.com"]
package = "gold"
domains = ["example.com"]
external = { databases = { stale_after = "2 days" } }
[account."=cmd"]
package = "gold"
domains = ["strange.example"]
"""


@pytest.fixture(scope="module")
def site(module_server_factory):
    site = Hosting(module_server_factory, "maildir", POLICY)
    site.await_service()
    with lmtp(site.server) as delivery:
        delivery.deliver("ann@example.com", message("a", size=20 * KB))
        delivery.deliver("eve@strange.example", message("a", size=20 * KB))
    site.await_usage("example.com", lambda usage: usage.mail > 20 * KB)
    site.await_usage("=cmd", lambda usage: usage.mail > 20 * KB)
    return site


def http(site, command, **parameters):
    """The rows that doveadm's HTTP API answers with."""
    request = urllib.request.Request(
        "http://%s:%d/doveadm/v1" % (HOST, site.http_port), data=json.dumps([[command, parameters, "tag"]]).encode(),
        headers={"Content-Type": "application/json",
                 "Authorization": "X-Dovecot-API " + base64.b64encode(b"key").decode()})
    with urllib.request.urlopen(request, timeout=60) as answer:
        ((kind, rows, tag),) = json.load(answer)
    assert tag == "tag"
    return kind, rows


def test_example_configuration(site, tmp_path):
    """What packaging/ has for this series is taken by Dovecot, and its policy by doveadm."""
    server = site.server
    with open(server.config_file, encoding="utf-8") as file:
        usual = file.read().replace(server.config.extra, "")
    example = tmp_path / "dovecot.conf"
    conf = os.path.join(REPO, "packaging", "conf")
    head, rest = usual.split("protocols", 1)  # 2.4 wants its versions first
    example.write_text("%s!include %s/hosting-%s.conf\nprotocols%s" % (head, conf, server.series, rest))
    server.allow_log("Global setting mail_plugins won't change")  # the test's own list follows
    shown = server.run("doveconf", "-c", str(example), "-n").text
    assert "hosting-recount" in shown and "hosting-mailbox" in shown
    answer = site.doveadm("hosting", "config", "check", "--file", conf + "/hosting.toml", check=False)
    # The users that it names need not exist on this machine.
    assert all("user" in line or "has problems" in line or "does not read" in line for line in answer.err.splitlines()), answer.err
    server.allow_log("hosting.toml")


def test_config_check(site):
    answer = site.doveadm("hosting", "config", "check")
    assert "packages=1 accounts=2" in answer.text
    draft = site.server.base + "/draft.toml"
    with open(draft, "w", encoding="ascii") as file:
        file.write('[package.x]\nlimit = "10G"\nover_limit = "refus"\n')
    answer = site.doveadm("hosting", "config", "check", "--file", draft, check=False)
    assert answer.code == 64
    assert "draft.toml:3:14: expected" in answer.err
    site.server.allow_log("draft.toml")


def test_accounts(site):
    rows = site.rows("account", "list")
    assert [row["account"] for row in rows] == ["=cmd", "example.com"]
    assert rows[1]["package"] == "gold" and rows[1]["limit"] == "200k" and rows[1]["domains"] == "example.com"
    shown = {row["setting"]: row["value"] for row in site.rows("account", "show", "example.com")}
    assert shown["limit"].startswith("200k: package gold (%s:" % site.policy_file) and shown["time_zone"] == "UTC"
    shown = {row["setting"]: row["value"] for row in site.rows("account", "show", "--user", "ann@example.com")}
    assert shown["account"] == "example.com"
    answer = site.doveadm("hosting", "account", "show", "nope", check=False)
    assert answer.code == 65 and "there is no account nope" in answer.err
    site.server.allow_log("there is no account nope")


def test_usage_and_sources(site):
    answer = site.doveadm("hosting", "source", "set", "example.com", "databases", "80k")
    assert answer.code == 0
    usage = site.usage("example.com")
    row = usage.sources["external", "databases"]
    assert row["bytes"] == str(80 * KB) and row["stale"] == "no" and int(row["age"]) < 60
    assert usage.sources["total", "example.com"]["percent"] == "%.1f" % (usage.total * 100 / (200 * KB))
    (all_of_it,) = [row for row in site.rows("usage") if row["account"] == "example.com"]
    assert (all_of_it["total"], all_of_it["external"], all_of_it["over_limit"]) == (str(usage.total), str(80 * KB), "bill")
    for wrong in (("usage", "nope"), ("source", "set", "example.com", "other", "1"), ("source", "set", "nope", "databases", "1"),
                  ("source", "set", "example.com", "databases", "many"), ("recalc", "nope"), ("invoice", "--month", "2026-13")):
        site.server.allow_log(r"^(doveadm: )?Error: ")
        answer = site.doveadm("hosting", *wrong, check=False)
        assert answer.code in (64, 65), (wrong, answer)
        assert "Error: hosting: " in answer.err, wrong


def test_invoice(site):
    month = time.strftime("%Y-%m", time.gmtime())
    rows = site.rows("invoice", "--month", month)
    assert {row["account"] for row in rows} <= {"example.com", "=cmd"}
    table = site.doveadm("hosting", "invoice", "--month", month, "--csv").text
    lines = list(csv.reader(io.StringIO(table)))
    assert lines[0][:3] == ["account", "package", "month"]
    assert {line[0] for line in lines[1:]} == {row["account"].replace("=cmd", "'=cmd") for row in rows}


def test_status_and_recalc(site):
    assert site.doveadm("hosting", "status").text.strip()
    before = site.usage("example.com").mail
    site.doveadm("hosting", "recalc", "ann@example.com")
    site.await_usage("example.com", lambda usage: usage.mail == before)


def test_http_api_has_the_same(site):
    kind, rows = http(site, "hostingUsage")
    assert kind == "doveadmResponse" and {row["account"] for row in rows} == {"example.com", "=cmd"}
    kind, rows = http(site, "hostingUsage", account="example.com")
    assert kind == "doveadmResponse" and rows[0]["kind"] == "total"
    kind, rows = http(site, "hostingSourceSet", account="example.com", source="databases", size="50k")
    assert kind == "doveadmResponse"
    assert site.usage("example.com").of("external", "databases") == 50 * KB
    kind, rows = http(site, "hostingConfigCheck")
    assert kind == "doveadmResponse" and rows[0]["accounts"] in ("2", 2)
    kind, rows = http(site, "hostingAccountShow", user="eve@strange.example")
    assert rows[0] == {"setting": "account", "value": "=cmd"}
    site.server.allow_log(r"Error: .*hosting: no account")
    assert http(site, "hostingUsage", account="nope") == ("error", {"type": "exitCode", "exitCode": 65})
