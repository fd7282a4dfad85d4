#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 240
"""make demo DEMO=once: its steps, its status, and that it stops by itself."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402


def test_once():
    out = cases.run([os.path.join(cases.ROOT, "tests", "demo"),
                     "once"]).stdout
    for part in ("$ sendmail -t -i", "accepted over TLSv1.", "$ postqueue -p",
                 "Connection refused", "Subject: by sendmail",
                 "Subject: by SMTP", "Subject: by submission",
                 "Point Thunderbird, mutt", "It works."):
        cases.contains(out, part)
    cases.matches(out, r"^   [0-9A-F]{11,15}! ", "a held message")


cases.main(globals())
