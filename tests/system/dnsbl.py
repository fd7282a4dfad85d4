#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS lists: what is asked, how often, and what a list that fails means.
(Replies: system/restrictions.)"""
# timeout: 120

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import dns_server  # noqa: E402
import ipc  # noqa: E402
import restriction_cases as table  # noqa: E402
import smtpd_alone  # noqa: E402

ZONE = [
    "2.0.0.127.black.test A 127.0.0.2",
    "2.0.0.127.black.test A 127.0.0.9",
    "2.0.0.127.black.test TXT one reason",
    "3.0.0.127.grey.test SERVFAIL",
    "3.0.0.127.white.test A 127.0.0.1",
    "black.test TXT a list",
]
BOTH = "%s boris@%s" % (table.ALICE, table.DOMAIN)


class Place(smtpd_alone.Place):
    def __init__(self):
        self.dns = dns_server.Server(ZONE).start()
        super().__init__(resolver_forward="127.0.0.1@%d" % self.dns.port,
                         resolver_trust_anchor="")
        self.resolver = ipc.Daemon("resolver", self.house)

    def ask(self, source, *settings, rcpts=table.ALICE):
        self.dns.zone.queries.clear()
        d = self.smtpd(*settings)
        return table.ask(("", source, "h.test", "s@a.test", rcpts, ()),
                         d.port)

    def asked(self, name):
        return [kind for asked, kind in self.dns.zone.queries
                if asked == name]

    def close(self):
        self.resolver.close()
        super().close()
        self.dns.stop()


place = Place()


def test_listed():
    reply = place.ask("127.0.0.2",
                      "smtpd_client_restrictions=reject_rbl_client "
                      "black.test=127.0.0.[8..9]")
    cases.equal(reply, "554 5.7.1 Service unavailable; Client host "
                "[127.0.0.2] blocked using black.test; one reason")
    cases.equal(sorted(place.asked("2.0.0.127.black.test")), ["A", "TXT"])
    cases.wait_for("the line", lambda: re.search(
        r"smtpd\[\d+\]: NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.2\]: "
        r"554 5\.7\.1 Service unavailable; Client host \[127\.0\.0\.2\] "
        r"blocked using black\.test; one reason; from=<s@a\.test> "
        r"to=<%s> proto=ESMTP helo=<h\.test>$" % re.escape(table.ALICE),
        place.log_text(), re.M))


def test_asked_once_a_session():
    """Two recipients, and each list twice in them; answers have a TTL of a
    second in the resolver."""
    reply = place.ask("127.0.0.4", "smtpd_recipient_restrictions="
                      "reject_rbl_client black.test, sleep 2, "
                      "reject_rbl_client black.test=127.0.0.2", rcpts=BOTH)
    cases.equal(reply, "250 2.1.5 Ok")
    cases.equal(place.asked("4.0.0.127.black.test"), ["A"])


def test_a_list_that_fails():
    cases.equal(place.ask("127.0.0.3", "smtpd_client_restrictions="
                          "reject_rbl_client grey.test"), "250 2.1.5 Ok")
    cases.wait_for("the warning", lambda: re.search(
        r"warning: 3\.0\.0\.127\.grey\.test: RBL lookup error: ",
        place.log_text()))
    # One that might have permitted: later.
    cases.equal(place.ask("127.0.0.3", "smtpd_client_restrictions="
                          "permit_dnswl_client grey.test, reject"),
                "450 4.7.1 <127.0.0.3>: Client host rejected: Service "
                "unavailable")


def test_good_ones():
    cases.equal(place.ask("127.0.0.3", "smtpd_client_restrictions="
                          "permit_dnswl_client white.test, reject"),
                "250 2.1.5 Ok")
    cases.equal(place.ask("127.0.0.3", "smtpd_relay_restrictions="
                          "permit_dnswl_client white.test, "
                          "reject_unauth_destination",
                          rcpts="x@elsewhere.test"),
                "554 5.7.1 <x@elsewhere.test>: Relay access denied")
    cases.equal(place.asked("3.0.0.127.white.test"), [])


if __name__ == "__main__":
    try:
        cases.main(globals())
    finally:
        place.close()
