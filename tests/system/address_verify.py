#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o transport_maps=texthash:$config_directory/transport -o smtpd_relay_restrictions=permit_mynetworks,reject -o smtpd_recipient_restrictions=reject_unverified_recipient -o smtpd_sender_restrictions=reject_unverified_sender -o unverified_recipient_reject_code=550 -o address_verify_poll_delay=10s -o minimal_backoff_time=1s -o maximal_backoff_time=1s -o smtp_connection_cache_time_limit=0
"""Addresses are verified by probes: what the next hop, local delivery or the
router says of an address is what the client hears, is remembered over
restarts, and is never delivered, bounced or tried again."""

import os
import re
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import ipc  # noqa: E402
import mail  # noqa: E402
import verify_cases  # noqa: E402

PROBE = "MAIL FROM:<double-bounce@%s>" % mail.DOMAIN
SLOW = threading.Event()
GONE = set()  # addresses that do not exist any more




def answer(verb, line, usual=verify_cases.answer(SLOW)):
    if verb == "RCPT" and line[9:-1] in GONE:
        return "550 5.1.1 no more"
    return usual(verb, line)


sink = mail.Sink(reply=answer)
dead = mail.Sink()
dead.close()
with open(os.path.join(mail.env("CHAPPE_CONFIG"), "transport"), "w") as f:
    f.write(verify_cases.transport(sink.port, dead.port))


def ask(rcpt, sender=""):
    return verify_cases.ask(mail.HOST, int(mail.env("SMTP_PORT")), rcpt,
                            sender)


def probes(rcpt):
    return sink.commands.count("RCPT TO:<%s>" % rcpt)


def result(rcpt, status="deliverable"):
    """The queue id of the probe and what it was told."""
    return mail.wait_for_log(
        r"(?:smtp|local)\[\d+\]: (\w+): to=<%s>, .*, status=%s \((.*)\)$"
        % (re.escape(rcpt), status))


def gone(qid):
    mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)
    lines = [line for line in mail.log().splitlines() if qid in line]
    assert not [line for line in lines if "bounce[" in line], lines
    assert not [line for line in lines if "status=deferred" in line], lines


def rejected(kind, rcpt, why, code="550 5.1.1"):
    return "%s <%s>: Recipient address rejected: %s address: %s" % (
        code, rcpt, kind, why)


def pids_of(program):
    """Of this instance's processes."""
    master = mail.env("MASTER_PID")
    found = subprocess.run(["pgrep", "-P", master, "-x", program],
                           capture_output=True, text=True).stdout.split()
    return {int(pid) for pid in found}


def end(program, how):
    """The next one is started when it is wanted."""
    old = pids_of(program)
    assert old, program
    for pid in old:
        os.kill(pid, how)
    cases.wait_for("the end of " + program,
                   lambda: not old & pids_of(program))


def test_good_recipient():
    cases.equal(ask("good@there.test"), "250 2.1.5 Ok")
    qid, text = result("good@there.test").groups()
    cases.equal(text, "250 2.1.5 Ok")
    gone(qid)
    cases.wait_for("QUIT", lambda: "QUIT" in sink.commands)
    verbs = [c.split()[0] for c in sink.commands]
    cases.equal(verbs, ["EHLO", "MAIL", "RCPT", "RSET", "QUIT"])
    assert sink.commands[1].startswith(PROBE), sink.commands
    # Known now; domains have no case.
    for rcpt in ("good@there.test", "good@THERE.test"):
        cases.equal(ask(rcpt), "250 2.1.5 Ok")
    cases.equal(probes("good@there.test"), 1)


def test_refused_recipient():
    why = ("host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user "
           "(in reply to RCPT TO command)")
    for _ in range(2):
        cases.equal(ask("no@there.test"),
                    rejected("undeliverable", "no@there.test", why))
    gone(result("no@there.test", "undeliverable").group(1))
    cases.equal(probes("no@there.test"), 1)
    mail.wait_for_log(re.escape(
        "reject: RCPT from localhost[127.0.0.1]: " +
        rejected("undeliverable", "no@there.test", why) + "; from=<> "
        "to=<no@there.test> proto=ESMTP helo="))


def test_temporary_refusal():
    cases.equal(ask("later@there.test"), rejected(
        "unverified", "later@there.test", "host 127.0.0.1[127.0.0.1] said: "
        "450 4.2.0 come again (in reply to RCPT TO command)", "450 4.1.1"))
    gone(result("later@there.test", "undeliverable").group(1))


def test_dead_next_hop():
    cases.equal(ask("x@dead.test"), rejected(
        "unverified", "x@dead.test", "connect to 127.0.0.1[127.0.0.1]:%d: "
        "Connection refused" % dead.port, "450 4.1.1"))
    gone(result("x@dead.test", "undeliverable").group(1))


def test_router_knows():
    cases.equal(ask("x@shut.test"), rejected(
        "undeliverable", "x@shut.test", "closed for good"))
    nobody = "nobody.here@" + mail.DOMAIN
    cases.equal(ask(nobody), rejected(
        "undeliverable", nobody, 'unknown user: "nobody.here"'))
    # No message was needed.
    mail.wait_for_log(r"verify\[\d+\]: to=<%s>, relay=none, .*, "
                      r"status=undeliverable \(" % nobody)


def test_local_user_gets_nothing():
    home = os.path.dirname(mail.env("MAILBOX2"))
    forward = os.path.join(home, ".forward")
    with open(forward, "w") as out:
        out.write(mail.address(1) + "\n")
    os.chmod(forward, 0o644)
    for rcpt, told in ((mail.address(1), "delivers to mailbox"),
                       (mail.address(2), "delivers to mailbox"),
                       ("mailer-daemon@" + mail.DOMAIN, "aliased")):
        cases.equal(ask(rcpt), "250 2.1.5 Ok")
        qid, text = result(rcpt).groups()
        cases.equal(text, told)
        gone(qid)
    os.unlink(forward)
    cases.equal(mail.mailbox_texts(1) + mail.mailbox_texts(2), [])


def test_slow_next_hop_and_one_probe_at_a_time():
    replies = []
    mail.set_option("address_verify_poll_delay", "1s")
    threads = [threading.Thread(target=lambda: replies.append(
        ask("slow@there.test"))) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    cases.equal(replies, [rejected(
        "unverified", "slow@there.test", "Address verification in progress",
        "450 4.1.1")] * 3)
    cases.equal(probes("slow@there.test"), 1)
    # Whoever did not wait for it, finds it.
    SLOW.set()
    gone(result("slow@there.test").group(1))
    cases.equal(ask("slow@there.test"), "250 2.1.5 Ok")
    cases.equal(probes("slow@there.test"), 1)
    SLOW.clear()
    mail.set_option("address_verify_poll_delay", "10s")


def test_waiting_ends_with_the_result():
    replies = []
    t = threading.Thread(target=lambda: replies.append(
        ask("slow.too@there.test")))
    t.start()
    cases.wait_for("the probe", lambda: probes("slow.too@there.test"))
    SLOW.set()
    t.join()
    SLOW.clear()
    cases.equal(replies, ["250 2.1.5 Ok"])


def test_sender():
    rcpt = "good@there.test"
    cases.equal(ask(rcpt, "good.s@there.test"), "250 2.1.5 Ok")
    reply = ask(rcpt, "no.s@there.test")
    cases.equal(reply, "450 4.1.7 <no.s@there.test>: Sender address "
                "rejected: unverified address: host 127.0.0.1[127.0.0.1] "
                "said: 550 5.1.1 no such user (in reply to RCPT TO command)")
    # The null sender is never asked about; ours exists.
    cases.equal(ask(rcpt, ""), "250 2.1.5 Ok")
    own = "double-bounce@" + mail.DOMAIN
    cases.equal(ask(rcpt, own), "250 2.1.5 Ok")
    gone(mail.wait_for_log(r"qmgr\[\d+\]: (\w+): to=<%s>, .*, "
                           r"status=deliverable" % own).group(1))


def test_mail_to_the_sender_of_probes_is_thrown_away():
    own = "double-bounce@" + mail.DOMAIN
    qid = mail.send(mail.text("back"), own, "good.s@there.test")
    mail.wait_for_log(r"%s: to=<%s>, .*, status=sent \(undeliverable "
                      r"postmaster notification discarded\)" % (qid, own))
    mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)


def test_restart_keeps_what_is_known():
    end("verify", signal.SIGTERM)
    cases.equal(ask("good@there.test"), "250 2.1.5 Ok")
    cases.contains(ask("no@there.test"), "undeliverable address")
    cases.equal(probes("good@there.test"), 1)
    cases.equal(probes("no@there.test"), 1)
    # It is a table like others.
    table = os.path.join(mail.env("INSTANCE_DIR"), "data", "verify_cache")
    text = cases.run(["postmap", "-q", "no@there.test",
                      "hash:" + table]).stdout
    cases.matches(text, r"^2:0:\d+:host 127\.0\.0\.1\[127\.0\.0\.1\] said: "
                  r"550 5\.1\.1 no such user")


def test_killed_verify_asks_again():
    assert probes("later.too@there.test") == 0
    end("verify", signal.SIGKILL)
    cases.contains(ask("later.too@there.test"), "unverified address: host")
    cases.equal(ask("good@there.test"), "250 2.1.5 Ok")
    cases.equal(probes("good@there.test"), 1)


def test_killed_agent():
    rcpt, replies = "slow.three@there.test", []
    t = threading.Thread(target=lambda: replies.append(ask(rcpt)))
    t.start()
    cases.wait_for("the probe", lambda: probes(rcpt))
    end("smtp", signal.SIGKILL)
    cases.wait_for("the probe, again", lambda: probes(rcpt) > 1)
    SLOW.set()
    t.join()
    SLOW.clear()
    cases.equal(replies, ["250 2.1.5 Ok"])
    gone(result(rcpt).group(1))


def test_killed_queue_manager():
    rcpt, replies = "slow.four@there.test", []
    t = threading.Thread(target=lambda: replies.append(ask(rcpt)))
    t.start()
    cases.wait_for("the probe", lambda: probes(rcpt))
    end("qmgr", signal.SIGKILL)
    SLOW.set()
    t.join()
    SLOW.clear()
    # The agent tells the next one.
    cases.equal(replies, ["250 2.1.5 Ok"])
    gone(result(rcpt).group(1))
    cases.equal(probes(rcpt), 1)


def test_killed_queue_manager_and_agent():
    rcpt = "slow.five@there.test"
    t = threading.Thread(target=ask, args=(rcpt,))
    t.start()
    cases.wait_for("the probe", lambda: probes(rcpt))
    end("qmgr", signal.SIGKILL)
    end("smtp", signal.SIGKILL)
    SLOW.set()
    t.join()
    cases.equal(ask(rcpt), "250 2.1.5 Ok")
    SLOW.clear()
    gone(result(rcpt).group(1))


def test_damaged_cache_is_only_lost():
    path = os.path.join(mail.env("INSTANCE_DIR"), "data",
                        "verify_cache.gdbm")
    end("verify", signal.SIGTERM)
    cases.wait_for("the table", lambda: os.path.exists(path))
    with open(path, "r+b") as f:
        f.truncate(1000)
    before = probes("good@there.test")
    cases.equal(ask("good@there.test"), "250 2.1.5 Ok")
    cases.equal(probes("good@there.test"), before + 1)
    mail.wait_for_log(r"warning: address_verify_map: ")


class Flood:
    """Asks and asks until verify hangs up."""

    def __init__(self):
        self.channel = ipc.Channel.connect(
            os.path.join(mail.env("QUEUE_DIR"), "private", "verify"))
        self.threads = [threading.Thread(target=self.run, args=(f,))
                        for f in (self.ask, self.channel.receive)]
        for t in self.threads:
            t.start()

    def ask(self):
        self.channel.last += 1
        self.channel.send("MSG_VERIFY", [("F_ADDRESS", "good@there.test")],
                          self.channel.last)
        return True

    def run(self, act):
        try:
            while act():
                pass
        except OSError:
            pass

    def join(self):
        for t in self.threads:
            t.join()
        self.channel.close()


def test_end_amid_questions():
    start = len(mail.log())
    cases.equal(ask("good@there.test"), "250 2.1.5 Ok")
    for _ in range(3):
        floods = [Flood() for _ in range(10)]
        end("verify", signal.SIGTERM)
        for f in floods:
            f.join()
        cases.equal(ask("good@there.test"), "250 2.1.5 Ok")
    assert not re.search(r"process \S*verify pid \d+ killed",
                         mail.log()[start:])


def test_client_that_does_not_wait():
    rcpt = "slow.six@there.test"
    with mail.smtp() as s:
        s.ehlo()
        s.docmd("MAIL FROM:<>")
        s.send(b"RCPT TO:<%s>\r\n" % rcpt.encode())
        cases.wait_for("the probe", lambda: probes(rcpt))
        s.close()
    SLOW.set()
    gone(result(rcpt).group(1))
    SLOW.clear()
    cases.equal(ask(rcpt), "250 2.1.5 Ok")
    cases.equal(probes(rcpt), 1)


def test_refreshing():
    """What is known is asked about again after a while, while it counts; and
    one failure does not undo it."""
    rcpt = "turns@there.test"

    def asked_again():
        cases.equal(ask(rcpt), "250 2.1.5 Ok")
        return probes(rcpt) > before

    cases.equal(ask(rcpt), "250 2.1.5 Ok")
    mail.set_option("address_verify_positive_refresh_time", "0s")
    before = probes(rcpt)
    cases.wait_for("another probe", asked_again)
    GONE.add(rcpt)
    before = probes(rcpt)
    cases.wait_for("another probe", asked_again)
    gone(result(rcpt, "undeliverable").group(1))
    cases.equal(ask(rcpt), "250 2.1.5 Ok")
    # Until it has expired.
    mail.set_option("address_verify_positive_expire_time", "0s")
    cases.wait_for("the end of it", lambda: ask(rcpt) == (
        "550 5.1.1 <%s>: Recipient address rejected: undeliverable address: "
        "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no more (in reply to RCPT "
        "TO command)" % rcpt))
    mail.set_option("address_verify_positive_expire_time", "1d")
    mail.set_option("address_verify_positive_refresh_time", "1d")


def test_without_negative_cache():
    mail.set_option("address_verify_negative_cache", "no")
    for n in (1, 2):
        cases.contains(ask("no.again@there.test"), "550 5.1.1 ")
        cases.equal(probes("no.again@there.test"), n)
    mail.set_option("address_verify_negative_cache", "yes")


def test_other_ways_for_probes():
    rcpt = "x@elsewhere.test"
    mail.set_option("address_verify_default_transport",
                    "smtp:[127.0.0.1]:%d" % sink.port)
    mail.set_option("address_verify_sender", "asks@there.test")
    mail.set_option("address_verify_sender_ttl", "1d")
    cases.equal(ask(rcpt), "250 2.1.5 Ok")
    cases.equal(probes(rcpt), 1)
    last = [c for c in sink.commands if c.startswith("MAIL")][-1]
    cases.matches(last, r"^MAIL FROM:<asks\w+@there\.test>")
    mail.set_option("address_verify_sender", "<>")
    cases.equal(ask("y@elsewhere.test"), "250 2.1.5 Ok")
    last = [c for c in sink.commands if c.startswith("MAIL")][-1]
    cases.matches(last, r"^MAIL FROM:<>")
    mail.set_option("soft_bounce", "yes")
    cases.contains(ask("no.soft@there.test"), "undeliverable address")
    mail.set_option("soft_bounce", "no")


def test_limit_of_probes():
    mail.set_option("address_verify_pending_request_limit", "1")
    t = threading.Thread(target=ask, args=("slow.seven@there.test",))
    t.start()
    cases.wait_for("the probe", lambda: probes("slow.seven@there.test"))
    cases.contains(ask("other@there.test"), "verification in progress")
    cases.equal(probes("other@there.test"), 0)
    SLOW.set()
    t.join()
    SLOW.clear()
    cases.equal(ask("other@there.test"), "250 2.1.5 Ok")
    mail.set_option("address_verify_pending_request_limit", "5000")


def test_replies_are_those_of_postfix():
    mail.set_option("address_verify_poll_delay", "1s")
    lines = verify_cases.wrong(mail.HOST, int(mail.env("SMTP_PORT")),
                               dead.port)
    SLOW.set()
    assert not lines, "\n".join(lines)


def test_nothing_was_ever_delivered():
    mail.wait_until_empty()
    cases.equal(sink.messages, [])
    assert "DATA" not in sink.commands
    assert not re.search(r"status=(bounced|deferred)", mail.log())
    cases.equal(mail.mailbox_texts(1) + mail.mailbox_texts(2), [])


if __name__ == "__main__":
    cases.main(globals())
