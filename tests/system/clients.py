#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance:
# timeout: 240
"""Mail clients as people have them: swaks, s-nail, mutt and bsd-mailx send,
by submission and by sendmail, and read by IMAP."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402


def scratch(name, text):
    path = os.path.join(mail.env("INSTANCE_DIR"), name)
    with open(path, "w") as f:
        f.write(text)
    return path


def sendmail():
    return os.path.join(mail.env("PATH").split(":")[0], "sendmail")


def clean_home():
    path = os.path.join(mail.env("INSTANCE_DIR"), "client-home")
    os.makedirs(path, exist_ok=True)
    return {"HOME": path, "MAILRC": "/dev/null", "SYSTEM_MAILRC": "/dev/null"}


def test_partners_are_not_installed():
    def packages():
        with open("/var/lib/dpkg/status", "rb") as f:
            return f.read()
    before = packages()
    for name in ("bsd-mailx", "mutt"):
        assert mail.partner(name).startswith(cases.ROOT + "/build/"), name
    assert packages() == before, "dpkg's status changed"


def test_swaks_smtp_starttls():
    swaks = mail.partner("swaks+libnet-ssleay-perl", "swaks")
    out = cases.run([swaks, "--server", "localhost", "--port",
                     mail.env("SMTP_PORT"), "--from", "s@elsewhere.test",
                     "--to", mail.address(1), "--tls", "--tls-verify",
                     "--tls-ca-path", mail.env("CA_FILE"),
                     "--header", "Subject: by swaks"]).stdout
    cases.contains(out, "=== TLS started with cipher TLSv1.3")
    mail.wait_for_mail("by swaks")


def test_swaks_auth():
    swaks = mail.partner("swaks+libnet-ssleay-perl", "swaks")
    for mechanism in ("PLAIN", "LOGIN"):
        out = cases.run([swaks, "--server", "localhost", "--port",
                         mail.env("SUBMISSIONS_PORT"), "--tls-on-connect",
                         "--auth", mechanism, "--auth-user", mail.user(2),
                         "--auth-password", mail.env("PASS2"), "--from",
                         mail.address(2), "--to", mail.address(1), "--header",
                         "Subject: swaks " + mechanism]).stdout
        cases.contains(out, "235 2.7.0 Authentication successful")
        mail.wait_for_mail("swaks " + mechanism)


def test_swaks_wrong_password():
    swaks = mail.partner("swaks+libnet-ssleay-perl", "swaks")
    done = cases.run([swaks, "--server", "localhost", "--port",
                      mail.env("SUBMISSION_PORT"), "--tls", "--auth",
                      "PLAIN", "--auth-user", mail.user(2),
                      "--auth-password", "wrong", "--from", mail.address(2),
                      "--to", mail.address(1)], status=None)
    cases.equal(done.returncode, 28, "swaks: authentication failed")
    cases.contains(done.stdout, "535 5.7.8")
    mail.wait_for_log(r"warning: localhost\[[^]]+\]: SASL PLAIN "
                      "authentication failed")


def test_swaks_lmtp():
    swaks = mail.partner("swaks+libnet-ssleay-perl", "swaks")
    cases.run([swaks, "--server", "localhost", "--port",
               mail.env("LMTP_PORT"), "--protocol", "LMTP", "--from",
               "s@elsewhere.test", "--to", mail.address(1), "--header",
               "Subject: by lmtp"])
    mail.wait_for_mail("by lmtp")


def test_s_nail():
    nail = mail.partner("s-nail")
    cases.run([nail, "-:/", "-Ssendmail=" + sendmail(), "-s", "by s-nail",
               mail.address(1)], input="Grüße\n", env=clean_home())
    raw = mail.wait_for_mail("by s-nail")
    assert b"Gr" in raw


def test_bsd_mailx():
    mailx = mail.partner("bsd-mailx")
    rc = scratch("mailrc", "set sendmail=%s\n" % sendmail())
    cases.run([mailx, "-s", "by mailx", mail.user(1)], input="text\n",
              env=dict(clean_home(), MAILRC=rc))
    mail.wait_for_mail("by mailx")


def mutt_rc():
    return scratch("muttrc", """\
set from = "%s"
set sendmail = "%s -oem -oi"
set folder = "imaps://localhost:%s/"
set spoolfile = "+INBOX"
set imap_user = "%s"
set imap_pass = "%s"
set ssl_starttls = yes
set ssl_force_tls = yes
set certificate_file = "%s"
set copy = no
set quit = yes
set header_cache = ""
""" % (mail.address(2), sendmail(), mail.env("IMAPS_PORT"), mail.user(1),
       mail.env("PASS1"), mail.env("CA_FILE")))


def test_mutt_sends():
    mutt = mail.partner("mutt")
    attachment = scratch("attachment.bin", "some bytes\n")
    cases.run([mutt, "-n", "-F", mutt_rc(), "-s", "by mutt", "-a",
               attachment, "--", mail.address(1)], input="Hello\n",
              env=clean_home())
    raw = mail.wait_for_mail("by mutt")
    cases.matches(raw.decode(), r"filename=\"?attachment\.bin")


def test_mutt_reads_by_imaps():
    mutt = mail.partner("mutt")
    saved = os.path.join(mail.env("INSTANCE_DIR"), "saved")
    keys = "<tag-pattern>~s by<enter><tag-prefix><copy-message>%s<enter>" \
        "<quit>" % saved
    script = "%s -n -F %s -e 'set mbox_type=Maildir; set confirmcreate=no; " \
        "set confirmappend=no; set delete=no; push \"%s\"'" % (
            mutt, mutt_rc(), keys)
    cases.run(["script", "-qec", script, "/dev/null"], status=None,
              env=dict(clean_home(), TERM="xterm"))
    subjects = set()
    for path in mail.maildir_files(saved):
        with open(path, errors="replace") as f:
            subjects.update(re.findall(r"^Subject: (.*)$", f.read(), re.M))
    assert {"by mutt", "by swaks"} <= subjects, subjects


cases.main(globals())
