"""Mail in a mailbox that somebody else shares counts for the owner, and the owner's package decides."""
# ctest: timeout=300 labels=quota

import pytest

from support.beside import imap, message, until
from support.config import DEFAULT_PATHS
from support.hosting import Hosting, mail_bytes

KB = 1024
ANN, CYD = "ann@example.com", "cyd@other.example"
POLICY = """
[package.p]
limit = "100k"
[account."example.com"]
package = "p"
domains = ["example.com"]
[account."other.example"]
package = "p"
domains = ["other.example"]
"""
NAMESPACES = {
    "2.3": """
namespace inbox {
  inbox = yes
  separator = /
}
namespace shared {
  type = shared
  separator = /
  prefix = shared/%%%%u/
  location = %(driver)s:%%%%h/%(folder)s
  subscriptions = no
  list = children
}
""",
    "2.4": """
namespace inbox {
  inbox = yes
  separator = /
}
namespace shared {
  type = shared
  separator = /
  prefix = shared/$user/
  mail_path = %%{owner_home}/%(folder)s
  subscriptions = no
  list = children
}
""",
}
ACL = {
    "2.3": "acl = vfile\nacl_shared_dict = file:%h/../shared-mailboxes",
    "2.4": "acl_driver = vfile\nacl_sharing_map {\n  dict file {\n    path = %{home}/../shared-mailboxes\n  }\n}\n",
}


@pytest.fixture(params=["lbox", "maildir"])
def site(request, server_factory):
    names = {"driver": request.param, "folder": DEFAULT_PATHS[request.param].replace("~/", "")}
    site = Hosting(server_factory, request.param, POLICY, plugins=("acl",), extra=ACL,
                   namespaces={series: text % names for series, text in NAMESPACES.items()})
    site.await_service()
    return site


def test_shared_mailbox_counts_for_its_owner(site):
    with imap(site.server, ANN) as ann:
        ann.ok("CREATE Team")
        ann.append("INBOX", message("own", size=50 * KB)).expect_ok()
    site.doveadm("acl", "set", "Team", "user=" + CYD, "lookup", "read", "write", "insert", "write-deleted", "expunge", user=ANN)
    team = "shared/%s/Team" % ANN
    with imap(site.server, CYD) as cyd:
        cyd.append("INBOX", message("guest's own", size=5 * KB)).expect_ok()
        cyd.append(team, message("for the team", size=30 * KB)).expect_ok()
        site.await_usage("example.com", lambda usage: usage.mail == 80 * KB)
        assert site.usage("other.example").mail == 5 * KB

        # The owner's package is full; the guest's is not.
        refused = cyd.append(team, message("too much", size=30 * KB))
        assert refused.code == b"OVERQUOTA" and b"in the hosting package: 80 KB of 100 KB used" in refused.tagged, refused
        cyd.append("INBOX", message("guest's own", size=30 * KB)).expect_ok()
        refused = cyd.command("COPY", "1", team) if cyd.select("INBOX")[b"EXISTS"] == 2 else None
        assert refused is not None and refused.ok  # 5 KB still fit
        site.await_usage("example.com", lambda usage: usage.mail == 85 * KB)
        assert cyd.command("COPY", "2", team).code == b"OVERQUOTA"

        # What the guest removes is the owner's again.
        cyd.select(team)
        cyd.ok("STORE 1 +FLAGS (\\Deleted)")
        cyd.ok("EXPUNGE")
        site.await_usage("example.com", lambda usage: usage.mail == 55 * KB)
    usage = until(lambda: site.usage("other.example"), "")
    assert usage.mail == 35 * KB == mail_bytes_of_own(site)


def mail_bytes_of_own(site):
    """Of the guest; what is shared with them is none of theirs."""
    with imap(site.server, CYD) as cyd:
        cyd.select("INBOX")
        own = sum(int(items[b"RFC822.SIZE"]) for items in cyd.fetch("1:*", "RFC822.SIZE").values())
    assert mail_bytes(site.server, ANN) == 55 * KB
    return own
