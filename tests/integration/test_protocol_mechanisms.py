"""Mechanisms that do not hand over a password: the package is told to who proves it, and to nobody else."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import threading

import pytest

from support.protocols import DENIED, POLICY, Line, logins

ROUNDS_OF_NONCE = 18


class Scram:
    """The client's side of SCRAM-SHA-256 (RFC 7677) without channel binding."""

    def __init__(self, user, password):
        self.password = password.encode()
        self.bare = "n=%s,r=%s" % (user, base64.b64encode(os.urandom(ROUNDS_OF_NONCE)).decode())

    def first(self):
        return "n,," + self.bare

    def final(self, server_first):
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = "c=biws,r=" + fields["r"]
        signed = ",".join((self.bare, server_first, without_proof)).encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        return "%s,p=%s" % (without_proof, base64.b64encode(proof).decode())


def encode(text):
    return base64.b64encode(text.encode()).decode()


def scram_login(server, user, password="pass"):
    scram = Scram(user, password)
    with Line(server.imap_port) as line:
        line.send("a AUTHENTICATE SCRAM-SHA-256")
        line.read()
        line.send(encode(scram.first()))
        challenge = line.read()
        if not challenge.startswith("+ "):
            return challenge
        line.send(encode(scram.final(base64.b64decode(challenge[2:]).decode())))
        answer = line.read()
        while not answer.startswith("a "):
            if answer.startswith("+"):
                line.send("")  # what proves the server to us
            answer = line.read()
        return answer[2:]


@pytest.fixture(scope="module")
def scram(module_server_factory):
    return logins(module_server_factory, after="auth_mechanisms = plain login scram-sha-256\n").server


def test_scram(scram):
    assert scram_login(scram, "ann@pop.example") == "NO [CONTACTADMIN] " + DENIED
    assert scram_login(scram, "bob@full.example").startswith("OK ")
    assert scram_login(scram, "admin@pop.example").startswith("OK ")


def test_scram_with_a_wrong_password_tells_nothing(scram):
    assert scram_login(scram, "ann@pop.example", "wrong") == "NO [AUTHENTICATIONFAILED] Authentication failed."
    assert scram_login(scram, "bob@full.example", "wrong") == "NO [AUTHENTICATIONFAILED] Authentication failed."


class Introspection(http.server.BaseHTTPRequestHandler):
    """RFC 7662: the token "token-USER" is USER's."""

    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        known = token.startswith("token-")
        body = json.dumps({"active": known, "username": token.removeprefix("token-")} if known else {"active": False}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def introspection():
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Introspection)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    yield service.server_address[1]
    service.shutdown()
    service.server_close()


@pytest.fixture(scope="module")
def oauth(module_server_factory, introspection, tmp_path_factory):
    file = tmp_path_factory.mktemp("oauth") / "oauth2.conf"
    file.write_text("introspection_url = http://127.0.0.1:%d/introspect\nintrospection_mode = auth\n"
                    "username_attribute = username\nactive_attribute = active\nactive_value = true\n" % introspection)
    for folder in (file, file.parent, file.parent.parent, file.parent.parent.parent):
        os.chmod(folder, 0o755)
    passdbs = {
        "2.3": "passdb {\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = %s\n}\n" % file,
        "2.4": "passdb oauth2 {\n  mechanisms_filter = xoauth2 oauthbearer\n}\n",
    }
    after = {
        "2.3": "auth_mechanisms = plain oauthbearer\n",
        "2.4": "auth_mechanisms = plain oauthbearer\noauth2 {\n  introspection_url = http://127.0.0.1:%d/introspect\n"
               "  introspection_mode = auth\n  username_attribute = username\n  active_attribute = active\n  active_value = true\n}\n"
               % introspection,
    }
    return logins(module_server_factory, passdbs=passdbs, after=after).server


def bearer_login(server, user, token):
    with Line(server.imap_port) as line:
        line.send("a AUTHENTICATE OAUTHBEARER " + encode("n,a=%s,\1auth=Bearer %s\1\1" % (user, token)))
        answer = line.read()
        while not answer.startswith("a "):
            if answer.startswith("+"):
                line.send("AQ==")
            answer = line.read()
        return answer[2:]


def test_oauthbearer(oauth):
    assert bearer_login(oauth, "ann@pop.example", "token-ann@pop.example") == "NO [CONTACTADMIN] " + DENIED
    assert bearer_login(oauth, "bob@full.example", "token-bob@full.example").startswith("OK ")
    refused = bearer_login(oauth, "ann@pop.example", "wrong")
    assert refused.startswith("NO ") and "package" not in refused
