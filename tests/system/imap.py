#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""IMAP4rev1 as Python's imaplib and curl speak it: logging in by all ways,
messages in and out byte for byte, the Maildir and IMAP seeing each other."""
# instance:
# timeout: 240

import base64
import imaplib
import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

MESSAGE = (b"From: Zo\xc3\xab <z@elsewhere.test>\r\nTo: b@c.test\r\n"
           b"Subject: 8-bit \xc3\xbc and a part\r\nMIME-Version: 1.0\r\n"
           b"Date: Sun, 22 Nov 2026 10:00:00 +0100\r\n"
           b"Content-Type: multipart/mixed; boundary=\"q\"\r\n\r\n"
           b"--q\r\nContent-Type: text/plain; charset=utf-8\r\n"
           b"Content-Transfer-Encoding: 8bit\r\n\r\nna\xc3\xafve\r\n"
           b"--q\r\nContent-Type: image/png; name=x.png\r\n"
           b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
           b"--q--\r\n")


def plain():
    return imaplib.IMAP4(mail.env("IMAP_HOST"), int(mail.env("IMAP_PORT")),
                         timeout=cases.WAIT_S)


def secure():
    return imaplib.IMAP4_SSL(mail.env("IMAP_HOST"),
                             int(mail.env("IMAPS_PORT")),
                             ssl_context=mail.tls(), timeout=cases.WAIT_S)


def fresh(name):
    """A new mailbox, selected."""
    c = mail.imap()
    cases.equal(c.create(name)[0], "OK")
    cases.equal(c.select(name)[0], "OK")
    return c


def raw(data):
    """What the server says to these bytes on a connection of their own."""
    with socket.create_connection((mail.env("IMAP_HOST"),
                                   int(mail.env("IMAP_PORT"))),
                                  timeout=cases.WAIT_S) as s:
        got = b""
        try:
            s.sendall(data)
            while True:
                more = s.recv(65536)
                if not more:
                    return got
                got += more
        except ConnectionError:
            return got


def test_log_in():
    u, p = mail.user(1), mail.env("PASS1")
    c = plain()
    cases.contains(c.capabilities, "STARTTLS")
    c.starttls(mail.tls())
    assert "STARTTLS" not in c.capabilities
    c.login(u, p)
    cases.contains(c.capability()[1][0].decode(), "UIDPLUS")
    c.logout()
    c = secure()
    c.authenticate("PLAIN", lambda _: ("\0%s\0%s" % (u, p)).encode())
    c.logout()
    c = secure()
    answers = iter([u.encode(), p.encode()])
    c.authenticate("LOGIN", lambda _: next(answers))
    c.logout()
    mail.wait_for_log(r"imap-login\[\d+\]: Login: user=<%s>, method=PLAIN, "
                      r"rip=\S+, lip=\S+, mpid=\d+, TLS" % u)


def test_refuse_wrong_passwords():
    for user, password in ((mail.user(1), "wrong"), ("nobody-here", "x"),
                           ("\"a<\\\"b\"", "x")):
        c = secure()
        try:
            c.login(user, password)
        except imaplib.IMAP4.error as e:
            cases.contains(str(e), "AUTHENTICATIONFAILED")
        else:
            raise AssertionError("%s got in" % user)
        c.logout()
    mail.wait_for_log(r"imap-login\[\d+\]: Disconnected: Logged out \(auth "
                      r"failed, 1 attempts in \d+ secs\): user=<%s>, "
                      r"method=PLAIN, rip=\S+, lip=\S+, TLS" % mail.user(1))


def test_refuse_odd_identities():
    two = base64.b64encode(b"\0" + mail.user(1).encode() + b"\0" +
                           mail.env("PASS1").encode() + b"\0x").decode()
    for line in ("a LOGIN {3}\r\nu\0x p", 'a LOGIN "u\0x" p',
                 "a LOGIN ../u p", "a AUTHENTICATE PLAIN " + two,
                 "a AUTHENTICATE PLAIN !!!", "a AUTHENTICATE NONE"):
        got = raw(line.encode() + b"\r\nb LOGOUT\r\n")
        assert re.search(rb"^a (NO|BAD)", got, re.M), (line, got)
        assert b"a OK" not in got


def test_no_password_in_the_clear():
    # From another address than the one it goes to: not this host itself.
    with socket.create_connection(
            (mail.env("IMAP_HOST"), int(mail.env("IMAP_PORT"))),
            timeout=cases.WAIT_S, source_address=("127.0.0.2", 0)) as s:
        f = s.makefile("rb")
        greeting = f.readline()
        cases.contains(greeting, b" STARTTLS LOGINDISABLED]")
        assert b"AUTH=" not in greeting
        s.sendall(b"a LOGIN %s %s\r\nb AUTHENTICATE PLAIN AGEAYg==\r\n" % (
            mail.user(1).encode(), mail.env("PASS1").encode()))
        got = [f.readline() for _ in range(4)]
        cases.contains(got[0], b"[ALERT]")
        cases.contains(got[1], b"a NO [PRIVACYREQUIRED]")
        cases.contains(got[3], b"b NO [PRIVACYREQUIRED]")
        f.close()
    mail.wait_for_log(r"imap-login\[\d+\]: Disconnected: Connection closed "
                      r"\(tried to use disallowed plaintext auth\): user=<>, "
                      r"rip=127.0.0.2, lip=127.0.0.1")


def test_nothing_behind_starttls():
    got = raw(b"a STARTTLS\r\nb LOGIN %s %s\r\nc SELECT INBOX\r\n" % (
        mail.user(1).encode(), mail.env("PASS1").encode()))
    cases.contains(got, b"a BAD")
    cases.contains(got, b"* BYE")
    assert b"b OK" not in got and b"c OK" not in got


def test_bounded_before_login():
    for text in (b"{4294967295}", b"{18446744073709551616}", b"{-1}", b"{}",
                 b"{99999999999999999999+}", b"(" * 100000, b")" * 100000,
                 b"{" * 100000, b"{0+}\r\n" * 20000):
        got = raw(b"a LOGIN " + text + b"\r\nb LOGOUT\r\n")
        cases.contains(got, b" BAD ", text[:20])
        assert b"\r\n+ " not in got, text[:20]
    cases.contains(raw(b"x" * 10000000), b"* BYE")


def test_byte_for_byte():
    c = fresh("bytes")
    status, data = c.append("bytes", "(\\Flagged kw)",
                            '"17-Jul-1996 02:44:25 -0700"', MESSAGE)
    cases.equal(status, "OK")
    cases.matches(data[0].decode(), r"\[APPENDUID \d+ 1\]")
    c.noop()
    cases.equal(c.fetch("1", "(BODY.PEEK[])")[1][0][1], MESSAGE)
    got = c.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE)")[1][0].decode()
    cases.contains(got, "\\Flagged")
    cases.contains(got, "kw")
    cases.contains(got, '"17-Jul-1996 02:44:25 -0700"')
    cases.contains(got, "RFC822.SIZE %d" % len(MESSAGE))
    for section, want in (("1", b"na\xc3\xafve"), ("2", b"iVBORw0KGgo="),
                          ("HEADER.FIELDS (Subject)",
                           b"Subject: 8-bit \xc3\xbc and a part\r\n\r\n"),
                          ("TEXT", MESSAGE.split(b"\r\n\r\n", 1)[1])):
        cases.equal(c.fetch("1", "(BODY.PEEK[%s])" % section)[1][0][1], want,
                    section)
    part = c.fetch("1", "(BODY.PEEK[]<10.20>)")[1][0]
    cases.contains(part[0], b"BODY[]<10> {20}")
    cases.equal(part[1], MESSAGE[10:30])
    structure = c.fetch("1", "(BODYSTRUCTURE)")[1][0].decode()
    cases.contains(structure, '"image" "png" ("name" "x.png") NIL NIL '
                   '"base64" 12')
    c.logout()
    done = subprocess.run(
        ["curl", "-sS", "--cacert", mail.env("CA_FILE"), "-u",
         "%s:%s" % (mail.user(1), mail.env("PASS1")),
         "imaps://localhost:%s/bytes;UID=1" % mail.env("IMAPS_PORT")],
        capture_output=True, check=True, timeout=cases.WAIT_S)
    cases.equal(done.stdout, MESSAGE, "curl")


def test_large_message():
    c = fresh("large")
    text = b"Subject: large\r\n\r\n" + b"0123456789" * 7 + b"\r\n"
    text += (b"x" * 76 + b"\r\n") * 60000
    cases.equal(c.append("large", None, None, text)[0], "OK")
    c.noop()
    cases.equal(c.fetch("1", "(RFC822)")[1][0][1], text)
    too_large = b"a APPEND large {99999999999}\r\n"
    c.send(too_large)
    cases.matches(c.readline().decode(), r"^a (NO|BAD)")
    c.logout()


def test_flags_and_search():
    c = fresh("flags")
    for i in range(10):
        c.append("flags", None, None,
                 b"Subject: =?utf-8?q?n=C3=BCmmer?= %d\r\n"
                 b"From: a%d@b.test\r\n\r\nbody %d\r\n" % (i, i, i))
    c.noop()
    c.store("2:4", "+FLAGS", "(\\Seen work)")
    c.store("3", "-FLAGS", "(work)")
    cases.equal(c.search(None, "SEEN")[1], [b"2 3 4"])
    cases.equal(c.search(None, "KEYWORD work")[1], [b"2 4"])
    cases.equal(c.search(None, "OR SEEN FROM a9@b")[1], [b"2 3 4 10"])
    c.literal = "NÜMMER 7".encode()
    cases.equal(c.search("UTF-8", "SUBJECT")[1], [b"8"])
    cases.equal(c.search(None, "NOT BODY \"body\"")[1], [b""])
    cases.equal(c.uid("SEARCH", None, "1:2 UNSEEN")[1], [b"1"])
    c.store("1,3", "+FLAGS.SILENT", "\\Deleted")
    cases.equal(c.expunge()[1], [b"3", b"1"])
    cases.equal(c.uid("FETCH", "1:*", "(FLAGS)")[1][0].split(b" ")[2:3],
                [b"2"])
    c.logout()
    c = mail.imap()
    cases.equal(c.select("flags")[1], [b"8"])
    cases.equal(c.search(None, "KEYWORD work")[1], [b"1 2"])
    c.logout()


def test_maildir_and_imap_see_each_other():
    box = mail.env("MAILBOX1")
    c = mail.imap()
    before = int(c.select("INBOX")[1][0])
    with open(box + "/tmp/1.foreign.host", "w") as f:
        f.write("Subject: put there\n\ntext\n")
    os.rename(box + "/tmp/1.foreign.host", box + "/new/1.foreign.host")
    os.chown(box + "/new/1.foreign.host", os.stat(box).st_uid, -1)
    c.noop()
    cases.equal(c.response("EXISTS")[1][-1].decode(), str(before + 1))
    n = str(before + 1)
    cases.equal(c.fetch(n, "(BODY[TEXT])")[1][0][1], b"text\r\n")
    names = [x for x in os.listdir(box + "/cur") if "foreign" in x]
    cases.matches(names[0], r":2,S$")
    c.store(n, "+FLAGS", "\\Deleted")
    c.expunge()
    assert not [x for x in os.listdir(box + "/cur") if "foreign" in x]
    c.append("INBOX", None, None, b"Subject: to go\r\n\r\nx\r\n")
    c.noop()
    newest = max(mail.maildir_files(box), key=os.path.getctime)
    os.unlink(newest)
    c.response("EXPUNGE")
    c.noop()
    cases.equal(c.response("EXPUNGE")[1], [n.encode()])
    c.logout()


def test_delivered_mail_is_read():
    mail.send(mail.text("over smtp", body="by smtp\n"))
    got = mail.wait_for_mail("over smtp")
    cases.contains(got, b"by smtp\r\n")


def test_names():
    c = mail.imap()
    home = os.path.dirname(mail.env("MAILBOX1").rstrip("/"))
    above = set(os.listdir(os.path.dirname(home)))
    for name in ("../../etc", "~root", "/etc/passwd", "&AC4ALg-", "&AAA-",
                 "cur", "a..b", "x" * 5000, ".".join("d" * 500)):
        status = c.create('"%s"' % name)[0] if len(name) < 1000 else "NO"
        if len(name) >= 1000:
            c.send(b"zz CREATE {%d+}\r\n%s\r\n" % (len(name), name.encode()))
            cases.matches(c.readline().decode(), "^zz (NO|BAD)")
        cases.equal(status, "NO", name[:20])
    cases.equal(set(os.listdir(os.path.dirname(home))), above)
    for name in ("Entw&APw-rfe", "a&-b", "tief.er.unten"):
        cases.equal(c.create(name)[0], "OK", name)
        cases.equal(c.select(name)[0], "OK", name)
    cases.equal(c.rename("tief", "hoch")[0], "OK")
    names = b" ".join(c.list()[1])
    cases.contains(names, b'"hoch.er.unten"')
    assert b"tief" not in names
    for name in ("Entw&APw-rfe", "a&-b", "hoch.er.unten"):
        cases.equal(c.delete(name)[0], "OK", name)
    cases.equal(c.delete("INBOX")[0], "NO")
    cases.equal(c.subscribe("INBOX")[0], "OK")
    cases.contains(b" ".join(c.lsub()[1]), b'"INBOX"')
    c.logout()


if __name__ == "__main__":
    cases.main(globals())
