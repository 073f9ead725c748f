"""Real Postfix asks quota-status before DATA: two mailboxes and a web root of one account fill its package together."""
# ctest: timeout=300 labels=quota

import os
import shutil
import smtplib

import pytest

from support.beside import imap, message, until
from support.hosting import Hosting
from support.peers import Postfix

MB = 1024 * 1024
ANN, BOB, CYD = ("%s@%s" % (name, Postfix.DOMAIN) for name in ("ann", "bob", "cyd"))
POLICY = """
[package.gold]
limit = "4M"
mailbox_limit = "1500k"
web_interval = "1h"
[account."customer"]
package = "gold"
users = ["%s", "%s"]
web_roots = ["%s"]
[account."other"]
package = "gold"
users = ["%s"]
"""


@pytest.fixture(params=["lbox", "maildir"])
def site(request, server_factory, tmp_path):
    web = "/run/lbox-web-%d" % os.getpid()
    shutil.rmtree(web, ignore_errors=True)
    os.makedirs(web + "/htdocs")
    try:
        site = Hosting(server_factory, request.param, POLICY % (ANN, BOB, web, CYD), web=True)
        site.web_root = web
        site.await_service()
        yield site
    finally:
        shutil.rmtree(web, ignore_errors=True)


def sized(name, kilobytes):
    return message(name, size=kilobytes * 1024)


def fill_web(site, name, size):
    with open("%s/htdocs/%s" % (site.web_root, name), "wb") as file:
        file.write(os.urandom(size))


def measure(site, wanted):
    site.doveadm("hosting", "recalc", "--web", "customer")
    site.await_usage("customer", lambda usage: wanted(usage.web), "the web figure does not come")


def refused_before_data(postfix, recipient, data):
    with postfix.smtp() as smtp:
        smtp.ehlo()
        smtp.mail("sender@example.org", ["SIZE=%d" % len(data)])
        code, text = smtp.rcpt(recipient)
        smtp.rset()
    return code, text.decode()


def test_mail_and_web_fill_the_package(site):
    with Postfix(site.server, policy_service="inet:127.0.0.1:%d" % site.status_port) as postfix:
        postfix.send([ANN], sized("to ann", 1000))
        postfix.send([BOB], sized("to bob", 1000))
        postfix.await_log(r"status=sent \(250 2\.0\.0", 2)
        site.await_usage("customer", lambda usage: usage.mail > 2000 * 1024)
        fill_web(site, "movie", MB)
        measure(site, lambda web: web >= MB)

        # What is left, about 1 MB, is for either of them.
        assert refused_before_data(postfix, ANN, sized("x", 300))[0] == 250
        postfix.send([BOB], sized("fits", 400))
        postfix.await_log(r"status=sent \(250 2\.0\.0", 3)

        # The web root grows: nobody gets mail any more, and the sender learns it before DATA.
        fill_web(site, "more", 2 * MB)
        measure(site, lambda web: web >= 3 * MB)
        for user in (ANN, BOB):
            code, text = refused_before_data(postfix, user, sized("x", 1))
            assert code == 552 and "Hosting package is full" in text and "web 3.0 MB" in text, text
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            postfix.send([ANN], sized("x", 1))
        with imap(site.server, ANN) as ann:
            assert ann.append("INBOX", sized("x", 1)).code == b"OVERQUOTA"
        postfix.send([CYD], sized("another account", 100))
        postfix.await_log(r"to=<%s>.*status=sent" % CYD)

        # Freed web space lets mail in.
        os.unlink(site.web_root + "/htdocs/more")
        measure(site, lambda web: web < 2 * MB)
        postfix.send([ANN], sized("at last", 100))
        postfix.await_log(r"to=<%s>.*status=sent" % ANN, 2)

        # The mailbox's own limit holds whatever the package has left.
        os.unlink(site.web_root + "/htdocs/movie")
        measure(site, lambda web: web < MB)
        code, text = refused_before_data(postfix, ANN, sized("too much for ann", 600))
        assert code == 552 and "Message does not fit in the mailbox" in text, text
        assert refused_before_data(postfix, CYD, sized("not for cyd", 600))[0] == 250
    until(lambda: site.usage("customer").sources["web", site.web_root]["stale"] == "no", "web figure is stale")
