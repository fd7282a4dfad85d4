#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1 -o auth_failure_delay=0 -o auth_cache_ttl=0
"""What smtpd_sasl_... and broken_sasl_auth_clients make of AUTH: to whom it is
offered, with which mechanisms, and what a login is taken for."""

import base64
import os
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402
import more_smtpds  # noqa: E402
import smtp_session as ss  # noqa: E402

USER, PASSWORD = mail.user(1), mail.env("PASS1")
ELSEWHERE = "else.test"
# The same password under a name with a domain.
with open(os.path.join(mail.env("CHAPPE_CONFIG"), "users"), "r+") as f:
    line = [one for one in f.read().splitlines()
            if one.startswith(USER + ":")][0]
    f.write("%s@%s%s\n" % (USER, ELSEWHERE, line[len(USER):]))
ON = {"smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "no"}
PORT = more_smtpds.start({
    "plain": ON,
    "broken": dict(ON, broken_sasl_auth_clients="yes"),
    "except": dict(ON, smtpd_sasl_exceptions_networks="!127.0.0.3 "
                   "127.0.0.2/31"),
    "secret": dict(ON, smtpd_sasl_security_options="noanonymous, noplaintext",
                   smtpd_sasl_tls_security_options="noanonymous"),
    "filter": dict(ON, smtpd_sasl_mechanism_filter="login"),
    "scram": dict(ON, smtpd_sasl_mechanisms="PLAIN SCRAM-SHA-256 LOGIN",
                  smtpd_sasl_security_options="mutual_auth"),
    "domain": dict(ON, smtpd_sasl_local_domain=ELSEWHERE),
    "limit": dict(ON, smtpd_sasl_response_limit="16"),
    "header": dict(ON, smtpd_sasl_authenticated_header="yes"),
    "required": dict(ON, smtpd_sasl_required="yes"),
    "service": dict(ON, smtpd_sasl_service="other"),
})


def session(name, tls=False, source=None):
    s = smtplib.SMTP("127.0.0.1", PORT[name], timeout=cases.WAIT_S,
                     local_hostname="client.test",
                     source_address=(source, 0) if source else None)
    s.ehlo()
    if tls:
        s.starttls(context=mail.tls())
        s.ehlo()
    return s


def offered(s):
    """The lines about AUTH."""
    return [line for line in s.ehlo()[1].decode().splitlines()
            if line.startswith("AUTH")]


def plain(s, user=USER, password=PASSWORD):
    word = base64.b64encode(("\0%s\0%s" % (user, password)).encode())
    return s.docmd("AUTH PLAIN", word.decode())


def test_broken_clients_see_another_line():
    with session("plain") as s:
        cases.equal(offered(s), ["AUTH PLAIN LOGIN"])
    with session("broken") as s:
        cases.equal(offered(s), ["AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN"])
        cases.equal(plain(s)[0], 235)


def test_excepted_networks_are_not_offered_it():
    for source, lines in (("127.0.0.1", 1), ("127.0.0.2", 0),
                          ("127.0.0.3", 1)):
        with session("except", source=source) as s:
            cases.equal(len(offered(s)), lines, source)
            cases.equal(plain(s)[0], 235 if lines else 503, source)


def test_options_choose_mechanisms():
    with session("secret") as s:
        cases.equal(offered(s), [])
        cases.equal(plain(s)[0] // 100, 5)
    with session("secret", tls=True) as s:
        cases.equal(offered(s), ["AUTH PLAIN LOGIN"])
        cases.equal(plain(s)[0], 235)
    with session("filter") as s:
        cases.equal(offered(s), ["AUTH LOGIN"])
        code, text = plain(s)
        cases.equal(code, 535, text)
    for tls in (False, True):
        # Those with TLS are the same unless they are given.
        with session("scram", tls) as s:
            cases.equal(offered(s), ["AUTH SCRAM-SHA-256"])


def test_the_domain_of_bare_names():
    with session("domain") as s:
        since = len(ss.log())
        cases.equal(plain(s)[0], 235)
        s.mail("a@elsewhere.test")
        s.rcpt(mail.address(2))
        ss.logged("sasl_method=PLAIN, sasl_username=%s@%s$" %
                  (USER, ELSEWHERE), since)
    with session("plain") as s:
        cases.equal(plain(s, "%s@%s" % (USER, ELSEWHERE))[0], 235)


def test_long_lines_end_the_exchange():
    with session("limit") as s:
        code, text = plain(s)
        cases.equal((code, text), (500, b"5.5.6 Error: authentication "
                                   b"exchange line is too long"))
        cases.equal(s.docmd("AUTH LOGIN")[0], 334)
        cases.equal(s.docmd("x" * 17)[0], 500)
        cases.equal(s.docmd("NOOP")[0], 250)


def test_the_login_in_received():
    for name, shown in (("header", True), ("plain", False)):
        word = ss.token()
        with session(name) as s:
            cases.equal(plain(s)[0], 235)
            s.sendmail(mail.address(1), [mail.address(2)],
                       "Subject: %s\r\n\r\ntext\r\n" % word)
        raw = ss.delivered(ss.MAILBOXES[1], word).decode()
        cases.equal("(Authenticated sender: %s)" % USER in raw, shown, raw)


def test_a_login_may_be_a_must():
    with session("required") as s:
        cases.equal(s.docmd("MAIL FROM:<a@elsewhere.test>"),
                    (530, b"5.7.0 Authentication required"))
        cases.equal(plain(s)[0], 235)
        cases.equal(s.docmd("MAIL FROM:<a@elsewhere.test>")[0], 250)


def test_app_passwords_are_for_the_service():
    added = cases.run(["chappe", "app-password", "add", "-s", "smtp", USER,
                       "phone"]).stdout.strip()
    for name, code in (("plain", 235), ("service", 535)):
        with session(name) as s:
            cases.equal(plain(s, password=added)[0], code, name)
    with session("service") as s:
        cases.equal(plain(s)[0], 235)


cases.main(globals())
