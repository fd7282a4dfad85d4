#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restriction lists: smtpd answers each row of tests/lib/restriction_cases.py
as real Postfix did (system/restrictions_oracle), and logs it in its shapes."""
# timeout: 300

import os
import re
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import dns_server  # noqa: E402
import ipc  # noqa: E402
import restriction_cases as table  # noqa: E402
import smtpd_alone  # noqa: E402

DOMAIN = table.DOMAIN

# Where we mean to differ from Postfix, and why.
DIFFERENT = {}
WORKERS = 4


class Place(smtpd_alone.Place):
    def __init__(self):
        self.lock = threading.Lock()
        self.dns = dns_server.Server(table.ZONE).start()
        super().__init__(smtpd_peername_lookup="yes",
                         resolver_forward="127.0.0.1@%d" % self.dns.port,
                         resolver_trust_anchor="")
        table.write_tables(self.house.path("conf"))
        self.resolver = ipc.Daemon("resolver", self.house)

    def overrides(self, row):
        settings = dict(table.COMMON, smtpd_relay_restrictions=(
            "permit_mynetworks, permit_sasl_authenticated, "
            "defer_unauth_destination"))
        settings.update(table.settings(row, self.house.path("conf")))
        return ["%s=%s" % pair for pair in settings.items()]

    def ask(self, row):
        # Starting a daemon changes this process's user for a moment.
        with self.lock:
            d = smtpd_alone.Smtpd(self.house, self.tls,
                                  overrides=self.overrides(row))
        try:
            return table.ask(row, d.port)
        finally:
            with self.lock:
                d.close()

    def close(self):
        self.resolver.close()
        super().close()
        self.dns.stop()


place = Place()


def ask_all(rows):
    """The replies, in the rows' order; a few at a time."""
    replies = ["not asked"] * len(rows)

    def work(first):
        for n in range(first, len(rows), WORKERS):
            try:
                replies[n] = table.without_ids(place.ask(rows[n]))
            except Exception as e:  # shown with the row
                replies[n] = repr(e)

    threads = [threading.Thread(target=work, args=(n,))
               for n in range(WORKERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return replies


def test_replies_are_those_of_postfix():
    wanted = table.recorded()
    rows = list(table.rows())
    cases.equal(sorted(r[0] for r in rows), sorted(wanted))
    wrong = []
    for row, reply in zip(rows, ask_all(rows)):
        expected = DIFFERENT.get(row[0], wanted[row[0]])
        if reply != expected:
            wrong.append("%s\n   got      %s\n   expected %s" %
                         (row[0], reply, expected))
    assert not wrong, "%d of %d:\n%s" % (len(wrong), len(rows),
                                         "\n".join(wrong))


class Actions:
    """A smtpd whose sender table has each action; says what came of it."""

    TABLE = """
        pass@a.test OK
        warn@a.test WARN a warning
        info@a.test INFO a note
        hold@a.test HOLD for now
        discard@a.test DISCARD
        filter@a.test FILTER scan:[127.0.0.1]:10025
        redirect@a.test REDIRECT boris@chappe.test
        bcc@a.test BCC boris@chappe.test
        prepend@a.test PREPEND X-Seen: yes
        reject@a.test REJECT no
        ifpermit@a.test DEFER_IF_PERMIT later
    """

    def __init__(self, *more):
        path = place.house.path("conf/actions")
        with open(path, "w") as f:
            f.write("".join(line.strip() + "\n"
                            for line in self.TABLE.splitlines()))
        os.chmod(path, 0o644)
        self.d = place.smtpd("smtpd_sender_restrictions=check_sender_access "
                             "texthash:" + path, *more)

    def send(self, sender):
        """The reply to a whole message."""
        row = ("", "127.0.0.2", "h.ok.test", sender + "@a.test",
               table.ALICE, ("DATA",))
        return table.ask(row, self.d.port)

    def accepted(self, sender):
        reply = self.send(sender)
        assert reply.startswith("250 2.0.0 Ok: queued as "), reply
        return reply.split()[-1]


def queue_file(qid):
    def find():
        for folder, _, files in os.walk(place.house.queue):
            if qid in files:
                with open(os.path.join(folder, qid), "rb") as f:
                    return folder[len(place.house.queue):], f.read()
        return None
    return cases.wait_for("queue file " + qid, find)


def logged(pattern):
    return cases.wait_for("in the log: " + pattern, lambda: re.search(
        "^.*: " + pattern + "$", place.log_text(), re.M))


TAIL = r"; from=<%s@a\.test> to=<alice@chappe\.test> proto=ESMTP " \
    r"helo=<h\.ok\.test>"
FROM = r"RCPT from client2\.ok\.test\[127\.0\.0\.2\]: "


def test_actions_on_messages():
    a = Actions()
    for name in ("warn", "info"):
        a.accepted(name)
    logged("NOQUEUE: warn: " + FROM + "a warning" + TAIL % "warn")
    logged("NOQUEUE: info: " + FROM + "a note" + TAIL % "info")
    folder, _ = queue_file(a.accepted("hold"))
    assert folder.startswith("/hold"), folder
    logged("NOQUEUE: hold: " + FROM + r"<hold@a\.test>: Sender address for "
           "now" + TAIL % "hold")
    reply = a.send("discard")
    assert reply.startswith("250 2.0.0 Ok"), reply
    logged("NOQUEUE: discard: " + FROM + r"<discard@a\.test>: Sender address "
           "triggers DISCARD action" + TAIL % "discard")
    assert not any(reply.split()[-1] in files for _, _, files in
                   os.walk(place.house.queue)), "it was kept"
    _, content = queue_file(a.accepted("filter"))
    assert b"scan" in content and b"[127.0.0.1]:10025" in content
    logged("NOQUEUE: filter: " + FROM + r"<filter@a\.test>: Sender address "
           r"triggers FILTER scan:\[127\.0\.0\.1\]:10025" + TAIL % "filter")
    _, content = queue_file(a.accepted("redirect"))
    assert b"boris@chappe.test" in content
    logged("NOQUEUE: redirect: " + FROM + r"<redirect@a\.test>: Sender "
           r"address triggers REDIRECT boris@chappe\.test" +
           TAIL % "redirect")
    _, content = queue_file(a.accepted("bcc"))
    assert b"boris@chappe.test" in content and b"alice@" in content
    _, content = queue_file(a.accepted("prepend"))
    assert b"X-Seen: yes" in content


def test_lines_of_refusals_and_permissions():
    a = Actions("smtpd_log_access_permit_actions=static:all")
    cases.equal(a.send("reject")[:10], "554 5.7.1 ")
    logged("NOQUEUE: reject: " + FROM + r"554 5\.7\.1 <reject@a\.test>: "
           "Sender address rejected: no" + TAIL % "reject")
    cases.equal(a.send("ifpermit")[:10], "450 4.7.1 ")
    logged("NOQUEUE: reject: " + FROM + r"450 4\.7\.1 <ifpermit@a\.test>: "
           "Sender address rejected: later" + TAIL % "ifpermit")
    a.accepted("pass")
    logged("NOQUEUE: permit: " + FROM + r"action=OK for Sender address="
           r"pass@a\.test from texthash:\S*" + TAIL % "pass")
    d = place.smtpd("smtpd_client_restrictions=warn_if_reject "
                    "reject_unknown_client_hostname, "
                    "warn_if_reject reject_rbl_client rbl.test")
    row = ("", "127.0.0.3", "h", "s@ok.test", table.ALICE, ())
    cases.equal(table.ask(row, d.port), "250 2.1.5 Ok")
    rest = r"; from=<s@ok\.test> to=<alice@chappe\.test> proto=ESMTP " \
        "helo=<h>"
    from_3 = r"RCPT from unknown\[127\.0\.0\.3\]: "
    logged("NOQUEUE: reject_warning: " + from_3 + r"450 4\.7\.25 Client host "
           r"rejected: cannot find your hostname, \[127\.0\.0\.3\]" + rest)
    logged("NOQUEUE: reject_warning: " + from_3 + r"554 5\.7\.1 Service "
           r"unavailable; Client host \[127\.0\.0\.3\] blocked using "
           r"rbl\.test" + rest)
    logged(r"warning: hostname forged\.ok\.test does not resolve to address "
           r"127\.0\.0\.3")


def test_521_ends_the_session():
    d = place.smtpd("smtpd_client_restrictions=reject", "reject_code=521")
    talk = table.Talk(d.port, "127.0.0.2")
    talk.reply()
    for command in ("EHLO h", "MAIL FROM:<s@ok.test>"):
        cases.equal(talk.say(command)[:3], "250")
    cases.equal(talk.say("RCPT TO:<%s>" % table.ALICE)[:10], "521 5.7.1 ")
    cases.equal(talk.file.read(), b"")
    talk.close()


def refused_start(*settings):
    """What a smtpd says that does not start."""
    try:
        place.smtpd(*settings)
    except AssertionError as e:
        return str(e)
    raise AssertionError("it started")


def test_an_open_relay_does_not_start():
    for settings in (
            ("smtpd_relay_restrictions=",),
            ("smtpd_relay_restrictions=permit_mynetworks",),
            ("smtpd_relay_restrictions=permit",
             "smtpd_recipient_restrictions=permit_mynetworks, "
             "reject_rbl_client rbl.test")):
        cases.contains(refused_start(*settings), "specify at least one "
                       "working instance of: reject_unauth_destination")
    cases.contains(refused_start("smtpd_client_restrictions=rejct_all"),
                   'unknown smtpd restriction: "rejct_all"')


# As Debian's package of Postfix makes it on a fresh installation.
DEBIAN = """
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6
smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem
smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key
smtpd_tls_security_level=may
smtp_tls_CApath=/etc/ssl/certs
smtp_tls_security_level=may
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated \
defer_unauth_destination
myhostname = chappe.test
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
mydestination = $myhostname, host, localhost.localdomain, , localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
"""


def test_debians_configuration_is_accepted():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "conf.d"))
        with open(os.path.join(folder, "main.cf"), "w") as f:
            f.write(DEBIAN)
        done = subprocess.run(
            [os.path.join(cases.ROOT, os.environ.get("B") or "build/debug",
                          "bin/postconf"), "-n"], capture_output=True,
            text=True, check=True, env=dict(os.environ,
                                            CHAPPE_CONFIG=folder))
    cases.equal(done.stderr, "")
    cases.equal(len(done.stdout.splitlines()), DEBIAN.count("="))


if __name__ == "__main__":
    try:
        cases.main(globals())
    finally:
        place.close()
