#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the router makes of addresses, seen through SMTP and the mailboxes;
tables that are not there, come, and change under the running daemons."""
# instance: -o recipient_delimiter=+ -o virtual_alias_maps=texthash:$config_directory/virtual -o transport_maps=hash:$config_directory/transport -o virtual_alias_domains=alias.test -o relay_domains=texthash:$queue_directory/../relays
# timeout: 180

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

CONF = os.environ.get("CHAPPE_CONFIG", "")
U1, U2, OURS = mail.user(1), mail.user(2), mail.DOMAIN
UNKNOWN = "Recipient address rejected: User unknown in %s table"


RELAYS = os.path.dirname(os.environ.get("QUEUE_DIR", ""))


def write(name, text):
    path = os.path.join(CONF, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o644)
    return path


def rcpt(address):
    """The code and text of the reply."""
    with mail.smtp() as s:
        s.ehlo()
        s.mail("a@b.test")
        code, text = s.docmd("RCPT TO:<%s>" % address)
        return code, text.decode()


def equal(address, code, text=None):
    got = rcpt(address)
    cases.equal(got[0], code, "%s: %s" % (address, got[1]))
    if text:
        cases.contains(got[1], text)


def test_a_table_that_is_missing_is_temporary():
    equal("x@relayed.test", 451, "4.3.0")
    write(RELAYS + "/relays", "relayed.test yes\n")
    equal(mail.address(1), 451, "4.3.0")
    write("virtual", "# empty\n")
    equal(mail.address(1), 451, "4.3.0")
    path = write("transport", "gone.test error:5.1.2 no such place\n"
                 "later.test retry:4.7.1 not today\n")
    subprocess.run(["postmap", path], check=True)
    os.chmod(path + ".gdbm", 0o644)
    cases.wait_for("tables", lambda: rcpt(mail.address(1))[0] == 250)


def test_local_names():
    for name in (U1, U1.upper(), U1 + "+tag", "postmaster", "Postmaster",
                 "postmaster+x"):
        equal("%s@%s" % (name, OURS), 250)
    equal("%s@[127.0.0.1]" % U1, 250)
    equal("%s@localhost" % U1, 250)
    equal("postmaster", 250)
    for name in ("nobody-here", U1 + "-x", "+" + U1, U1 + "%x.test",
                 '"%s@x.test"' % U1):
        equal("%s@%s" % (name, OURS), 550,
              "5.1.1 <%s@%s>: " % (name, OURS) +
              UNKNOWN % "local recipient")


def test_transports_that_refuse():
    equal("x@gone.test", 550, "5.1.2 <x@gone.test>: Recipient address "
          "rejected: no such place")
    equal("x@later.test", 450, "4.7.1 <x@later.test>: Recipient address "
          "rejected: not today")


def test_virtual_aliases():
    equal("all@alias.test", 550, UNKNOWN % "virtual alias")
    write("virtual", "all@alias.test %s@%s, %s\n"
          "loop@alias.test pool@alias.test\npool@alias.test loop@alias.test\n"
          % (U1, OURS, U2))
    cases.wait_for("the new table", lambda: rcpt("all@alias.test")[0] == 250)
    equal("other@alias.test", 550, UNKNOWN % "virtual alias")
    equal("loop@alias.test", 451, "4.3.0 <loop@alias.test>: Temporary "
          "lookup failure")
    mail.send(mail.text("to both", to="all@alias.test"), "all@alias.test")
    for n in (1, 2):
        mail.wait_for_mail("to both", n)


def test_an_extension_reaches_the_user():
    mail.send(mail.text("with tag"), "%s+tag@%s" % (U1, OURS))
    mail.wait_for_mail("with tag")


def explain(address, status=0):
    return cases.run(["chappe", "explain", address], status=status).stdout


def test_explain_says_which_line_decided():
    address = "%s+x@%s" % (U1, OURS)
    cases.equal(explain(address).splitlines(), [
        address, "  user %s+x: unknown" % U1, "  user %s: there" % U1,
        "  local: mydestination default",
        "  -> %s by local to %s" % (address, cases.run(
            ["postconf", "-hx", "myhostname"]).stdout.strip()),
        "     mydestination default"])
    cases.contains(explain("all@alias.test"),
                   "virtual_alias_maps %s/virtual:1; mydestination" % CONF)
    cases.contains(explain("x@gone.test", 1),
                   "refused: 550 5.1.2 no such place")
    cases.contains(explain("x@far.test"), "only for those who may relay")
    cases.contains(explain("nobody-here", 1),
                   "User unknown in local recipient table")


cases.main(globals())
