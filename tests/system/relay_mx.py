#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o minimal_backoff_time=1s -o maximal_backoff_time=1s
"""Mail for elsewhere by the DNS: the order of exchanges, the next one when
one is not there, null MX, no such domain, and a name server that fails."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import dns_server  # noqa: E402
import mail  # noqa: E402

OWN_NAME = cases.run(["postconf", "-h", "myhostname"]).stdout.strip()
ZONE = [
    "two.test MX 20 second.two.test",
    "two.test MX 10 first.two.test",
    "first.two.test A 127.0.0.2",
    "second.two.test A 127.0.0.3",
    "down.test MX 10 down.down.test",
    "down.test MX 20 second.two.test",
    "down.down.test A 127.0.0.4",
    "noname.test MX 10 nowhere.noname.test",
    "noname.test MX 20 first.two.test",
    "plain.test A 127.0.0.2",
    "null.test MX 0 .",
    "loop.test MX 10 self.loop.test",
    "loop.test MX 10 first.two.test",
    "backup.test MX 10 second.two.test",
    "backup.test MX 20 self.loop.test",
    "self.loop.test A 127.0.0.1",
    "lame.test MX 10 mx.lame.test",
    "lame.test MX 20 self.loop.test",
    "mx.lame.test SERVFAIL",
    "lost.test MX 10 mx.lost.test",
    "lost.test MX 20 self.loop.test",
    "named.test MX 10 mx.named.test",
    "named.test MX 20 %s" % OWN_NAME,
    "txt.test TXT no mail here",
    "later.test SERVFAIL",
]
dns = dns_server.Server(ZONE).start()
first = mail.Sink(host="127.0.0.2")
second = mail.Sink(host="127.0.0.3", port=first.port)


def setup():
    mail.set_option("resolver_forward", "127.0.0.1@%d" % dns.port)
    mail.set_option("resolver_trust_anchor", "")
    mail.set_option("smtp_tcp_port", str(first.port))


def send(domain):
    return mail.send(mail.text("to " + domain), "friend@" + domain)


def status(qid):
    return mail.wait_for_log(r"smtp\[\d+\]: %s: to=<\S+>, (relay=.*)$" %
                             qid).group(1)


def test_best_exchange_first():
    line = status(send("two.test"))
    cases.matches(line, r"^relay=first\.two\.test\[127\.0\.0\.2\]:%d, .* "
                  "dsn=2.0.0, status=sent" % first.port)
    cases.equal((len(first.messages), len(second.messages)), (1, 0))


def test_next_exchange_when_one_is_down():
    line = status(send("down.test"))
    cases.matches(line, r"^relay=second\.two\.test\[127\.0\.0\.3\]:\d+, .* "
                  "status=sent")
    mail.wait_for_log(r"connect to down\.down\.test\[127\.0\.0\.4\]:\d+: "
                      "Connection refused")


def test_next_exchange_when_one_has_no_address():
    cases.matches(status(send("noname.test")),
                  r"^relay=first\.two\.test\[.*status=sent")


def test_domain_without_exchange_but_address():
    cases.matches(status(send("plain.test")),
                  r"^relay=plain\.test\[127\.0\.0\.2\].*status=sent")


def test_permanent_failures():
    for domain, pattern in (
            ("null.test", r"dsn=5\.1\.\d+, status=bounced \(Domain null\.test "
             r"does not accept mail \(nullMX\)\)"),
            ("absent.test", r"dsn=5\.4\.4, status=bounced \(Host or domain "
             r"name not found\. Name service error for name=absent\.test "
             r"type=\w+: Host not found\)"),
            ("txt.test", r"dsn=5\.4\.4, status=bounced \(Host or domain name "
             r"not found\. Name service error for name=txt\.test type=A\w*: "
             "Host found but no data record of requested type")):
        cases.matches(status(send(domain)), pattern)


def test_own_exchange_is_not_tried():
    """Only what is better than this host may have the mail."""
    qid = mail.send(mail.text("loop"), "a@loop.test")
    mail.wait_for_log(r"%s: to=<a@loop\.test>, relay=none, .*dsn=5\.4\.6, "
                      r"status=bounced \(mail for loop\.test loops back to "
                      r"myself\)" % qid)
    mail.send(mail.text("backup"), "a@backup.test")
    cases.wait_for("the better exchange", lambda: any(
        m["rcpts"] == ["a@backup.test"] for m in second.messages))


def test_a_better_exchange_that_is_not_found_may_be_found_later():
    """As the second of a domain this host keeps its mail."""
    ids = [send(d) for d in ("lame.test", "lost.test", "named.test")]
    for qid in ids:
        cases.matches(status(qid), r"relay=none, .*dsn=4\.4\.4, "
                      r"status=deferred \(unable to find primary relay for "
                      r"(lame|lost|named)\.test\)$")
    dns.zone.set([r for r in ZONE if not r.startswith("mx.lame")] +
                 ["mx.%s.test A 127.0.0.2" % d
                  for d in ("lame", "lost", "named")])
    for qid in ids:
        mail.wait_for_log(r"%s: to=.*relay=mx\.\w+\.test\[127\.0\.0\.2\].*"
                          "status=sent" % qid)
    dns.zone.set(ZONE)


def test_failing_name_server_defers_and_comes_back():
    qid = send("later.test")
    cases.matches(status(qid), r"dsn=4\.4\.3, status=deferred \(Host or "
                  "domain name not found.*try again")
    dns.zone.set([r for r in ZONE if not r.startswith("later")] +
                 ["later.test MX 10 first.two.test"])
    mail.wait_for_log(r"%s: to=.*relay=first\.two\.test\[.*status=sent" % qid)
    mail.wait_until_empty()


def test_killed_resolver_loses_nothing():
    ids = []
    for n in range(5):
        ids.append(send("two.test"))
        for pid in re.findall(r"^resolver resolver (\d+) running",
                              cases.run(["chappe", "status"]).stdout, re.M):
            os.kill(int(pid), 9)
    for qid in ids:
        mail.wait_for_log(r"%s: to=.*relay=first\.two\.test\[.*status=sent" %
                          qid, 60)
    mail.wait_until_empty()


setup()
cases.main(globals())
