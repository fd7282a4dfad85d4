#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o minimal_backoff_time=1h -o maximal_backoff_time=1h
"""A sector of the disk gives other bytes than were written: nothing that is
damaged arrives anywhere, and what is whole does."""

import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

TO = "friend@elsewhere.test"
QUEUE = os.environ["QUEUE_DIR"]


def flip(name, marker):
    """One bit of what follows the marker in the file."""
    with open(name, "r+b") as f:
        at = f.read().rindex(marker) + len(marker)
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))


def damage(qid, marker):
    flip(cases.wait_for("%s in deferred/" % qid, lambda: glob.glob(
        "%s/deferred/?/%s" % (QUEUE, qid)))[0], marker)


def body(word, size=60):
    return "".join("%s %06d %s\n" % (word, i, "x" * 60)
                   for i in range(max(1, size // 70))) + word + " end.\n"


def waits(subject, to=TO, size=60, **more):
    """A deferred mail."""
    qid = mail.send(mail.text(subject, body(subject, size), to=to, **more),
                    to)
    mail.wait_for_log(r"%s: to=.*status=deferred" % qid)
    return qid


def next_hop(sink, transport="smtp"):
    mail.set_option("relayhost", "")
    mail.set_option("default_transport",
                    "%s:[127.0.0.1]:%d" % (transport, sink.port))


def dead_host():
    sink = mail.Sink()
    sink.close()
    return sink


def set_aside(qid):
    mail.wait_for_log(r"%s: to=.*status=deferred \(the message is damaged: "
                      r"its content does not fit its checksum\)$" % qid)
    mail.wait_for_log(r"qmgr\[\d+\]: warning: %s: damaged queue file: content "
                      r"does not fit its checksum$" % qid)
    mail.wait_for_log(r"qmgr\[\d+\]: warning: %s: damaged: moved to corrupt/$"
                      % qid)
    assert os.path.exists(os.path.join(QUEUE, "corrupt", qid))


def among_whole_ones(transport, size, marker, **sink_options):
    dead = dead_host()
    next_hop(dead, transport)
    names = ["%s%d-%s" % (transport, size, n) for n in ("a", "b", "c")]
    qids = [waits(n, size=size) for n in names]
    damage(qids[1], (names[1] + marker).encode())
    with mail.Sink(port=dead.port, **sink_options) as sink:
        cases.run(["postqueue", "-f"])
        set_aside(qids[1])
        mail.wait_until_empty()
        got = b"".join(m["data"] for m in sink.messages)
        for n in (names[0], names[2]):
            cases.contains(got.decode(), n + " end.")
        assert names[1].encode() not in got
        cases.equal(len(sink.messages), 2)


def test_smtp():
    among_whole_ones("smtp", 60, " end")


def test_smtp_its_first_bytes_are_sent_but_no_dot():
    among_whole_ones("smtp", 300000, " 000001 ")


def test_smtp_its_last_byte():
    among_whole_ones("smtp", 300000, " end.\r")


def test_lmtp():
    among_whole_ones("lmtp", 60, " end", lmtp=True)


def test_bdat():
    """The last chunk is never whole."""
    dead = dead_host()
    next_hop(dead)
    with mail.smtp() as s:
        s.ehlo()
        s.docmd("MAIL FROM:<sender@elsewhere.test> BODY=BINARYMIME")
        s.docmd("RCPT TO:<%s>" % TO)
        data = b"Subject: chunks\r\nMIME-Version: 1.0\r\n\r\n" + \
            b"binary\0" * 30000 + b"the end"
        s.send(b"BDAT %d LAST\r\n" % len(data) + data)
        qid = s.getreply()[1].decode().rsplit(" ", 1)[1]
    mail.wait_for_log(r"%s: to=.*status=deferred" % qid)
    damage(qid, b"the e")
    with mail.Sink(port=dead.port, offers=[
            "PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME"]) as sink:
        cases.run(["postqueue", "-f"])
        set_aside(qid)
        assert any(c.startswith("BDAT") for c in sink.commands)
        cases.equal(sink.messages, [])


def test_what_is_converted_on_the_way():
    dead = dead_host()
    next_hop(dead)
    qid = waits("umlaut", size=100000, MIME_Version="1.0")
    with mail.smtp() as s:
        s.ehlo()
        s.docmd("MAIL FROM:<sender@elsewhere.test> BODY=8BITMIME")
        s.docmd("RCPT TO:<%s>" % TO)
        s.docmd("DATA")
        s.send("Subject: umlaut\r\nMIME-Version: 1.0\r\n"
               "Content-Type: text/plain; charset=utf-8\r\n"
               "Content-Transfer-Encoding: 8bit\r\n\r\n"
               "Größe\r\nthe end.\r\n.\r\n".encode())
        eight = s.getreply()[1].decode().rsplit(" ", 1)[1]
    mail.wait_for_log(r"%s: to=.*status=deferred" % eight)
    damage(eight, b"the e")
    with mail.Sink(port=dead.port, offers=["PIPELINING"]) as sink:
        cases.run(["postqueue", "-f"])
        set_aside(eight)
        mail.wait_for_log(r"%s: removed" % qid)
        cases.equal(len(sink.messages), 1)


def test_a_mailbox():
    """The user's Maildir can't be opened for a while."""
    box = mail.env("MAILBOX1")
    os.makedirs(box, exist_ok=True)
    os.chmod(box, 0)
    try:
        good = waits("local good", mail.address(1))
        bad = waits("local bad", mail.address(1))
        damage(bad, b"local bad en")
    finally:
        os.chmod(box, 0o700)
    cases.run(["postqueue", "-f"])
    set_aside(bad)
    mail.wait_for_log(r"%s: removed" % good)
    mail.wait_for_mail("local good")
    assert not any(b"local bad" in t for t in mail.mailbox_texts(1))
    left = glob.glob(box + "/tmp/*")
    cases.equal(left, [])


def test_a_forwarded_one():
    dead = dead_host()
    next_hop(dead)
    forward = os.path.join(os.path.dirname(mail.env("MAILBOX2")), ".forward")
    box = mail.env("MAILBOX2")
    with open(forward, "w") as f:
        f.write("\\%s, %s\n" % (mail.user(2), TO))
    os.makedirs(box, exist_ok=True)
    os.chmod(box, 0)
    try:
        bad = waits("forward bad", mail.address(2))
        damage(bad, b"forward bad en")
        with open(forward, "w") as f:
            f.write(TO + "\n")
        cases.run(["postqueue", "-f"])
        set_aside(bad)
    finally:
        os.chmod(box, 0o700)
        os.unlink(forward)
    mail.wait_until_empty()


def test_a_bounce_goes_without_it():
    dead = dead_host()
    next_hop(dead)
    qid = waits("bounced", sender=mail.address(1))
    cases.run(["postsuper", "-d", qid])
    m = mail.text("bounced", body("bounced"), to=TO)
    qid = mail.send(m, TO, sender=mail.address(1))
    mail.wait_for_log(r"%s: to=.*status=deferred" % qid)
    damage(qid, b"bounced en")

    def no_such_user(verb, _line):
        return "550 5.1.1 no such user" if verb == "RCPT" else None
    with mail.Sink(port=dead.port, reply=no_such_user):
        cases.run(["postqueue", "-f"])
        mail.wait_for_log(r"%s: removed" % qid)
    text = mail.wait_for_mail("Undelivered Mail Returned to Sender")
    cases.contains(text.decode(), "no such user")
    assert b"bounced 0" not in text and b"Subject: bounced" not in text


def test_an_unsealed_one_is_made_anew():
    """The journal has what it was; who has it already does not get it again.
    """
    others, flipped = "one@first.test", []

    def reply(verb, line):
        # A server's first mails are sealed, until it has a journal.
        if verb == "MAIL" and not flipped and first.messages:
            for name in glob.glob(QUEUE + "/incoming/?/[0-9A-F]*"):
                flip(name, b"unsealed en")
                flipped.append(os.path.basename(name))
        return None

    def one():
        del first.messages[:]
        # Short ones have no file.
        qid = mail.send(mail.text("unsealed", body("unsealed", 200000), to=TO),
                        [others, TO])
        mail.wait_for_log(r"%s: removed$" % qid)
        return qid in flipped
    with mail.Sink() as first, mail.Sink(reply=reply) as second:
        mail.set_option("default_transport", "smtp")
        mail.set_option("transport_maps", "inline:{{first.test = smtp:"
                        "[127.0.0.1]:%d}, {elsewhere.test = smtp:[127.0.0.1]"
                        ":%d}}" % (first.port, second.port))
        cases.wait_for("one that is not sealed", one)
        mail.wait_for_log(r"%s: made anew from the journal$" % flipped[0])
        cases.equal(len(first.messages), 1)
        cases.equal([m for m in second.messages
                     if b"unsealed end." not in m["data"]], [])


cases.main(globals())
