#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1
"""non_smtpd_milters: filters for mail of local programs, over the submission
socket and out of maildrop/, which the suite finds when it starts."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402
import milter_peer as mp  # noqa: E402
import smtp_session as ss  # noqa: E402

P, OTHER = mp.Peer(), mp.Peer()
mail.set_option("smtpd_milters", OTHER.address)
mail.set_option("non_smtpd_milters", P.address)
mail.set_option("milter_default_action", "tempfail")
CHECKS = os.path.join(mail.env("CHAPPE_CONFIG"), "milter_checks")
with open(CHECKS, "w") as table:
    table.write("/^X-Front: (.*)/ PREPEND X-Before: $1\n/^X-Drop:/ IGNORE\n"
                "/^X-Bad:/ REJECT 5.7.9 bad header\n")
os.chmod(CHECKS, 0o644)
mail.set_option("milter_header_checks", "pcre:" + CHECKS)


def sendmail(word, *args, to=None, body="Hello\n", more=""):
    cases.run(["sendmail", "-i"] + list(args) + [to or mail.address(1)],
              input="Subject: %s\n%s\n%s" % (word, more, body))


def start():
    uid = os.stat(mail.env("QUEUE_DIR")).st_uid
    words = [] if uid == os.getuid() else [
        "setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups"]
    cases.run(words + [os.path.join(mail.env("PATH").split(":")[0], "chappe"),
                       "start"])


def spooled(*args, **more):
    """The same while the suite is down, so that pickup takes it in."""
    before = len(ss.log())
    cases.run(["chappe", "stop"])
    word = ss.token()
    sendmail(word, *args, **more)
    start()
    return word, before


def arrived(word, n=0):
    return ss.delivered(ss.MAILBOXES[n], word).replace(b"\r\n", b"\n")


def test_submission_socket():
    P.edits = [mp.add_header("X-Local", "1")]
    word = ss.token()
    cases.wait_for("the new generation", lambda: _sent_and_seen(word))
    cases.contains(arrived(word), b"\nX-Local: 1\n")
    s = P.last()
    cases.equal(s.of("connect")[0].split(b"\0", 1)[0], b"localhost")
    cases.matches(s.of("connect")[0].decode("latin-1"), "127.0.0.1\0$")
    names = [name for name, _ in s.headers()]
    # What sendmail left out is there already, our Received is not.
    cases.equal(sorted(names), ["Date", "From", "Message-Id", "Subject"])
    cases.equal(OTHER.sessions, [])


def _sent_and_seen(word):
    sendmail(word)
    return P.sessions


def test_out_of_maildrop():
    P.reset()
    P.edits = [mp.add_header("X-Pickup", "1"),
               mp.replace_body(b"new\r\n"),
               mp.change_from("<other@elsewhere.test>"),
               mp.add_rcpt("<%s>" % mail.address(2)),
               mp.delete_rcpt("<%s>" % mail.address(1))]
    word, since = spooled("-f", mail.address(1))
    raw = arrived(word, 1)
    cases.contains(raw, b"\nX-Pickup: 1\n")
    assert raw.endswith(b"\n\nnew\n"), raw
    cases.equal(ss.with_token(ss.MAILBOXES[0], word), [])
    m = ss.logged(r"([0-9A-F]+): from=<other@elsewhere.test>, size=", since)
    s = P.last()
    cases.equal([n for n in s.names() if n not in ("header", "body", "quit")],
                ["connect", "helo", "mail", "rcpt", "data", "eoh", "eom"])
    cases.equal(s.of("mail")[0], b"<%s>\0" % mail.address(1).encode())
    cases.equal(s.body(), b"Hello\r\n")
    cases.equal(s.macros["eom"][0], {"i": m.group(1)})


def test_senders_out_of_maildrop():
    for edits, want in (
            (["<short>"], "short@" + mail.DOMAIN),
            (["<good@e.test>", "<not an address>"], "good@e.test"),
            (["<not an address>"], mail.address(1)),
            (["<a@e.test>", "<>"], ""),
            (["<s%d%s@e.test>" % (i, "x" * 900) for i in range(3500)] +
             ["<last@e.test>"], "last@e.test")):
        P.reset()
        P.edits = [mp.change_from(one) for one in edits]
        word, since = spooled("-f", mail.address(1))
        arrived(word)
        ss.logged(r"qmgr\[\d+\]: [0-9A-F]+: from=<%s>, size=" % want, since)
        if "<not an address>" in edits:
            ss.logged('pickup.* milter: "not an address" is no sender', since)


def test_very_many_out_of_maildrop():
    """Recipients, what tables add to each, and what a filter adds."""
    P.reset()
    P.edits = [mp.add_rcpt("f%d%s@e.test" % (i, "x" * 500))
               for i in range(5000)] + [mp.quarantine("many")]
    copies = os.path.join(mail.env("CHAPPE_CONFIG"), "copies")
    with open(copies, "w") as f:
        f.write("/^r(.*)@e.test/ c$1@e.test\n")
    os.chmod(copies, 0o644)
    mail.set_option("recipient_bcc_maps", "pcre:" + copies)
    try:
        word, since = spooled(*["r%d@e.test" % i for i in range(20000)])
        qid = ss.logged(r"([0-9A-F]+): milter-hold: END-OF-MESSAGE from .*: "
                        r"many", since).group(1)
        cases.wait_for("hold", lambda: re.search(
            qid + "!", cases.run(["postqueue", "-p"]).stdout))
    finally:
        mail.set_option("recipient_bcc_maps", "")
    shown = cases.run(["postcat", "-eq", qid]).stdout
    for letter, n in (("r", 20000), ("c", 20000), ("f", 5000)):
        cases.equal(len(re.findall(r"^recipient: %s\d" % letter, shown,
                                   re.M)), n, letter)
    cases.run(["postsuper", "-d", qid])
    # One more than a queue file can have.
    P.edits = [mp.add_rcpt("f%d@e.test" % i) for i in range(31000)]
    word, since = spooled(*["r%d@e.test" % i for i in range(20000)])
    ss.logged("maildrop/.*: too many recipients -- left alone", since)
    drop = os.path.join(mail.env("QUEUE_DIR"), "maildrop")
    for name in os.listdir(drop):
        os.remove(os.path.join(drop, name))


def test_refused_out_of_maildrop_bounces():
    P.reset()
    P.answers["eom"] = mp.reply("554 5.7.1 not this")
    word, since = spooled("-f", mail.address(2), body="Private\n")
    ss.logged(r"pickup\[\d+\]: [0-9A-F]+: milter-reject: END-OF-MESSAGE from "
              r"localhost\[127.0.0.1\]: 5.7.1 not this; from=<%s> to=<%s>" % (
                  mail.address(2), mail.address(1)), since)
    raw = arrived(word, 1)
    cases.contains(raw, b"Undelivered Mail Returned to Sender")
    cases.contains(raw, b"not this")
    cases.contains(raw, b"\nStatus: 5.7.1\n")
    cases.equal(ss.with_token(ss.MAILBOXES[0], word), [])


def test_very_many_fields_out_of_maildrop():
    P.reset()
    word, since = spooled("-f", mail.address(2), more="a:\n" * 11000)
    raw = arrived(word, 1)
    cases.contains(raw, b"Undelivered Mail Returned to Sender")
    cases.contains(raw, b"\nStatus: 5.3.4\n")
    cases.equal(P.sessions, [])


def test_header_checks_out_of_maildrop():
    P.reset()
    P.edits = [mp.add_header("X-Front", "1"), mp.add_header("X-Drop", "1")]
    word, since = spooled("-f", mail.address(2))
    raw = arrived(word)
    cases.contains(raw, b"\nX-Before: 1\nX-Front: 1\n\n")
    ss.logged(r"pickup\[\d+\]: [0-9A-F]+: milter-header-prepend: header "
              r"X-Front: 1 from local; from=<%s>: X-Before: 1" %
              mail.address(2), since)
    P.edits = [mp.add_header("X-Bad", "1")]
    word, since = spooled("-f", mail.address(2))
    raw = arrived(word, 1)
    cases.contains(raw, b"Undelivered Mail Returned to Sender")
    cases.contains(raw, b"5.7.9")
    cases.equal(ss.with_token(ss.MAILBOXES[0], word), [])


def test_discarded_out_of_maildrop():
    P.reset()
    P.answers["eom"] = mp.DISCARD
    word, since = spooled()
    ss.logged("milter-discard: END-OF-MESSAGE", since)
    drop = os.path.join(mail.env("QUEUE_DIR"), "maildrop")
    cases.wait_for("an empty maildrop", lambda: not os.listdir(drop))
    cases.equal(ss.with_token(ss.MAILBOXES[0], word), [])


def test_held_out_of_maildrop():
    P.reset()
    P.edits = [mp.quarantine("look at it")]
    word, since = spooled()
    qid = ss.logged(r"([0-9A-F]+): milter-hold: END-OF-MESSAGE from .*: "
                    r"look at it", since).group(1)
    cases.wait_for("hold", lambda: re.search(
        qid + "!", cases.run(["postqueue", "-p"]).stdout))
    cases.run(["postsuper", "-H", qid])
    arrived(word)


def test_a_filter_that_fails_leaves_it_in_maildrop():
    P.reset()
    P.answers["eom"] = mp.HANG_UP
    word, since = spooled()
    ss.logged("maildrop/.*trying again later", since)
    P.reset()
    cases.run(["chappe", "stop"])
    start()
    arrived(word)


cases.main(globals())
