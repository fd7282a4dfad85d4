#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restriction lists: smtpd answers each row of tests/lib/restriction_cases.py
as real Postfix did (system/restrictions_oracle), and logs it in its shapes."""
# timeout: 300

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import dns_server  # noqa: E402
import ipc  # noqa: E402
import restriction_cases as table  # noqa: E402
import smtpd_alone  # noqa: E402

DOMAIN = table.DOMAIN

# Where we mean to differ from Postfix, and why.
DIFFERENT = {}
WORKERS = 4


class Place(smtpd_alone.Place):
    def __init__(self):
        self.lock = threading.Lock()
        self.dns = dns_server.Server(table.ZONE).start()
        super().__init__(smtpd_peername_lookup="yes",
                         resolver_forward="127.0.0.1@%d" % self.dns.port,
                         resolver_trust_anchor="")
        table.write_tables(self.house.path("conf"))
        self.resolver = ipc.Daemon("resolver", self.house)

    def overrides(self, row):
        settings = dict(table.COMMON, smtpd_relay_restrictions=(
            "permit_mynetworks, permit_sasl_authenticated, "
            "defer_unauth_destination"))
        settings.update(table.settings(row, self.house.path("conf")))
        return ["%s=%s" % pair for pair in settings.items()]

    def ask(self, row):
        # Starting a daemon changes this process's user for a moment.
        with self.lock:
            d = smtpd_alone.Smtpd(self.house, self.tls,
                                  overrides=self.overrides(row))
        try:
            return table.ask(row, d.port)
        finally:
            with self.lock:
                d.close()

    def close(self):
        self.resolver.close()
        super().close()
        self.dns.stop()


place = Place()


def ask_all(rows):
    """The replies, in the rows' order; a few at a time."""
    replies = ["not asked"] * len(rows)

    def work(first):
        for n in range(first, len(rows), WORKERS):
            try:
                replies[n] = table.without_ids(place.ask(rows[n]))
            except Exception as e:  # shown with the row
                replies[n] = repr(e)

    threads = [threading.Thread(target=work, args=(n,))
               for n in range(WORKERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return replies


def test_replies_are_those_of_postfix():
    wanted = table.recorded()
    rows = list(table.rows())
    cases.equal(sorted(r[0] for r in rows), sorted(wanted))
    wrong = []
    for row, reply in zip(rows, ask_all(rows)):
        expected = DIFFERENT.get(row[0], wanted[row[0]])
        if reply != expected:
            wrong.append("%s\n   got      %s\n   expected %s" %
                         (row[0], reply, expected))
    assert not wrong, "%d of %d:\n%s" % (len(wrong), len(rows),
                                         "\n".join(wrong))


if __name__ == "__main__":
    try:
        cases.main(globals())
    finally:
        place.close()
