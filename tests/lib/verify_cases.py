# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about addresses to be verified, the next hops that are asked, and
the replies of real Postfix to RCPT (or MAIL), as it gave them to
tests/system/address_verify_oracle.py. PORT: of the next hop."""

import smtplib

DOMAIN = "chappe.test"
# Of both Postfix and ours.
SETTINGS = {
    "smtpd_relay_restrictions": "permit_mynetworks,reject",
    "smtpd_recipient_restrictions": "reject_unverified_recipient",
    "smtpd_sender_restrictions": "reject_unverified_sender",
    "unverified_recipient_reject_code": "550",
    "address_verify_poll_delay": "2s",
}
HOP = "host 127.0.0.1[127.0.0.1] said: "
AT_RCPT = " (in reply to RCPT TO command)"


# name, sender, recipient, reply
ROWS = [
    ("good", "", "good@there.test", "250 2.1.5 Ok"),
    ("known", "", "good@there.test", "250 2.1.5 Ok"),
    ("refused", "", "no@there.test",
     "550 5.1.1 <no@there.test>: Recipient address rejected: undeliverable "
     "address: " + HOP + "550 5.1.1 no such user" + AT_RCPT),
    ("refused, known", "", "no@there.test",
     "550 5.1.1 <no@there.test>: Recipient address rejected: undeliverable "
     "address: " + HOP + "550 5.1.1 no such user" + AT_RCPT),
    ("later", "", "later@there.test",
     "450 4.1.1 <later@there.test>: Recipient address rejected: unverified "
     "address: " + HOP + "450 4.2.0 come again" + AT_RCPT),
    ("away", "", "away@there.test",
     "450 4.1.1 <away@there.test>: Recipient address rejected: unverified "
     "address: " + HOP + "421 4.3.2 I am going" + AT_RCPT),
    ("dead", "", "x@dead.test",
     "450 4.1.1 <x@dead.test>: Recipient address rejected: unverified "
     "address: connect to 127.0.0.1[127.0.0.1]:PORT: Connection refused"),
    ("error", "", "x@shut.test",
     "550 5.1.1 <x@shut.test>: Recipient address rejected: undeliverable "
     "address: closed for good"),
    ("retry", "", "x@wait.test",
     "450 4.1.1 <x@wait.test>: Recipient address rejected: unverified "
     "address: not today"),
    ("local", "", "alice@" + DOMAIN, "250 2.1.5 Ok"),
    ("local unknown", "", "nobody.here@" + DOMAIN,
     "550 5.1.1 <nobody.here@chappe.test>: Recipient address rejected: "
     'undeliverable address: unknown user: "nobody.here"'),
    ("slow", "", "slow.p@there.test",
     "450 4.1.1 <slow.p@there.test>: Recipient address rejected: unverified "
     "address: Address verification in progress"),
    ("sender", "good.s@there.test", "good@there.test", "250 2.1.5 Ok"),
    ("sender refused", "no.s@there.test", "good@there.test",
     "450 4.1.7 <no.s@there.test>: Sender address rejected: unverified "
     "address: " + HOP + "550 5.1.1 no such user" + AT_RCPT),
    ("sender later", "later.s@there.test", "good@there.test",
     "450 4.1.7 <later.s@there.test>: Sender address rejected: unverified "
     "address: " + HOP + "450 4.2.0 come again" + AT_RCPT),
    ("sender of probes", "double-bounce@" + DOMAIN, "good@there.test",
     "250 2.1.5 Ok"),
    ("both", "later.s@there.test", "no@there.test",
     "550 5.1.1 <no@there.test>: Recipient address rejected: undeliverable "
     "address: " + HOP + "550 5.1.1 no such user" + AT_RCPT),
]


def answer(slow):
    """For mail.Sink: what it says to RCPT. slow: an Event."""
    def reply(verb, line):
        if verb != "RCPT":
            return None
        if "<no" in line:
            return "550 5.1.1 no such user"
        if "<later" in line:
            return "450 4.2.0 come again"
        if "<away" in line:
            return "421 4.3.2 I am going"
        if "<slow" in line:
            slow.wait(30)
        return None
    return reply


def transport(port, dead_port):
    """The lines of a transport table."""
    return ("there.test smtp:[127.0.0.1]:%d\n"
            "dead.test smtp:[127.0.0.1]:%d\n"
            "shut.test error:5.7.1 closed for good\n"
            "wait.test retry:4.2.1 not today\n" % (port, dead_port))


def ask(host, port, rcpt, sender=""):
    """The reply to RCPT, or to MAIL if that is refused."""
    with smtplib.SMTP(host, port, timeout=60) as s:
        s.ehlo()
        code, text = s.docmd("MAIL FROM:<%s>" % sender)
        if code == 250:
            code, text = s.docmd("RCPT TO:<%s>" % rcpt)
        return "%d %s" % (code, text.decode())


def wrong(host, port, dead_port):
    """The rows that are answered differently, as lines."""
    lines = []
    for name, sender, rcpt, wanted in ROWS:
        got = ask(host, port, rcpt, sender).replace(
            "]:%d:" % dead_port, "]:PORT:")
        if got != wanted:
            lines.append("%s\n   got      %s\n   expected %s"
                         % (name, got, wanted))
    return lines
