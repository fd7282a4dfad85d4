#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: --privileged --mailbox mbox -o minimal_backoff_time=1h -o maximal_backoff_time=1h
# timeout: 240
"""A first mail server, command by command, as a handbook has it: real system
users bob, john, aaron and jane; mailx, mail on a terminal, sendmail, the
queue, .forward, aliases, IMAP with the system password."""

import imaplib
import os
import pty
import re
import select
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

DOWN = "user@down.test"
SPOOL = "/var/mail"


def mailx():
    return mail.partner("bsd-mailx")


def as_user(name, *argv, text=None, status=0, **env):
    """A command as a login of that user would run it."""
    words = ["setpriv", "--reuid", name, "--regid", name, "--init-groups",
             "env", "-i", "HOME=/home/" + name, "USER=" + name,
             "LOGNAME=" + name, "TERM=dumb", "PATH=" + mail.env("PATH")]
    words += ["%s=%s" % pair for pair in env.items()]
    return cases.run(words + list(argv), input=text, status=status,
                     cwd="/home/" + name)


def mailbox(name):
    try:
        with open(os.path.join(SPOOL, name), "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def wait_for_text(name, part):
    return cases.wait_for("%r in the mailbox of %s" % (part, name),
                          lambda: part in mailbox(name) and mailbox(name))


def aliases(text):
    with open("/etc/aliases", "a") as f:
        f.write(text + "\n")


def test_mailx_sends_to_john():
    as_user("bob", mailx(), "-s", "Hi John", "john", text="t\n")
    got = wait_for_text("john", b"Subject: Hi John\n").decode()
    assert got.startswith("From bob@%s " % mail.DOMAIN), got
    for pattern in (r"^Return-Path: <bob@%s>$", r"^X-Original-To: john@%s$|"
                    r"^Delivered-To: john@%s$", r"^From: Bob <bob@%s>$"):
        cases.matches(got, pattern.replace("%s", re.escape(mail.DOMAIN)))
    cases.matches(got, r"^Received: by %s \(\S+, from userid 7101\)$" %
                  re.escape(mail.DOMAIN))
    assert got.endswith("\n\nt\n\n"), got


def test_mailbox_has_the_right_owner_and_mode():
    st = os.stat(os.path.join(SPOOL, "john"))
    cases.equal((st.st_uid, oct(st.st_mode & 0o777)), (7102, "0o600"))
    as_user("bob", "sendmail", "jane", text="Subject: new file\n\nx\n")
    wait_for_text("jane", b"new file")
    st = os.stat(os.path.join(SPOOL, "jane"))
    cases.equal((st.st_uid, oct(st.st_mode & 0o777)), (7104, "0o600"))


class Terminal:
    """`mail` as a user on a terminal. Debian's gets the right to make lock
    files from the set-gid program dotlockfile, which is unpacked here, not
    installed; the group itself gives it instead."""

    def __init__(self, name, *argv):
        self.text = ""
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir("/home/" + name)
            os.execvp("setpriv", [
                "setpriv", "--reuid", name, "--regid", name, "--groups",
                "mail", "env", "-i", "HOME=/home/" + name, "USER=" + name,
                "LOGNAME=" + name, "TERM=dumb", "MAIL=%s/%s" % (SPOOL, name),
                "PATH=" + mail.env("PATH")] + list(argv))
        self.pid = pid

    def expect(self, pattern):
        deadline = time.monotonic() + cases.WAIT_S
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            ready = select.select([self.fd], [], [], max(left, 0))[0]
            try:
                new = os.read(self.fd, 4096) if ready else b""
            except OSError:
                new = b""
            if not new:
                raise AssertionError("mail said %r, not %r" % (self.text,
                                                               pattern))
            self.text += new.decode(errors="replace")
        seen, self.text = self.text, ""
        return seen

    def type(self, line):
        os.write(self.fd, (line + "\n").encode())

    def end(self):
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return status


def test_mail_on_a_terminal_while_mail_arrives():
    for n in (2, 3):
        as_user("bob", "sendmail", "john",
                text="Subject: number %d\n\nbody %d\n" % (n, n))
        wait_for_text("john", b"Subject: number %d\n" % n)
    t = Terminal("john", mailx())
    cases.contains(t.expect(r"& $"), "3 messages 3 new")
    t.type("n")
    t.expect(r"t\r?\n[\s\S]*& $")
    t.type("d 1")
    t.expect(r"& $")
    as_user("bob", "sendmail", "john",
            text="Subject: meanwhile\n\nlate\n")
    wait_for_text("john", b"Subject: meanwhile\n")
    t.type("q")
    cases.equal(t.end(), 0)
    left = mailbox("john")
    assert b"Subject: Hi John\n" not in left, left
    for part in (b"Subject: number 2\n", b"Subject: number 3\n",
                 b"Subject: meanwhile\n"):
        cases.equal(left.count(part), 1, part)
    starts = re.findall(rb"^From \S+ ", left, re.M)
    cases.equal(len(starts), 3)
    assert left.endswith(b"late\n\n"), left


def test_sendmail_with_here_string():
    as_user("bob", "bash", "-c", 'sendmail aaron@localhost <<< "Hello"')
    got = wait_for_text("aaron", b"\n\nHello\n\n").decode()
    cases.matches(got, r"^From bob@")
    cases.matches(got, r"^Delivered-To: aaron@localhost$")


def the_entry():
    return cases.run(["postqueue", "-p"]).stdout


def test_host_that_is_down_in_all_listings():
    dead = mail.Sink()
    dead.close()
    mail.set_option("relayhost", "[127.0.0.1]:%d" % dead.port)
    as_user("bob", mailx(), "-s", "down", DOWN, text="t\n")
    reason = "(connect to 127.0.0.1[127.0.0.1]:%d: Connection refused)" % \
        dead.port
    cases.wait_for("the reason", lambda: reason in the_entry())
    listing = the_entry()
    cases.contains(listing, "bob@" + mail.DOMAIN)
    cases.contains(listing, DOWN)
    for argv in (["mailq"], ["sendmail", "-bp"]):
        cases.equal(as_user("bob", *argv).stdout, listing, argv)


def test_postsuper_is_for_root():
    qid = the_entry().splitlines()[1].split()[0].rstrip("*!#")
    done = as_user("bob", "postsuper", "-d", qid, status=1)
    cases.contains(done.stderr, "use of this command is reserved for the "
                   "superuser")
    cases.contains(the_entry(), qid)
    done = cases.run(["postsuper", "-d", qid])
    cases.contains(done.stderr, "%s: removed" % qid)
    cases.contains(done.stderr, "Deleted: 1 message\n")
    cases.equal(the_entry(), "Mail queue is empty\n")


def forward_to(text, owner):
    path = "/home/aaron/.forward"
    with open(path, "w") as f:
        f.write(text + "\n")
    os.chmod(path, 0o644)
    uid = 7103 if owner == "aaron" else 0
    os.chown(path, uid, uid)


def send_to_aaron(subject):
    as_user("bob", "sendmail", "aaron",
            text="Subject: %s\n\nx\n" % subject)
    mail.wait_until_empty()
    name = ("Subject: %s\n" % subject).encode()
    return name in mailbox("aaron"), name in mailbox("jane")


def test_forward_written_by_root():
    """root may write it for him: with and without chown it holds."""
    forward_to("jane", "root")
    cases.equal(send_to_aaron("root's"), (False, True))
    forward_to("jane", "aaron")
    cases.equal(send_to_aaron("his own"), (False, True))
    os.unlink("/home/aaron/.forward")
    cases.equal(send_to_aaron("no more"), (True, False))


def test_aliases_wait_for_newaliases():
    with mail.Sink() as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        aliases("contact: aaron,john,jane")
        aliases("advertising: aaron@somewebsite.test")
        for name in ("contact", "advertising"):
            as_user("bob", "sendmail", name,
                    text="Subject: early %s\n\nx\n" % name)
        cases.wait_for("both to come back", lambda: mailbox("bob").count(
            b"Subject: Undelivered Mail Returned to Sender\n") == 2)
        cases.contains(mailbox("bob").decode(), "unknown user: \"contact\"")
        cases.run(["newaliases"])
        for name in ("contact", "advertising"):
            as_user("bob", "sendmail", name,
                    text="Subject: to %s\n\nx\n" % name)
        for name in ("aaron", "john", "jane"):
            wait_for_text(name, b"Subject: to contact\n")
        cases.wait_for("the remote one", lambda: sink.messages)
        cases.equal(sink.messages[0]["rcpts"], ["aaron@somewebsite.test"])
    mail.wait_until_empty()
    for name in ("aaron", "john", "jane"):
        assert b"early" not in mailbox(name)


def test_postmaster_is_root_and_root_is_someone():
    aliases("root: john")
    cases.run(["newaliases"])
    as_user("bob", "sendmail", "postmaster",
            text="Subject: to the postmaster\n\nx\n")
    wait_for_text("john", b"Subject: to the postmaster\n")


def test_imaps_with_the_system_password():
    c = imaplib.IMAP4_SSL("localhost", int(mail.env("IMAPS_PORT")),
                          ssl_context=mail.tls())
    try:
        c.login("aaron", "wrong")
        raise AssertionError("a wrong password was taken")
    except imaplib.IMAP4.error as e:
        cases.contains(str(e), "AUTHENTICATIONFAILED")
    c.login("aaron", "the password of aaron")
    count = int(c.select("INBOX")[1][0])
    cases.equal(count, len(re.findall(rb"^From \S+ ", mailbox("aaron"),
                                      re.M)))
    n = c.search(None, '(SUBJECT "to contact")')[1][0].split()
    cases.equal(len(n), 1)
    c.store(n[0], "+FLAGS", r"(\Deleted)")
    c.expunge()
    c.logout()
    assert b"Subject: to contact\n" not in mailbox("aaron")
    assert b"Subject: no more\n" in mailbox("aaron")


def test_session_ran_as_the_user():
    c = imaplib.IMAP4_SSL("localhost", int(mail.env("IMAPS_PORT")),
                          ssl_context=mail.tls())
    c.login("jane", "the password of jane")
    out = subprocess.run(["ps", "-eo", "uid,args"], capture_output=True,
                         text=True, check=True).stdout
    cases.matches(out, r"^\s*7104 \S*imap-session")
    c.logout()


cases.main(globals())
