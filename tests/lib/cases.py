# SPDX-License-Identifier: GPL-3.0-or-later
"""What system tests share: running the cases of a file, waiting for events,
and the instance's environment.

A test file has functions test_NAME, run in the order they stand, and ends
with `cases.main(globals())`. An exception fails a case; Skip skips it.
"""

import os
import re
import subprocess
import sys
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
WAIT_S = 30 * (3 if os.environ.get("MODE") == "asan" else 1)


class Skip(Exception):
    """The case can't run here; the text says why."""


def main(names):
    failed = 0
    only = sys.argv[1:]
    for name, fn in list(names.items()):
        if not name.startswith("test_") or not callable(fn):
            continue
        if only and name[5:] not in only:
            continue
        try:
            fn()
            print("ok %s" % name[5:], flush=True)
        except Skip as e:
            print("skip %s: %s" % (name[5:], e), flush=True)
        except Exception:
            failed += 1
            traceback.print_exc()
            sys.stderr.flush()
            print("not ok %s" % name[5:], flush=True)
    sys.exit(1 if failed else 0)


def wait_for(what, fn, seconds=None):
    """Asks fn until it gives something true; that is returned."""
    deadline = time.monotonic() + (seconds or WAIT_S)
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain for: %s" % what)
        time.sleep(0.02)


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError("%s: got %r, wanted %r" % (what or "value", got,
                                                        wanted))


def contains(text, part, what=""):
    if part not in text:
        raise AssertionError("%s: %r is not in %r" % (what or "text", part,
                                                      text))


def matches(text, pattern, what=""):
    m = re.search(pattern, text, re.M)
    if not m:
        raise AssertionError("%s: %r does not match %r" % (
            what or "text", text, pattern))
    return m


def run(argv, input=None, status=0, env=None, **more):
    """Runs a command (text in, text out); asserts its status unless None."""
    child = subprocess.Popen(
        argv, text=True, env=dict(os.environ, **env) if env else None,
        stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    try:
        out, err = child.communicate(input, timeout=WAIT_S * 2)
    except subprocess.TimeoutExpired:
        # Kindly: tests/instance then stops what it started.
        child.terminate()
        out, err = child.communicate(timeout=WAIT_S * 2)
        raise AssertionError("%s: not done in time; stdout %r stderr %r" %
                             (argv, out, err))
    done = subprocess.CompletedProcess(argv, child.returncode, out, err)
    if status is not None and done.returncode != status:
        raise AssertionError("%s: status %d, wanted %d; stdout %r stderr %r" %
                             (argv, done.returncode, status, done.stdout,
                              done.stderr))
    return done
