#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""IMAP on mbox files: messages byte for byte, equal messages, folders, and
other programs that change the same file under the usual lock."""
# instance: --mailbox mbox
# timeout: 240

import fcntl
import imaplib
import mailbox
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

BOX = os.environ.get("MAILBOX1", "")
TEXT = (b"From: a@b.test\r\nSubject: 8-bit \xc3\xbc\r\n\r\n"
        b"from here on\r\n>From quoted\r\n\r\nna\xc3\xafve\r\n")


def box_lines():
    with open(BOX, "rb") as f:
        return f.read().split(b"\n")


def fresh(name, count=0, text=TEXT):
    c = mail.imap()
    c.create(name)
    for _ in range(count):
        c.append(name, None, None, text)
    c.select(name)
    return c


def test_byte_for_byte():
    c = fresh("INBOX", 1)
    cases.equal(c.fetch("1", "(BODY.PEEK[])")[1][0][1], TEXT)
    cases.equal(len([x for x in box_lines() if x.startswith(b"From ")]), 1)
    c.store("1", "+FLAGS", "(\\Seen \\Flagged work)")
    text = b"\n".join(box_lines())
    cases.contains(text, b"\nStatus: RO")
    cases.contains(text, b"\nX-Status: F")
    cases.contains(text, b"\nX-Keywords: work")
    # Nothing of that is the message.
    cases.equal(c.fetch("1", "(BODY.PEEK[])")[1][0][1], TEXT)
    c.store("1", "+FLAGS", "\\Deleted")
    c.expunge()
    assert b"na\xc3\xafve" not in b"\n".join(box_lines())
    c.logout()


def test_from_lines_are_quoted():
    c = fresh("from", 2, b"Subject: f\r\n\r\nFrom here\r\non\r\n")
    cases.equal(c.search(None, "ALL")[1], [b"1 2"])
    # As other programs write it; what was ">From" before stays so.
    cases.equal(c.fetch("1", "(BODY.PEEK[TEXT])")[1][0][1],
                b">From here\r\non\r\n")
    c.logout()


def test_equal_messages():
    c = fresh("equal", 6)
    c.store("1,3", "+FLAGS", "\\Deleted")
    c.store("2,4", "+FLAGS", "\\Seen")
    cases.equal(c.expunge()[1], [b"3", b"1"])
    got = [x.decode() for x in c.fetch("1:*", "(UID FLAGS)")[1]]
    cases.contains(got[0], "UID 2 FLAGS (\\Seen")
    cases.contains(got[1], "UID 4 FLAGS (\\Seen")
    cases.contains(got[2], "UID 5 FLAGS (\\Recent")
    c.logout()


def test_folders():
    c = mail.imap()
    cases.equal(c.create("dir/")[0], "OK")
    cases.contains(b" ".join(c.list()[1]), b'(\\Noselect \\HasNoChildren) '
                   b'"/" "dir"')
    cases.equal(c.create("dir/a")[0], "OK")
    cases.equal(c.select("dir")[0], "NO")
    cases.equal(c.delete("dir")[0], "NO")
    cases.equal(c.rename("dir/a", "b")[0], "OK")
    cases.equal(c.select("b")[0], "OK")
    # An empty directory is in nobody's way.
    cases.equal(c.create("dir")[0], "OK")
    cases.equal(c.select("dir")[0], "OK")
    for name in ("dir", "b"):
        cases.equal(c.delete(name)[0], "OK", name)
    c.logout()


def test_other_programs():
    c = fresh("INBOX")
    before = int(c.select("INBOX")[1][0])
    owner = os.stat(BOX)
    other = mailbox.mbox(BOX)
    other.lock()
    other.add(mailbox.mboxMessage("Subject: foreign\n\nput there\n"))
    other.flush()
    other.unlock()
    # Python's module may have replaced the file.
    os.chown(BOX, owner.st_uid, owner.st_gid)
    c.noop()
    n = str(before + 1)
    cases.equal(c.response("EXISTS")[1][-1].decode(), n)
    cases.equal(c.fetch(n, "(BODY.PEEK[TEXT])")[1][0][1].rstrip(),
                b"put there")
    c.store(n, "+FLAGS", "\\Deleted")
    c.expunge()
    left = mailbox.mbox(BOX)
    cases.equal(len(left), before)
    c.logout()


def test_waits_for_a_lock():
    c = fresh("INBOX", 1)
    n = str(int(c.select("INBOX")[1][0]))
    with open(BOX, "r+b") as f:
        fcntl.lockf(f, fcntl.LOCK_EX)
        c.send(b"zz STORE %s +FLAGS (\\Answered)\r\n" % n.encode())
        c.sock.settimeout(1)
        try:
            got = c.sock.recv(100)
        except TimeoutError:
            got = b""
        assert b"zz" not in got, "the lock was not respected"
        fcntl.lockf(f, fcntl.LOCK_UN)
    c.sock.settimeout(cases.WAIT_S)
    got = b""
    while b"zz " not in got:
        got += c.sock.recv(1000)
    cases.contains(got, b"zz OK")
    c.shutdown()


def test_delivered_mail_is_read():
    mail.send(mail.text("over smtp", body="From the start\n"))
    raw = mail.wait_for_mail("over smtp")
    cases.contains(raw, b"From the start\r\n")


if __name__ == "__main__":
    imaplib.Debug = 0
    cases.main(globals())
