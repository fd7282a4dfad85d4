#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages and commands made to hurt: each answer comes within a second or
so, and the session's memory stays small."""
# instance:
# timeout: 240

import imaplib
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

SECONDS = 5 if os.environ.get("MODE") != "asan" else 20
MEMORY_KB = 64 * 1024
imaplib._MAXLINE = 1 << 24  # BODYSTRUCTURE of a bomb is one long line


def nested(n):
    return b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n"
                    b"--b%d\r\n" % (i, i) for i in range(n))


MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
MESSAGES = {
    "100k To lines": b"".join(b"To: a%d@b\r\n" % i for i in range(100000)) +
    b"\r\nx\r\n",
    "200k addresses": b"To: " + b", ".join(
        b"a%d@b" % i for i in range(200000)) + b"\r\n\r\nx\r\n",
    "100k groups": b"To: " + b"g:;," * 100000 + b"\r\n\r\nx\r\n",
    "5 MB line": b"Subject: " + b"x" * 5000000 + b"\r\n\r\nx\r\n",
    "200k folds": b"Subject: x\r\n" + b" y\r\n" * 200000 + b"\r\nx\r\n",
    "100k fields": b"".join(b"X-%d: y\r\n" % i for i in range(100000)) +
    b"\r\nx\r\n",
    "1k nested": nested(1000),
    "10k nested": nested(10000),
    "2k rfc822": b"Content-Type: message/rfc822\r\n\r\n" * 2000,
    "50k parts": MIXED + b"--b\r\n\r\nx\r\n" * 50000,
    "100 kB boundary": b"Content-Type: multipart/mixed; boundary=" +
    b"b" * 100000 + b"\r\n\r\n--" + b"b" * 100000 + b"\r\n\r\nx\r\n",
    "50k parameters": b"Content-Type: text/plain" + b"".join(
        b"; a*%d=x" % i for i in range(50000)) + b"\r\n\r\nx\r\n",
    "boundary prefixes": MIXED + b"".join(
        b"--b" + b"b" * (i % 50) + b"\r\n" for i in range(50000)),
}


def timed(what, fn):
    start = time.monotonic()
    got = fn()
    took = time.monotonic() - start
    assert took < SECONDS, "%s took %.1f s" % (what, took)
    return got


def session_memory():
    """The most that the newest session has ever held, in kB."""
    mpid = re.findall(r"Login: user=<%s>.* mpid=(\d+)" % mail.user(1),
                      mail.log())[-1]
    with open("/proc/%s/status" % mpid) as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


def test_message_bombs():
    c = mail.imap()
    c.create("bombs")
    c.select("bombs")
    start = None
    for i, (name, text) in enumerate(MESSAGES.items(), 1):
        cases.equal(c.append("bombs", None, None, text)[0], "OK", name)
        c.noop()
        for item in ("ENVELOPE", "BODYSTRUCTURE",
                     "(BODY.PEEK[HEADER.FIELDS (To)])", "(BODY.PEEK[1.1])"):
            got = timed("%s of %s" % (item, name),
                        lambda: c.fetch(str(i), item))
            cases.equal(got[0], "OK", name)
        for key in ("TO zzz", "SUBJECT zzz", "BODY zzz", "TEXT zzz"):
            got = timed("%s in %s" % (key, name),
                        lambda: c.search(None, "%d %s" % (i, key)))
            cases.equal(got, ("OK", [b""]), name)
        start = start or session_memory()
    if os.environ.get("MODE") != "asan":
        assert session_memory() < start + MEMORY_KB, session_memory()
    c.logout()


def test_nested_commands():
    c = mail.imap()
    for text in (b"(" * 60000, b")" * 60000, b"OR " * 20000,
                 b"NOT (" * 12000, b"NOT " * 15000 + b"ALL",
                 b"OR ALL " * 9000 + b"ALL"):
        c.send(b"zz SEARCH " + text + b"\r\n")

        def answer():
            while True:
                line = c.readline()
                assert line, "closed"
                if line.startswith(b"zz "):
                    return line
        cases.matches(timed(text[:8], answer).decode(), "^zz (OK|BAD)")
    c.logout()


def test_wildcards():
    c = mail.imap()
    c.create("a" * 60)
    for pattern in ("*%" * 450, "*a" * 40, "%a*" * 300):
        cases.equal(timed(pattern[:4], lambda: c.list('""', pattern))[0],
                    "OK")
    c.logout()


if __name__ == "__main__":
    cases.main(globals())
