#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten thousand slow clients, and an honest one that is served within 2
seconds each time."""
# instance:
# timeout: 300
# full: it takes 20,000 descriptors and a minute
# alone: it measures how long a client waits

import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import honest  # noqa: E402


def test_ten_thousand():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 10100:
        raise cases.Skip("%d descriptors are allowed here" % hard)
    honest.served_beside(10000, 40)


cases.main(globals())
