#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays the transcripts in tests/system/talk, each whole and byte by byte."""
# instance:
# timeout: 300

import glob
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import cases  # noqa: E402
import talk  # noqa: E402


def case(path):
    return lambda: talk.play(path, LONG="x" * 100000)


paths = sorted(glob.glob(os.path.join(HERE, "talk", "*.talk")))
assert paths, "there are no transcripts"
cases.main({"test_" + os.path.basename(p)[:-5]: case(p) for p in paths})
