# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that means it, beside a crowd of slow ones."""

import time

import cases
import slow_clients
import smtp_session as mail

LIMIT_S = 2 * (4 if cases.WAIT_S > 30 else 1)  # sanitizers are slow


def whole_session(source):
    """From connecting to the answer to QUIT; seconds."""
    begun = time.monotonic()
    word = mail.token()
    with mail.smtp(source=source) as s:
        s.ehlo()
        s.sendmail("honest@b.test", [mail.ADDRESSES[0]], "Subject: %s" % word)
    return time.monotonic() - begun, word


def served_beside(count, seconds):
    """With so many slow clients in session, and while they go on: one after
    the other, for so long."""
    with slow_clients.Crowd(mail.port("smtp"), count) as crowd:
        crowd.wait("the crowd is in session",
                   lambda c: c.in_session >= count * 99 // 100, 120)
        slowest, sessions, last = 0, 0, None
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            took, last = whole_session(("127.0.0.1", mail.STRANGER)[
                sessions % 2])
            assert took < LIMIT_S, "it took %.2f s" % took
            slowest = max(slowest, took)
            sessions += 1
            crowd.look()
        assert crowd.in_session >= count * 99 // 100, vars(crowd)
        print("%d sessions beside %d slow ones, the slowest took %.3f s" % (
            sessions, crowd.in_session, slowest), flush=True)
        assert sessions > seconds, "only %d sessions" % sessions
        mail.delivered(mail.MAILBOXES[0], last)
