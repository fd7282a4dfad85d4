#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1
"""postconf, postmap, postalias, postcat, and what a wrong configuration is
told."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

MAIN_CF = os.path.join(mail.env("CHAPPE_CONFIG"), "main.cf")


def out(*argv, **more):
    return cases.run(list(argv), **more).stdout


def scratch(name, text):
    path = os.path.join(mail.env("INSTANCE_DIR"), name)
    with open(path, "w") as f:
        f.write(text)
    return path


def as_suite(*argv, status=0):
    """A command as the user of the suite, who may start it."""
    st = os.stat(mail.env("CHAPPE_CONFIG"))
    words = [] if st.st_uid == os.getuid() else [
        "setpriv", "--reuid=%d" % st.st_uid, "--regid=%d" % st.st_gid,
        "--clear-groups"]
    return cases.run(words + list(argv), status=status)


def test_postconf_values():
    cases.equal(out("postconf", "-h", "myhostname"), mail.DOMAIN + "\n")
    cases.equal(out("postconf", "-H", "myhostname"), "myhostname\n")
    cases.equal(out("postconf", "message_size_limit"),
                "message_size_limit = 10240000\n")
    cases.equal(out("postconf", "-d", "relayhost"), "relayhost = \n")
    cases.equal(out("postconf", "relayhost"), "relayhost = [127.0.0.1]:1\n")
    cases.contains(out("postconf", "-n"), "relayhost = [127.0.0.1]:1\n")
    assert "message_size_limit" not in out("postconf", "-n")
    assert len(out("postconf").splitlines()) > 100


def test_postconf_unknown_name():
    done = cases.run(["postconf", "bad"])
    cases.equal((done.stdout, done.stderr),
                ("", "postconf: warning: bad: unknown parameter\n"))


def test_postconf_edits():
    out("postconf", "-e", "smtpd_banner = $myhostname test")
    cases.equal(out("postconf", "smtpd_banner"),
                "smtpd_banner = $myhostname test\n")
    cases.equal(out("postconf", "-xh", "smtpd_banner"),
                mail.DOMAIN + " test\n")
    with open(MAIN_CF) as f:
        cases.equal(f.read().count("\nsmtpd_banner"), 1)


def test_postconf_services():
    text = out("postconf", "-M")
    cases.matches(text, r"^qmgr\s+unix\s")
    cases.matches(text, r"^%s\s+inet\s.*smtpd" % mail.env("SMTP_PORT"))


def test_postmap():
    path = scratch("table", "# a comment\nkey  value of it\nother\n  more\n")
    out("postmap", "hash:" + path)
    cases.equal(out("postmap", "-q", "key", "hash:" + path), "value of it\n")
    cases.equal(out("postmap", "-q", "other", "hash:" + path), "more\n")
    cases.equal(out("postmap", "-q", "no", "hash:" + path, status=1), "")
    cases.equal(sorted(out("postmap", "-s", "hash:" + path).splitlines()),
                ["key\tvalue of it", "other\tmore"])
    cases.equal(out("postmap", "-q", "-", "hash:" + path, input="key\nno\n"),
                "key\tvalue of it\n")


def test_postmap_takes_files_in():
    one, two = scratch("one", "first\n"), scratch("two", "second\0\n")
    path = scratch("files", "key %s, %s\nbad /no/such/file\nplain %s\n" % (
        one, two, one))
    done = cases.run(["postmap", "-F", "hash:" + path])
    cases.matches(done.stderr, "files, line 2: open /no/such/file: No such")
    cases.equal(out("postmap", "-q", "plain", "hash:" + path), "Zmlyc3QK\n")
    cases.equal(out("postmap", "-F", "-q", "key", "hash:" + path),
                "first\n\nsecond\0\n\n")
    cases.contains(out("postmap", "-F", "-s", "hash:" + path),
                   "plain\tfirst\n")
    out("postmap", "-q", "bad", "hash:" + path, status=1)
    out("postmap", "hash:" + path)
    done = cases.run(["postmap", "-F", "-q", "plain", "hash:" + path],
                     status=1)
    cases.contains(done.stderr, "is no base 64")
    cases.run(["postalias", "-F", "hash:" + path], status=1)


def test_postmap_is_seen_without_reload():
    path = scratch("virtual", "")
    os.chmod(path, 0o644)
    out("postmap", "hash:" + path)
    mail.set_option("virtual_alias_maps", "hash:" + path)
    with open(path, "a") as f:
        f.write("nick@%s %s\n" % (mail.DOMAIN, mail.user(1)))
    out("postmap", "hash:" + path)
    mail.send(mail.text("by nickname"), "nick@" + mail.DOMAIN)
    mail.wait_for_mail("by nickname")


def test_postalias():
    table = "hash:" + os.path.join(mail.env("CHAPPE_CONFIG"), "aliases")
    cases.equal(out("postalias", "-q", "postmaster", table), "root\n")
    done = cases.run(["postalias", "hash:/no/such/file"], status=1)
    cases.contains(done.stderr, "/no/such/file")


def test_postcat():
    with mail.submission(2) as s:
        s.sendmail(mail.address(2), ["x@elsewhere.test"],
                   b"Subject: to be shown\r\n\r\nits body\r\n")
    cases.wait_for("the queue", lambda: "refused" in mail.queue())
    qid = mail.queue().splitlines()[1].split()[0]
    text = out("postcat", "-q", qid)
    for part in ("*** ENVELOPE RECORDS ", "*** MESSAGE CONTENTS ",
                 "*** MESSAGE FILE END ", "sender: " + mail.address(2),
                 "recipient: x@elsewhere.test", "Subject: to be shown"):
        cases.contains(text, part)
    header = out("postcat", "-qh", qid)
    assert "Subject: to be shown" in header and "its body" not in header
    assert "Subject:" not in out("postcat", "-qb", qid)
    cases.run(["postcat", "-q", "0123456789ABCDE"], status=1)


def test_wrong_parameter_names_line_and_nearest():
    with open(MAIN_CF) as f:
        good = f.read()
    number = good.count("\n") + 1
    for line, wanted in (
            ("mydestinatoin = x", 'unknown parameter "mydestinatoin"; the '
             'nearest known is "mydestination"'),
            ("message_size_limit = lots", "message_size_limit"),
            ("no sense", "")):
        with open(MAIN_CF, "w") as f:
            f.write(good + line + "\n")
        for command in ("check", "reload"):
            done = as_suite("chappe", command, status=1)
            cases.matches(done.stdout + done.stderr, r"%s: line %d: .*%s" % (
                MAIN_CF, number, wanted))
    with open(MAIN_CF, "w") as f:
        f.write(good)
    as_suite("chappe", "check")
    mail.send(mail.text("still up"))
    mail.wait_for_mail("still up")


def test_check_compiles_restriction_lists():
    with open(MAIN_CF) as f:
        good = f.read()
    for line, wanted in (
            ("smtpd_client_restrictions = reject_nonsense",
             "smtpd_client_restrictions: .*reject_nonsense"),
            ("smtpd_recipient_restrictions = check_policy_service nowhere",
             "smtpd_recipient_restrictions: .*nowhere"),
            ("smtpd_relay_restrictions = permit",
             "reject_unauth_destination"),
            ("smtp_tls_loglevel = 1\nsmtpd_sender_login_maps = nonsense:x",
             "smtpd_sender_login_maps: .*nonsense"),
            ("smtpd_tls_protocols = TLSv9", "smtpd_tls_protocols: .*TLSv9")):
        with open(MAIN_CF, "w") as f:
            f.write(good + line + "\n")
        done = as_suite("chappe", "check", status=1)
        cases.matches(done.stderr, wanted)
        # Once, though there are several of these services.
        cases.equal(len(done.stderr.splitlines()), 1, done.stderr)
    with open(MAIN_CF, "w") as f:
        f.write(good)
    # Of one service only.
    path = os.path.join(mail.env("CHAPPE_CONFIG"), "master.cf")
    with open(path) as f:
        master = f.read()
    with open(path, "a") as f:
        f.write("127.0.0.1:10099 inet n - n - - smtpd\n"
                "  -o smtpd_helo_restrictions=reject_odd\n")
    done = as_suite("chappe", "check", status=1)
    cases.matches(done.stderr, "smtpd_helo_restrictions: .*reject_odd")
    with open(path, "w") as f:
        f.write(master)
    as_suite("chappe", "check")


def test_wrong_service_names_line():
    path = os.path.join(mail.env("CHAPPE_CONFIG"), "master.cf")
    with open(path) as f:
        good = f.read()
    with open(path, "a") as f:
        f.write("bad line\n")
    done = as_suite("chappe", "check", status=1)
    cases.matches(done.stdout + done.stderr, r"%s: line %d: " % (
        path, good.count("\n") + 1))
    with open(path, "w") as f:
        f.write(good)


cases.main(globals())
