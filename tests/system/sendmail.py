#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 240
# instance: -o relayhost=[127.0.0.1]:1
"""sendmail: what it hands over, how, for whom; with the suite up and down;
and what it answers."""

import email
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

OTHER_UID = 61999


def sendmail(*argv, text="Subject: s\n\nbody\n", status=0, before=()):
    return cases.run(list(before) + ["sendmail"] + list(argv), input=text,
                     status=status)


def as_other_uid():
    """The words that run a command as another, nameless user."""
    if os.getuid() != 0:
        raise cases.Skip("only root can become another user")
    return ["setpriv", "--reuid=%d" % OTHER_UID, "--regid=%d" % OTHER_UID,
            "--clear-groups", "--no-new-privs"]


def delivered(subject):
    raw = mail.wait_for_mail(subject)
    return email.message_from_bytes(raw), raw


def test_simple():
    sendmail(mail.user(1), text="Subject: simple\n\nHello.\n")
    m, raw = delivered("simple")
    cases.matches(m["Received"], r"^by %s \(\S+, from userid %d\)\s+id "
                  r"[0-9A-F]+; " % (re.escape(mail.DOMAIN), os.getuid()))
    for name in ("Message-Id", "Date", "From"):
        cases.equal(len(m.get_all(name)), 1, name)
    assert raw.endswith(b"\r\n\r\nHello.\r\n"), raw
    mail.wait_for_log(r"[0-9A-F]{11,15}: .*uid=%d" % os.getuid())


def test_body_without_header():
    sendmail(mail.user(1), text="Hello there\n")
    def look():
        return [t for t in mail.mailbox_texts() if
                t.endswith(b"\n\nHello there\n")]
    cases.wait_for("the mail", look)


def test_recipients_from_header():
    sendmail("-t", "-i", text=(
        "To: %s\nCc: \"B\" <%s>\nBcc: %s\nSubject: from header\n\nx\n.\ny\n" %
        (mail.address(1), mail.address(2), mail.address(2))))
    m, raw = delivered("from header")
    assert m["Bcc"] is None and m["Cc"], "blind copies"
    assert raw.endswith(b"x\r\n.\r\ny\r\n"), raw
    mail.wait_for_mail("from header", 2)


def test_dot_ends_input_unless_told():
    sendmail(mail.user(1), text="Subject: dot\n\nin\n.\nout\n")
    _, raw = delivered("dot")
    assert raw.endswith(b"\r\nin\r\n"), raw


def test_sender_and_full_name():
    sendmail("-f", "some@one.test", "-F", "Some One", mail.user(1),
             text="Subject: sender\n\nx\n")
    m, _ = delivered("sender")
    cases.equal(m["Return-Path"], "<some@one.test>")
    cases.equal(m["From"], "Some One <some@one.test>")
    sendmail("-f", "", mail.user(1), text="Subject: null\n\nx\n")
    m, _ = delivered("null")
    cases.equal(m["Return-Path"], "<>")


def test_line_ends_and_control_bytes():
    subprocess.run(["sendmail", mail.user(1)], check=True,
                   input=b"Subject: ends\r\n\r\none\r\ntwo\rthree\0\nend")
    _, raw = delivered("ends")
    assert raw.endswith(b"\r\none\r\ntwo\r\nthree\r\nend\r\n"), raw


def test_eight_bit():
    subject = "Grüße"
    subprocess.run(["sendmail", "-B8BITMIME", mail.user(1)], check=True,
                   input=("Subject: eight\nX-T: %s\n\n%s\n" % (
                       subject, subject)).encode())
    _, raw = delivered("eight")
    cases.equal(raw.count(subject.encode()), 2)


def test_how_others_call_it():
    for n, argv in enumerate((
            ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", mail.user(1)],
            ["-FAnacron", "-odi", mail.user(1)],
            ["-oi", "-fme@here.test", "-t"],
            ["-oem", "-oi", "-f", "me@here.test", "--", mail.user(1)],
            ["-i", "-f", "me@here.test", mail.address(1)],
            ["-N", "success,delay,failure", "-f", "a@b.test", mail.user(1)],
            ["-t", "-i", "-fa@b.test", "-fc@d.test"])):
        sendmail(*argv, text="To: %s\nSubject: caller %d\n\nx\n" % (
            mail.address(1), n))
        delivered("caller %d" % n)


def test_speaks_smtp():
    child = subprocess.Popen(["sendmail", "-bs"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    for send, wanted in (
            ("", b"220 "), ("HELO x", b"250 "),
            ("MAIL FROM:<a@b.test>", b"250 2.1.0"),
            ("RCPT TO:<%s>" % mail.address(1), b"250 2.1.5"),
            ("DATA", b"354 "),
            ("Subject: by bs\r\n\r\nx\r\n.", b"250 2.0.0 Ok: queued as"),
            ("QUIT", b"221 ")):
        if send:
            child.stdin.write(send.encode() + b"\r\n")
            child.stdin.flush()
        line = child.stdout.readline()
        assert line.startswith(wanted), (send, line)
    cases.equal(child.wait(), 0)
    delivered("by bs")


def test_exit_codes():
    for argv in ([], ["-Z", "x"], ["-bt"], ["-n", "x"], ["-t"], ["-bp", "x"]):
        done = sendmail(*argv, text="no header\n", status=75)
        cases.matches(done.stderr, r"^sendmail: fatal: ", argv)
    sendmail("-q30m")
    sendmail("-bh")
    cases.matches(sendmail(status=75).stderr, r"^sendmail: fatal: \S+\(%d\): "
                  r"Recipient addresses must be specified on the command "
                  r"line or via the -t option$" % os.getuid())
    cases.contains(sendmail("-t", text="X: y\n\n", status=75).stderr,
                   "No recipient addresses found in message header")


def test_too_large():
    limit = 10240000
    done = sendmail(mail.user(1), text="x" * (limit + 1), status=75)
    cases.contains(done.stderr, "message file too big")


def test_any_user_without_privileges():
    before = as_other_uid()
    sendmail(mail.user(1), before=before, text="Subject: nameless\n\nx\n")
    m, _ = delivered("nameless")
    cases.contains(m["Received"], "from userid %d" % OTHER_UID)
    cases.equal(m["Return-Path"],
                "<uid%d@%s>" % (OTHER_UID, mail.DOMAIN))


def test_no_program_is_set_id():
    folder = os.path.dirname(os.path.realpath(mail.env("PATH").split(":")[0]))
    del folder
    libexec = cases.run(["sh", "-c", "dirname $(readlink "
                         "/proc/$MASTER_PID/exe)"]).stdout.strip()
    for path in glob.glob(libexec + "/*") + \
            glob.glob(libexec + "/../bin/*"):
        cases.equal(os.stat(path).st_mode & 0o6000, 0, path)


def test_newaliases_and_mailq():
    cases.run(["newaliases"])
    cases.equal(cases.run(["sendmail", "-bi"]).stdout, "")
    cases.run(["postsuper", "-d", "ALL"])
    cases.matches(cases.run(["mailq"]).stdout, r"^Mail queue is empty$")
    cases.matches(cases.run(["sendmail", "-bp"]).stdout,
                  r"^Mail queue is empty$")


# ---- while the suite is down; last, for it is started anew ----

def maildrop():
    return [n for n in os.listdir(os.path.join(mail.env("QUEUE_DIR"),
                                               "maildrop"))
            if not n.startswith(".")]


def as_suite():
    """The words that run a command as the user of the suite."""
    uid = os.stat(mail.env("QUEUE_DIR")).st_uid
    if uid == os.getuid():
        return []
    return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid,
            "--clear-groups"]


def test_spools_while_down():
    cases.run(["chappe", "stop"])
    sendmail(mail.user(1), text="Subject: spooled\n\n.x\nlast")
    sendmail("-f", "x@y.test", "-t", text="To: %s\nBcc: %s\nSubject: by t\n"
             "\nx\n" % (mail.address(1), mail.address(2)))
    cases.equal(len(maildrop()), 2, "files in maildrop")
    for name in maildrop():
        path = os.path.join(mail.env("QUEUE_DIR"), "maildrop", name)
        cases.equal(os.stat(path).st_mode & 0o777, 0o640)


def test_rubbish_in_maildrop_is_left_alone():
    folder = os.path.join(mail.env("QUEUE_DIR"), "maildrop")
    names = ["%014X%08X" % (0xABCDEF, n) for n in range(5)]
    with open(os.path.join(folder, names[0]), "w") as f:
        f.write("CHDROP1\nrubbish" * 10)
    os.symlink("/etc/passwd", os.path.join(folder, names[1]))
    os.mkfifo(os.path.join(folder, names[2]))
    os.mkdir(os.path.join(folder, names[3]))
    os.link(os.path.join(folder, maildrop_of_ours()),
            os.path.join(folder, names[4]))


def maildrop_of_ours():
    return sorted(n for n in maildrop() if not n.startswith("00000000ABCDEF"))[-1]


def test_pickup_takes_it_in():
    folder = os.path.join(mail.env("QUEUE_DIR"), "maildrop")
    cases.run(as_suite() + [os.path.join(
        mail.env("PATH").split(":")[0], "chappe"), "start"])
    m, raw = delivered("spooled")
    cases.contains(m["Received"], "from userid %d" % os.getuid())
    assert raw.endswith(b"\r\n\r\n.x\r\nlast\r\n"), raw
    mail.wait_for_log(r"pickup\[\d+\]: [0-9A-F]{11,15}: uid=%d from=<" %
                      os.getuid())
    for n in range(4):
        name = "%014X%08X" % (0xABCDEF, n)
        mail.wait_for_log("maildrop/%s: .*left alone" % name)
        cases.equal(mail.log().count("maildrop/%s" % name), 1)
        assert os.path.lexists(os.path.join(folder, name)), name
    # The one with two names waits until it has one.
    double = "%014X%08X" % (0xABCDEF, 4)
    mail.wait_for_log("maildrop/%s: has several names" % double)
    cases.run(["rm", "-rf", os.path.join(folder, double)])


def test_spool_of_a_nameless_user():
    before = as_other_uid()
    cases.run(["chappe", "stop"])
    folder = os.path.join(mail.env("QUEUE_DIR"), "maildrop")
    cases.equal(os.stat(folder).st_mode & 0o1003, 0o1003, "mode of maildrop")
    sendmail(mail.user(1), before=before, text="Subject: dropped\n\nx\n")
    cases.run(as_suite() + [os.path.join(
        mail.env("PATH").split(":")[0], "chappe"), "start"])
    m, _ = delivered("dropped")
    cases.contains(m["Received"], "from userid %d" % OTHER_UID)


cases.main(globals())
