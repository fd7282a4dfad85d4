#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays the transcripts below tests/system/talk, each whole and byte by byte,
a few at a time. A case is a file; its name is FOLDER_FILE. What is wrong with
one is said when all have been played, as is which of them got a message in
that it must not have: such a message's sender is evil-$WORD@..."""
# instance: -M @tests/system/talk/services -o relay_domains=relay.test
# timeout: 300

import glob
import os
import re
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import cases  # noqa: E402
import talk  # noqa: E402

AT_A_TIME = 8


def play(path):
    talk.play(path, LONG="x" * 100000)


class Played:
    """The transcripts' verdicts, as they come in."""

    def __init__(self, paths):
        self.left, self.faults = list(paths), {}
        self.threads = [threading.Thread(target=self._play)
                        for _ in range(AT_A_TIME)]
        for t in self.threads:
            t.start()

    def _play(self):
        while True:
            try:
                path = self.left.pop()
            except IndexError:
                return
            try:
                play(path)
                self.faults[path] = None
            except Exception as e:  # whatever it is, it is that case's
                self.faults[path] = e

    def verdict(self, path):
        for t in self.threads:
            t.join()
        if self.faults[path] is not None:
            raise self.faults[path]


def name_of(path):
    return os.path.relpath(path, os.path.join(HERE, "talk"))[:-5].replace(
        os.sep, "_")


def nothing_was_smuggled():
    """Queue manager and mailboxes have seen no evil message."""
    with open(os.environ["MAIL_LOG"], errors="replace") as f:
        seen = re.findall(r"qmgr\[\d+\]: \S+ from=<evil.*", f.read())
    for box in (os.environ["MAILBOX1"], os.environ["MAILBOX2"]):
        for path in glob.glob(box + "/new/*"):
            with open(path, "rb") as f:
                seen += re.findall(rb"\AReturn-Path: <evil.*", f.read())
    assert not seen, seen


def main():
    paths = sorted(glob.glob(os.path.join(HERE, "talk", "**", "*.talk"),
                             recursive=True))
    if sys.argv[1:]:
        paths = [p for p in paths if name_of(p) in sys.argv[1:]]
    assert paths, "there are no such transcripts"
    played = Played(paths)
    tests = {"test_" + name_of(p): lambda p=p: played.verdict(p)
             for p in paths}
    tests["test_nothing_was_smuggled"] = nothing_was_smuggled
    sys.argv[1:] = []
    cases.main(tests)


main()
