#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o smtpd_authorized_xclient_hosts=127.0.0.1
# timeout: 240
"""Clients of the SMTP server that others wrote: swaks with XCLIENT, TLS,
client certificates and LMTP, msmtp, git send-email, Python's smtplib."""

import os
import re
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402
import smtp_session as smtp  # noqa: E402

HOME = os.path.join(os.environ["INSTANCE_DIR"], "client-home")


def scratch(name, text, mode=0o600):
    path = os.path.join(HOME, name)
    os.makedirs(HOME, exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def swaks(*argv, port="SMTP_PORT", status=0):
    program = mail.partner("swaks+libnet-ssleay-perl", "swaks")
    return cases.run([program, "--server", "127.0.0.1", "--port",
                      mail.env(port), "--helo", "swaks.test", "--from",
                      "s@elsewhere.test"] + list(argv), status=status).stdout


def received(subject, n=1):
    """The topmost Received field by us."""
    text = mail.wait_for_mail(subject, n).decode()
    return re.search(r"^Received: (from .*?)\n\S", text.replace("\r", ""),
                     re.M | re.S).group(1)


# ---- swaks ----

def test_swaks_xclient():
    out = swaks("--to", mail.address(1), "--header", "Subject: xclient",
                "--xclient", "ADDR=192.0.2.5 NAME=spike.test "
                "HELO=spike.example.test PROTO=ESMTP")
    cases.contains(out, "XCLIENT")
    cases.contains(received("xclient"),
                   "from swaks.test (spike.test [192.0.2.5])")
    # An address outside mynetworks has no more rights than a stranger.
    out = swaks("--to", "r@elsewhere.test", "--xclient",
                "ADDR=192.0.2.5 NAME=spike.test", status=24)
    cases.contains(out, "554 5.7.1 <r@elsewhere.test>: Relay access denied")
    smtp.logged(r"NOQUEUE: reject: RCPT from spike.test\[192.0.2.5\]: 554 ")


def test_swaks_tls():
    for version in ("tlsv1_2", "tlsv1_3"):
        out = swaks("--to", mail.address(1), "--header",
                    "Subject: by %s" % version, "--tls", "--tls-protocol",
                    version, "--tls-verify", "--tls-ca-path",
                    mail.env("CA_FILE"))
        cases.contains(out, "=== TLS started with cipher TLSv1.")
        cases.contains(received("by %s" % version), "(using %s with cipher " %
                       version.replace("tlsv", "TLSv").replace("_", "."))
    swaks("--to", mail.address(1), "--tls", "--tls-protocol", "tlsv1_1",
          "--tls-cipher", "DEFAULT@SECLEVEL=0", status=29)


def test_swaks_lmtp():
    out = swaks("--protocol", "LMTP", "--to",
                mail.address(1) + "," + mail.address(2), "--header",
                "Subject: by lmtp", port="LMTP_PORT")
    cases.contains(out, "LHLO swaks.test")
    cases.equal(len(re.findall(r"^<-  250 2\.\d\.\d .*queued as", out,
                               re.M)), 2)
    for n in (1, 2):
        cases.contains(received("by lmtp", n), " with LMTP id ")
    out = swaks("--protocol", "LMTP", "--to",
                "nobody-there@" + mail.env("MAIL_DOMAIN"), port="LMTP_PORT",
                status=24)
    cases.contains(out, "550 5.1.1 ")


def test_swaks_pipelines():
    out = swaks("--pipeline", "--to", mail.address(1) + "," + mail.address(2),
                "--header", "Subject: pipelined")
    cases.contains(out, " -> DATA")
    mail.wait_for_mail("pipelined", 2)


# ---- msmtp ----

MSMTP = """\
defaults
auth {mechanism}
tls on
tls_trust_file {ca}
logfile {log}
account {name}
host localhost
port {port}
tls_starttls {starttls}
from {sender}
user {user}
password {password}
"""


def msmtp(name, subject, service="SUBMISSION_PORT", mechanism="on",
          password=None, status=0):
    config = scratch("msmtp-" + name, MSMTP.format(
        mechanism=mechanism, ca=mail.env("CA_FILE"), name=name,
        log=os.path.join(HOME, "msmtp.log"), port=mail.env(service),
        starttls="on" if service == "SUBMISSION_PORT" else "off",
        sender=mail.address(1), user=mail.user(1),
        password=password or mail.env("PASS1")))
    return cases.run([mail.partner("msmtp"), "-C", config, "-a", name,
                      mail.address(2)], status=status,
                     input="From: %s\nTo: %s\nSubject: %s\n\nHello.\n" % (
                         mail.address(1), mail.address(2), subject))


def test_msmtp():
    msmtp("starttls", "msmtp by starttls")
    msmtp("implicit", "msmtp by tls", "SUBMISSIONS_PORT", "plain")
    msmtp("login", "msmtp login", mechanism="login")
    for subject in ("msmtp by starttls", "msmtp by tls", "msmtp login"):
        cases.contains(received(subject, 2), " with ESMTPSA id ")


def test_msmtp_wrong_password():
    done = msmtp("wrong", "never", password="wrong", status=77)
    cases.matches(done.stderr, r"535 5\.7\.8 ")
    smtp.logged(r"warning: \S+\[\S+\]: SASL \S+ authentication failed")


# ---- git send-email ----

def author():
    env = {"HOME": HOME, "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        env["GIT_%s_NAME" % who] = "A User"
        env["GIT_%s_EMAIL" % who] = mail.address(1)
    return env


def git(*argv, cwd):
    return cases.run(["git"] + list(argv), cwd=cwd, env=author()).stdout


def test_git_send_email():
    folder = os.path.dirname(mail.partner(
        "git-email+libmailtools-perl+libio-socket-ssl-perl"
        "+libauthen-sasl-perl", "git-send-email"))
    root = os.path.join(os.path.dirname(folder), "root")
    repository = os.path.join(HOME, "repository")
    os.makedirs(repository, exist_ok=True)
    git("init", "-q", ".", cwd=repository)
    for n in (1, 2):
        with open(os.path.join(repository, "file"), "w") as f:
            f.write("line %d\n" % n)
        git("add", "file", cwd=repository)
        git("commit", "-q", "-m", "change number %d" % n, cwd=repository)
    git("format-patch", "-q", "--root", "-o", "patches", cwd=repository)
    program = os.path.join(root, "usr/lib/git-core/git-send-email")
    perl = cases.run(["perl", "-MConfig", "-e", "print $Config{archname} =~ "
                      "s/-gnu-.*/-gnu/r, ' ', $Config{version} =~ "
                      "s/\\.\\d+$//r"]).stdout
    done = cases.run(
        ["perl", program, "--quiet", "--confirm=never", "--from",
         mail.address(1), "--to", mail.address(2), "--smtp-server",
         "localhost", "--smtp-server-port", mail.env("SUBMISSION_PORT"),
         "--smtp-encryption", "tls", "--smtp-ssl-cert-path",
         mail.env("CA_FILE"), "--smtp-user", mail.user(1), "--smtp-pass",
         mail.env("PASS1"), "patches"], cwd=repository,
        env=dict(author(), PERL5LIB=":".join(os.path.join(root, p) for p in (
            "usr/share/perl5", "usr/lib/%s/perl5/%s" % tuple(perl.split()))),
            GIT_EXEC_PATH=git("--exec-path", cwd=repository).strip()))
    assert "fatal" not in done.stderr, done.stderr
    for n in (1, 2):
        text = mail.wait_for_mail("[PATCH %d/2] change number %d" % (n, n),
                                  2).decode()
        cases.contains(text, "+line %d" % n)
        cases.contains(text, "with ESMTPSA id")


# ---- Python ----

def test_smtplib():
    with smtplib.SMTP("localhost", int(mail.env("SUBMISSION_PORT")),
                      timeout=cases.WAIT_S) as s:
        s.starttls(context=mail.tls())
        s.login(mail.user(1), mail.env("PASS1"))
        assert s.has_extn("8bitmime") and s.has_extn("size")
        refused = s.sendmail(
            mail.address(1), [mail.address(2), "nobody-there@" +
                              mail.env("MAIL_DOMAIN")],
            "From: %s\r\nSubject: by smtplib\r\n\r\n.dot\r\n" %
            mail.address(1))
        cases.equal(list(refused), ["nobody-there@" +
                                    mail.env("MAIL_DOMAIN")])
    cases.contains(mail.wait_for_mail("by smtplib", 2).decode(), "\n.dot")


if __name__ == "__main__":
    cases.main(globals())
