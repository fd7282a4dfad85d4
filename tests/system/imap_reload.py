#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reload ends no session; a stop ends each with a BYE."""
# instance:
# timeout: 120

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases  # noqa: E402
import mail  # noqa: E402
from imap_ext import Talk  # noqa: E402


def test_sessions_survive_a_reload():
    idle, plain = Talk(), Talk()
    idle.ok("SELECT INBOX")
    plain.ok("SELECT INBOX")
    idle.send("t IDLE\r\n")
    idle.line()
    # Different settings: the processes of IMAP are replaced.
    cases.run(["postconf", "-e", "imap_idle_notify_interval=100s"])
    cases.run(["chappe", "reload"])
    new = Talk()
    new.append("INBOX", "Subject: r\r\n\r\nx\r\n")
    cases.equal(idle.line(), "* 1 EXISTS\r\n")
    cases.equal(idle.line(), "* 1 RECENT\r\n")
    cases.contains(plain.ok("NOOP"), "* 1 EXISTS")
    # Delivered mail reaches sessions that the old spawner started.
    mail.send(mail.text("after the reload"))
    cases.equal(idle.line(), "* 2 EXISTS\r\n")
    idle.send("DONE\r\n")
    cases.matches(idle.answer(), "^t OK")
    for t in (idle, plain, new):
        t.ok("LOGOUT")
        t.close()


def test_stop_says_bye():
    idle, waiting = Talk(), Talk()
    idle.ok("SELECT INBOX")
    idle.send("t IDLE\r\n")
    idle.line()
    cases.run(["chappe", "stop"])
    for t in (idle, waiting):
        cases.matches(t.line(), r"^\* BYE ")
        cases.equal(t.line(), "")
        t.close()


if __name__ == "__main__":
    cases.main(globals())
