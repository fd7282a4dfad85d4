#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o smtpd_tls_ask_ccert=yes -o smtpd_sasl_mechanisms=PLAIN,EXTERNAL -o smtpd_sasl_mechanism_filter=static:all -o auth_failure_delay=0
# timeout: 120
"""EXTERNAL (RFC 4422 A): logging in by the client's TLS certificate."""

import os
import re
import smtplib
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail as box  # noqa: E402
import smtp_session as mail  # noqa: E402

CONF = os.environ["CHAPPE_CONFIG"]
PLACE = os.path.join(os.environ["INSTANCE_DIR"], "client-certs")
NAME = mail.USERS[0]


def openssl(*words):
    subprocess.run(("openssl",) + words, check=True, capture_output=True,
                   cwd=PLACE)


def make(name, subject, signed):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
            name + ".key")
    if signed:
        openssl("req", "-new", "-key", name + ".key", "-subj", subject,
                "-out", name + ".csr")
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem",
                "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out",
                name + ".pem")
    else:
        openssl("req", "-x509", "-new", "-key", name + ".key", "-subj",
                subject, "-days", "2", "-out", name + ".pem")


def make_all():
    os.makedirs(PLACE)
    make("ca", "/CN=Clients", False)
    make("own", "/CN=" + NAME, True)
    make("forged", "/CN=" + NAME, False)
    make("stranger", "/CN=no-such-user", True)
    make("device", "/CN=device-7", True)
    with open(os.path.join(PLACE, "ca.pem")) as f:
        text = f.read()
    with open(os.path.join(CONF, "clients.pem"), "w") as f:
        f.write(text)
    os.chmod(os.path.join(CONF, "clients.pem"), 0o644)
    box.set_option("smtpd_tls_CAfile", os.path.join(CONF, "clients.pem"))


def session(cert):
    context = mail.tls_context()
    if cert is not None:
        context.load_cert_chain(os.path.join(PLACE, cert + ".pem"),
                                os.path.join(PLACE, cert + ".key"))
    s = smtplib.SMTP_SSL("localhost", mail.port("submissions"),
                         timeout=cases.WAIT_S, context=context)
    s.ehlo()
    return s


def attempt(cert, response="="):
    with session(cert) as s:
        return s.docmd("AUTH", "EXTERNAL " + response)[0]


make_all()


def test_offered_with_a_certificate_only():
    with session("own") as s:
        cases.equal(s.esmtp_features["auth"].split(), ["PLAIN", "EXTERNAL"])
    with session(None) as s:
        cases.equal(s.esmtp_features["auth"].split(), ["PLAIN"])
    cases.equal(attempt(None), 535)


def test_the_name_of_a_verified_certificate():
    start = len(mail.log())
    with session("own") as s:
        cases.equal(s.docmd("AUTH", "EXTERNAL =")[0], 235)
        cases.equal(s.mail(mail.ADDRESSES[0])[0], 250)
        cases.equal(s.rcpt(mail.ADDRESSES[1])[0], 250)
    mail.logged(r"client=\S+, sasl_method=EXTERNAL, sasl_username=%s$" % NAME,
                start)
    with session("own") as s:
        cases.equal(s.docmd("AUTH", "EXTERNAL")[0], 334)
        cases.equal(s.docmd("")[0], 235)


def test_others_are_refused():
    start = len(mail.log())
    cases.equal(attempt("forged"), 535)
    mail.logged(r"SASL EXTERNAL authentication failed: no verified client "
                r"certificate$", start)
    cases.equal(attempt("stranger"), 535)
    mail.logged(r"SASL EXTERNAL authentication failed: no such user in "
                r"auth_userdb, sasl_username=no-such-user$", start)
    # Acting as somebody else, and as oneself.
    import base64
    cases.equal(attempt("own", base64.b64encode(
        mail.USERS[1].encode()).decode()), 535)
    mail.logged(r"SASL EXTERNAL authentication failed: wants to act as "
                r"another user, sasl_username=%s$" % NAME, start)
    cases.equal(attempt("own", base64.b64encode(NAME.encode()).decode()),
                235)


def test_a_table_of_certificates():
    """By fingerprint, of a certificate that nobody has signed, and by name;
    who is not in it is nobody."""
    out = cases.run(["openssl", "x509", "-in",
                     os.path.join(PLACE, "forged.pem"), "-noout",
                     "-fingerprint", "-sha256"]).stdout
    with open(os.path.join(CONF, "certs"), "w") as f:
        f.write("%s %s\ndevice-7 %s\n" % (
            out.strip().split("=")[1], mail.USERS[1], mail.USERS[1]))
    os.chmod(os.path.join(CONF, "certs"), 0o644)
    box.set_option("auth_external_maps", "texthash:" + CONF + "/certs")
    for cert, code in (("forged", 235), ("device", 235), ("own", 535)):
        cases.wait_for("%s: %d" % (cert, code),
                       lambda: attempt(cert) == code)
    mail.logged(r"SASL EXTERNAL authentication failed: the client's "
                r"certificate is nobody's$")
    assert re.search(r"login: user=<%s>, method=EXTERNAL" % mail.USERS[1],
                     mail.log())


if __name__ == "__main__":
    cases.main(globals())
