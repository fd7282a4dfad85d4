#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: --privileged --mailbox mbox
# timeout: 240
"""The suite as root runs it: real users, mbox files with their owners, modes
and locks, sessions under the user's uid, PAM; and the host untouched."""

import fcntl
import glob
import imaplib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

INSTANCE = os.path.join(cases.ROOT, "tests", "instance")
BOX = "/var/mail/john"


def deliver(subject):
    mail.send(mail.text(subject), mail.address(2))


def has(subject):
    with open(BOX, "rb") as f:
        return ("Subject: %s\n" % subject).encode() in f.read()


def test_mailbox_owner_and_mode():
    os.unlink(BOX)
    deliver("fresh")
    cases.wait_for("the mail", lambda: os.path.exists(BOX) and has("fresh"))
    st = os.stat(BOX)
    cases.equal((st.st_uid, oct(st.st_mode & 0o777)), (7102, "0o600"))
    cases.wait_for("the lock file's end",
                   lambda: not os.path.exists(BOX + ".lock"))


def test_waits_for_the_lock_file():
    with open(BOX + ".lock", "w") as f:
        f.write("0")
    deliver("after the dotlock")
    mail.wait_for_log("from=<sender@elsewhere.test>, .*nrcpt=1")
    time_of_unlock = time.time()
    os.unlink(BOX + ".lock")
    cases.wait_for("the mail", lambda: has("after the dotlock"))
    assert os.stat(BOX).st_mtime >= time_of_unlock - 0.01


def test_waits_for_the_fcntl_lock():
    with open(BOX, "r+b") as f:
        fcntl.lockf(f, fcntl.LOCK_EX)
        deliver("after the fcntl lock")
        mail.wait_for_log(r"size=\d+, nrcpt=1")
        time_of_unlock = time.time()
        assert not has("after the fcntl lock")
    # Any close of the file gives the lock back.
    cases.wait_for("the mail", lambda: has("after the fcntl lock"))
    assert os.stat(BOX).st_mtime >= time_of_unlock - 0.01


def test_no_delivery_into_what_is_not_his():
    """A link in the spool leads nowhere."""
    os.rename(BOX, BOX + ".away")
    os.symlink("/etc/motd-of-the-test", BOX)
    try:
        deliver("through a link")
        mail.wait_for_log(r"to=<john@\S+>, .*status=(deferred|bounced)")
        assert not os.path.exists("/etc/motd-of-the-test")
    finally:
        os.unlink(BOX)
        os.rename(BOX + ".away", BOX)


def processes(program):
    """The /proc/PID/status of our processes of that program."""
    found = []
    for path in glob.glob("/proc/[0-9]*/exe"):
        try:
            exe = os.readlink(path)
            if os.path.basename(exe) == program and \
                    mail.env("INSTANCE_DIR") in exe:
                with open(os.path.dirname(path) + "/status") as f:
                    found.append(dict(line.rstrip("\n").split(":\t", 1)
                                      for line in f if ":\t" in line))
        except OSError:
            continue
    return found


def test_session_runs_as_the_user():
    c = imaplib.IMAP4_SSL("localhost", int(mail.env("IMAPS_PORT")),
                          ssl_context=mail.tls())
    c.login("john", "the password of john")
    status = processes("imap-session")
    cases.equal([s["Uid"].split() for s in status], [["7102"] * 4])
    cases.equal(int(status[0]["CapEff"], 16), 0)
    cases.equal(status[0]["NoNewPrivs"], "1")
    c.logout()


def test_worker_runs_as_the_user():
    uids = set()

    def look():
        deliver("worker")
        uids.update(s["Uid"].split()[0] for s in processes("local"))
        return "7102" in uids
    cases.wait_for("a worker with john's uid", look)


def test_home_maildir_belongs_to_the_user():
    done = cases.run([INSTANCE, "--privileged", "--", "sh", "-c", """
        printf 'Subject: s\\n\\nx\\n' | sendmail $USER1
        for i in $(seq 600); do
            f=$(ls $MAILBOX1/new/* 2>/dev/null) && break; sleep 0.05
        done
        stat -c '%U %a' "$f" """])
    cases.equal(done.stdout.split(), ["bob", "600"])


def host_facts():
    """What an instance might have changed, seen from outside of it."""
    script = "cat /etc/passwd /etc/shadow /etc/group /etc/aliases " \
        "2>/dev/null | cksum; ls -la /var/mail /home /var/spool /usr/sbin " \
        "/etc; cat /proc/mounts | wc -l"
    return cases.run(["nsenter", "--mount=/proc/%d/ns/mnt" % outside(), "sh",
                      "-c", script]).stdout


def outside():
    """A process in the host's mount namespace: the instance's parent."""
    mine = os.readlink("/proc/self/ns/mnt")
    pid = os.getpid()
    while pid > 1:
        with open("/proc/%d/stat" % pid) as f:
            pid = int(f.read().rsplit(")", 1)[1].split()[1])
        if pid and os.readlink("/proc/%d/ns/mnt" % pid) != mine:
            return pid
    raise AssertionError("no process outside of this namespace")


def test_host_is_untouched():
    before = host_facts()
    assert "chappe" not in cases.run(
        ["nsenter", "--mount=/proc/%d/ns/mnt" % outside(), "sh", "-c",
         "ls -d /etc/chappe /var/spool/chappe 2>/dev/null; "
         "grep '^chappe-smtpd:' /etc/passwd || true"]).stdout
    cases.run([INSTANCE, "--privileged", "--", "true"])
    cases.equal(host_facts(), before)


cases.main(globals())
