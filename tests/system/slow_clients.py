#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand slow clients (a byte now and then, half commands) hold sessions,
and an honest client is served within 2 seconds each time. Ten thousand are in
system/slow_clients_10000."""
# instance:
# timeout: 120
# alone: it measures how long a client waits

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import honest  # noqa: E402


def test_a_thousand():
    honest.served_beside(1000, 10)


cases.main(globals())
