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
        times, last = [], None
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            took, last = whole_session(("127.0.0.1", mail.STRANGER)[
                len(times) % 2])
            times.append(took)
            crowd.look()
        assert crowd.in_session >= count * 99 // 100, vars(crowd)
        times.sort()
        print("%d sessions beside %d slow ones, the slowest took %.3f s" % (
            len(times), crowd.in_session, times[-1]), flush=True)
        assert len(times) > seconds, "only %d sessions" % len(times)
        # One in twenty may meet a moment in which the machine stands still.
        assert times[len(times) * 19 // 20] < LIMIT_S, times[-5:]
        mail.delivered(mail.MAILBOXES[0], last)
