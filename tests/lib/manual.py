#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of parameters in conf/main.cf.5 is what `postconf -R` prints of
the tables in the code. Run by itself this writes it anew."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("B") or
                     "build/%s" % os.environ.get("MODE", "debug"))
PAGE = os.path.join(ROOT, "conf/main.cf.5")
BEGIN = ".Sh PARAMETERS\nEach with its default.\n.Bl -tag -width Ds\n"
END = ".El\n.Sh FILES\n"


def page():
    with open(PAGE) as f:
        return f.read()


def wanted():
    """The page with the list as it should be."""
    text = page()
    head, rest = text.split(BEGIN)
    params = subprocess.run(
        [os.path.join(BUILD, "bin/postconf"), "-R"], capture_output=True,
        text=True, check=True).stdout
    return head + BEGIN + params + END + rest.split(END)[1]


if __name__ == "__main__":
    new = wanted()
    if new != page():
        with open(PAGE, "w") as f:
            f.write(new)
        print("conf/main.cf.5 is written anew")
    sys.exit(0)
