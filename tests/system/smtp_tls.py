#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost= -o minimal_backoff_time=1h -o maximal_backoff_time=1h -o smtp_tls_loglevel=2 -o smtp_connection_cache_time_limit=0
"""Which next hops the client trusts: the levels of Postfix's TLS policy, and
REQUIRETLS and TLS-Required: No (RFC 8689), with next hops whose certificates
are good, for another name, their own authority, or out of date."""

import atexit
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import certificate  # noqa: E402
import dns_server  # noqa: E402
import mail  # noqa: E402

ZONE = [
    "one.test MX 10 mx.one.test",
    "mx.one.test A 127.0.0.2",
    "two.test MX 10 mx.one.test",
    "two.test MX 20 mx.two.test",
    "mx.two.test A 127.0.0.3",
    "half.test MX 10 mx.one.test",
    "half.test MX 20 mx.half.test",
    "mx.half.test A 127.0.0.4",
    "lame.test MX 10 mx.one.test",
    "lame.test MX 20 mx.lame.test",
    "mx.lame.test SERVFAIL",
]
OFFERS = ["PIPELINING", "REQUIRETLS"]
dns = dns_server.Server(ZONE).start()
authority = os.path.dirname(os.environ["CA_FILE"])
folder = tempfile.mkdtemp(prefix="chappe-tls-")
atexit.register(shutil.rmtree, folder, True)
policy = os.path.join(os.environ["CHAPPE_CONFIG"], "tls_policy")


def context(name, names, authority=authority, days=30):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = certificate.issue(folder, name, names, authority, days)
    c.load_cert_chain(path, path[:-4] + ".key")
    return c


# Good for the domains, not for the names of the MX records.
GOOD = context("good", "DNS:one.test,DNS:two.test,DNS:half.test")
MX = context("mx", "DNS:mx.one.test")
OTHER = context("other", "DNS:other.test")
SELF = context("self", "DNS:one.test", None)
OLD = context("old", "DNS:one.test", days=-1)
first = mail.Sink(host="127.0.0.2", offers=OFFERS)
second = mail.Sink(host="127.0.0.3", port=first.port, offers=OFFERS,
                   context=GOOD)


def setup():
    set_policy()
    mail.set_option("resolver_forward", "127.0.0.1@%d" % dns.port)
    mail.set_option("resolver_trust_anchor", "")
    mail.set_option("smtp_tcp_port", str(first.port))
    mail.set_option("smtp_tls_CAfile", os.environ["CA_FILE"])
    mail.set_option("smtp_tls_policy_maps", "texthash:" + policy)


def set_policy(*lines):
    with open(policy + ".new", "w") as f:
        f.write("".join(line + "\n" for line in lines))
    os.rename(policy + ".new", policy)


def host(context, offers=None):
    """What the first host is now."""
    first.context = context
    first.offers = OFFERS if offers is None else offers
    del first.messages[:], first.commands[:]
    del second.messages[:], second.commands[:]


def send(params="", domain="one.test", header="", sender=None):
    with mail.smtp() as s:
        s.starttls(context=mail.tls())
        s.ehlo()
        for command in (
                "MAIL FROM:<%s> %s" % (sender or mail.address(1), params),
                "RCPT TO:<friend@%s>" % domain):
            code, text = s.docmd(command)
            cases.equal(code, 250, "%s: %r" % (command, text))
        code, text = s.data("Subject: x\r\n%s\r\nsecret\r\n" % header)
        cases.equal(code, 250, text)
        return text.decode().split()[-1]


def status(qid):
    return mail.wait_for_log(
        r"smtp\[\d+\]: %s: to=<\S+>, relay=(.*)$" % qid).group(1)


def logged(words):
    """Since the last call."""
    global at
    text = mail.wait_for_log("(?s)\\A.{%d}.*%s" % (at, words)).group(0)
    at = len(text)


at = 0


def goes(qid, sink=first):
    cases.matches(status(qid), r"dsn=2\.0\.0, status=sent")
    cases.equal(len(sink.messages), 1)


def stays(qid, words):
    cases.matches(status(qid), r"dsn=4\.7\.[45], status=deferred \(%s"
                  % words)
    assert not first.messages
    cases.run(["postsuper", "-d", qid])


def bounces(qid, dsn, words):
    cases.matches(status(qid), r"dsn=%s, status=bounced \(%s" %
                  (re.escape(dsn), words))
    assert not first.messages


# ---- levels ----

def test_what_is_offered_is_taken():
    for server, word in ((GOOD, "Trusted"), (SELF, "Untrusted"),
                         (OTHER, "Trusted"), (OLD, "Untrusted")):
        host(server)
        goes(send())
        logged(r"smtp\[\d+\]: %s TLS connection established to mx\.one\.test"
               r"\[127\.0\.0\.2\]:%d: TLSv1\.3 with cipher \S+ "
               r"\(256/256 bits\) key-exchange " % (word, first.port))
        assert first.messages[0]["tls"]
    mail.wait_for_log("certificate verification failed for mx\\S+: "
                      "certificate has expired")


def test_none():
    set_policy("one.test none")
    host(GOOD)
    goes(send())
    assert not first.messages[0]["tls"]


def test_encrypt():
    set_policy("one.test encrypt")
    host(SELF)
    goes(send())
    host(None)
    stays(send(), r"TLS is required, but was not offered by host mx\.one")


def test_secure_is_the_domain():
    set_policy("one.test secure")
    host(GOOD)
    goes(send())
    logged("Verified TLS connection established to mx")
    host(MX)  # dot-nexthop
    goes(send())
    for server, words in ((OTHER, "Server certificate not verified"),
                          (SELF, "Server certificate not trusted"),
                          (OLD, "Server certificate not trusted"),
                          (None, "TLS is required, but was not offered")):
        host(server)
        stays(send(), words)
        assert "MAIL" not in "".join(first.commands)
    logged("certificate verification failed for mx\\S+: it is for other, "
           "not for any of: nexthop, dot-nexthop")


def test_verify_is_the_host():
    set_policy("one.test verify")
    host(MX)
    goes(send())
    host(GOOD)
    stays(send(), "Server certificate not verified")
    set_policy("one.test verify match=hostname:one.test")
    goes(send())


def test_names_may_be_given():
    set_policy("one.test secure match=.else.test:other.test")
    host(OTHER)
    goes(send())
    host(GOOD)
    stays(send(), "Server certificate not verified")


def test_fingerprint():
    text = subprocess.run(
        ["openssl", "x509", "-in", os.path.join(folder, "self.pem"), "-noout",
         "-fingerprint", "-sha256"], capture_output=True, text=True,
        check=True).stdout
    set_policy("one.test fingerprint match=00:11|" +
               text.strip().split("=")[1].lower())
    host(SELF)
    goes(send())
    logged("Verified TLS connection established to mx")
    host(GOOD)
    stays(send(), "Server certificate not verified")


def test_a_level_that_is_none_defers():
    set_policy("one.test dane")
    host(GOOD)
    stays(send(), "client TLS configuration problem")
    logged(r"warning: \S+ TLS policy of one\.test: bad TLS policy at "
           '"dane"')
    set_policy()


def test_a_connection_serves_those_whom_it_is_good_enough_for():
    mail.set_option("smtp_connection_cache_time_limit", "30s")
    set_policy()
    host(GOOD)
    goes(send())
    before = first.connections
    # It was not verified.
    send("REQUIRETLS")
    cases.wait_for("the second", lambda: len(first.messages) == 2)
    cases.equal(first.connections, before + 1)
    # It was, and is good for all.
    for i in range(2):
        send("REQUIRETLS")
        cases.wait_for("one more", lambda n=i + 3: len(first.messages) == n)
    send()
    cases.wait_for("the last", lambda: len(first.messages) == 5)
    cases.equal(first.connections, before + 1)
    mail.set_option("smtp_connection_cache_time_limit", "0")


# ---- RFC 8689 ----

def test_requiretls_needs_a_verified_server():
    set_policy()
    host(GOOD)
    goes(send("REQUIRETLS"))
    cases.contains([c for c in first.commands if c.startswith("MAIL")][0],
                   " REQUIRETLS")
    for server, words in ((OTHER, "Server certificate not verified"),
                          (SELF, "Server certificate not trusted"),
                          (OLD, "Server certificate not trusted"),
                          (None, "TLS is required, but was not offered")):
        host(server)
        bounces(send("REQUIRETLS"), "5.7.10",
                "REQUIRETLS needs a verified server: " + words)
        assert "MAIL" not in "".join(first.commands)


def test_requiretls_is_offered_or_the_mail_comes_back():
    host(GOOD, [])
    bounces(send("REQUIRETLS"), "5.7.30",
            "REQUIRETLS is required, but was not offered by host mx")
    assert "MAIL" not in "".join(first.commands)


def test_requiretls_with_a_policy_that_says_how():
    set_policy("one.test verify")
    host(MX)
    goes(send("REQUIRETLS"))
    set_policy("one.test secure match=other.test")
    host(GOOD)
    bounces(send("REQUIRETLS"), "5.7.10", "REQUIRETLS needs")
    set_policy()


def test_requiretls_tries_the_next_host():
    for server, offers in ((GOOD, []), (SELF, None), (None, None)):
        host(server, offers)
        qid = send("REQUIRETLS", "two.test")
        goes(qid, second)
        assert not first.messages


def test_requiretls_waits_for_a_host_that_is_not_there():
    host(GOOD, [])
    cases.matches(status(send("REQUIRETLS", "half.test")),
                  "status=deferred .connect to mx.half.test")


def test_requiretls_waits_for_a_host_that_was_not_found():
    for server, offers in ((GOOD, []), (OTHER, None), (None, None)):
        host(server, offers)
        cases.matches(status(send("REQUIRETLS", "lame.test")),
                      r"dsn=4\.4\.3, status=deferred .Host or domain name not "
                      r"found\. Name service error for name=mx\.lame\.test ")


def test_a_bounce_needs_tls_too():
    host(None)
    qid = send("REQUIRETLS RET=FULL", "one.test", sender="writer@two.test")
    bounces(qid, "5.7.10", "REQUIRETLS needs")
    cases.wait_for("the bounce", lambda: second.messages)
    cases.contains([c for c in second.commands if c.startswith("MAIL")][-1],
                   "MAIL FROM:<> REQUIRETLS")
    assert b"secret" not in second.messages[0]["data"]
    # It is not lost where REQUIRETLS is not offered (RFC 8689 5).
    second.offers = []
    try:
        host(None)
        send("REQUIRETLS", "one.test", sender="writer@two.test")
        cases.wait_for("the bounce", lambda: second.messages)
        assert second.messages[0]["tls"]
    finally:
        second.offers = OFFERS


def test_requiretls_stays_with_what_is_forwarded():
    with open(os.path.join(os.environ["CHAPPE_CONFIG"], "aliases"), "a") as f:
        f.write("abroad: friend@one.test\n")
    cases.run(["newaliases"])
    host(GOOD)
    with mail.smtp() as s:
        s.starttls(context=mail.tls())
        s.ehlo()
        s.docmd("MAIL FROM:<%s> REQUIRETLS" % mail.address(1))
        cases.equal(s.docmd("RCPT TO:<abroad@%s>" % mail.DOMAIN)[0], 250)
        cases.equal(s.data("Subject: x\r\n\r\nhello\r\n")[0], 250)
    cases.wait_for("the mail", lambda: first.messages)
    cases.contains([c for c in first.commands if c.startswith("MAIL")][-1],
                   " REQUIRETLS")


def test_tls_required_no():
    set_policy("one.test secure")
    for server in (None, SELF):
        host(server)
        goes(send(header="TLS-Required: No\r\n"))
        cases.equal(first.messages[0]["tls"], server is not None)
    # The option is stronger.
    host(None)
    bounces(send("REQUIRETLS", header="TLS-Required: No\r\n"), "5.7.10",
            "REQUIRETLS needs")
    mail.set_option("tls_required_enable", "no")
    stays(send(header="TLS-Required: No\r\n"), "TLS is required")


setup()
cases.main(globals())
