#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 300
"""tests/instance itself: what COMMAND gets, what becomes of its status, two
side by side, and that nothing is left behind."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402

INSTANCE = os.path.join(cases.ROOT, "tests", "instance")
NAMES = ("SMTP_HOST", "SMTP_PORT", "SUBMISSION_PORT", "SUBMISSIONS_PORT",
         "LMTP_PORT", "IMAP_HOST", "IMAP_PORT", "IMAPS_PORT", "MAIL_DOMAIN",
         "CA_FILE", "USER1", "PASS1", "MAILBOX1", "USER2", "PASS2",
         "MAILBOX2", "QUEUE_DIR", "CHAPPE_CONFIG", "MAIL_LOG")


def instance(*argv, status=0):
    return cases.run([INSTANCE] + list(argv), status=status)


def kept_directory(done):
    return cases.matches(done.stderr, r"kept: (\S+)$", "stderr").group(1)


def discard(path):
    cases.run(["rm", "-rf", "--", path])


def test_environment():
    done = instance("--", "env")
    got = dict(line.split("=", 1) for line in done.stdout.splitlines()
               if "=" in line)
    for name in NAMES:
        assert got.get(name), name
    cases.equal(got["SMTP_HOST"], "localhost")
    assert "@" not in got["USER1"], "a login name"
    assert not os.path.exists(got["QUEUE_DIR"]), "removed afterwards"


def test_tools_on_path():
    for tool in ("sendmail", "mailq", "newaliases", "postqueue", "postsuper",
                 "postcat", "postmap", "postalias", "postconf", "chappe"):
        done = instance("--", "sh", "-c", "command -v " + tool)
        cases.contains(done.stdout, "/tmp/", tool)


def test_mailboxes_exist_empty():
    instance("--", "sh", "-c", 'test -d "$MAILBOX1/new" && '
             'test -z "$(ls -A "$MAILBOX1/new")$(ls -A "$MAILBOX1/cur")" && '
             'test -d "$MAILBOX2/new"')
    instance("--mailbox", "mbox", "--", "sh", "-c",
             'test -f "$MAILBOX1" && ! test -s "$MAILBOX1"')


def test_options_and_services():
    done = instance("-o", "message_size_limit=12345", "-M",
                    "extra unix y - n - 1 smtp", "--", "sh", "-c",
                    "postconf -h message_size_limit; "
                    "ls $QUEUE_DIR/private/extra")
    cases.equal(done.stdout.splitlines()[0], "12345")
    cases.contains(done.stdout, "/private/extra")


def test_status_and_directory_of_failure():
    done = instance("--", "sh", "-c", "exit 7", status=7)
    path = kept_directory(done)
    assert os.path.exists(os.path.join(path, "etc", "main.cf"))
    discard(path)
    done = instance("--", "sh", "-c", "kill -TERM $$", status=128 + 15)
    discard(kept_directory(done))
    done = instance("--", "/no/such/command", status=127)
    discard(kept_directory(done))


def test_bad_option_says_why():
    done = instance("-o", "mydestinatoin=x", "--", "true", status=125)
    cases.contains(done.stderr, "mydestinatoin")
    cases.contains(done.stderr, "mydestination")
    discard(kept_directory(done))


def test_two_side_by_side():
    child = subprocess.Popen([INSTANCE, "--", "sh", "-c",
                              'echo up; read line'], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    cases.equal(child.stdout.readline(), "up\n")
    instance("--", "true")
    child.communicate("go\n", timeout=60)
    cases.equal(child.returncode, 0)


def test_runs_as_an_ordinary_user():
    done = instance("--", "sh", "-c",
                    'id -u; stat -c %u /proc/$MASTER_PID "$QUEUE_DIR"')
    caller, *suite = done.stdout.split()
    cases.equal(caller, str(os.getuid()))
    assert "0" not in suite, suite


def test_localhost_is_named_by_the_certificate():
    instance("--", "sh", "-c", "printf 'a logout\\r\\n' | openssl s_client -quiet "
             "-connect localhost:$IMAPS_PORT -CAfile $CA_FILE "
             "-verify_hostname localhost -verify_return_error")


def test_open_files_are_raised():
    done = instance("--", "sh", "-c", "ulimit -Sn; ulimit -Hn; grep 'Max "
                    "open' /proc/$MASTER_PID/limits")
    soft, hard = done.stdout.split()[:2]
    cases.equal(soft, hard)


def test_dead_suite_is_a_failure():
    done = instance("--", "sh", "-c", "kill -9 $MASTER_PID; "
                    "while kill -0 $MASTER_PID 2>/dev/null; do "
                    "read x </dev/null; "
                    "[ $(awk '{print $3}' /proc/$MASTER_PID/stat) = Z ] && "
                    "break; done", status=124)
    cases.contains(done.stderr, "ended by itself")
    discard(kept_directory(done))


cases.main(globals())
