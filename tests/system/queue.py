#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue: a dead next hop, retries, the tools, restarts and kills of
qmgr."""
# instance: -o minimal_backoff_time=2s -o initial_destination_concurrency=20
# timeout: 180

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402
import ports  # noqa: E402
import queue_file  # noqa: E402

QUEUE = os.environ["QUEUE_DIR"]
# Of the relay host: nobody listens there but in some cases.
TAKEN = ports.Ports()
PORT = TAKEN.take()
mail.set_option("relayhost", "[127.0.0.1]:%d" % PORT)


@contextlib.contextmanager
def hop(**more):
    """The relay host comes up, and goes without an open connection."""
    with mail.Sink(port=PORT, **more) as sink:
        yield sink
        cases.wait_for("idle connections to end", lambda: sink.connections ==
                       sink.commands.count("QUIT"))


def entries():
    out = cases.run(["postqueue", "-j"]).stdout
    return [json.loads(line) for line in out.splitlines()]


def entry(qid):
    found = [e for e in entries() if e["queue_id"] == qid]
    return found[0] if found else None


def files(part):
    return [os.path.basename(f)
            for f in glob.glob(os.path.join(QUEUE, part, "?", "*"))]


def pid_of(program):
    """Of the instance's process with that program."""
    conf = os.environ["CHAPPE_CONFIG"]
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                argv = f.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if argv[0].endswith("libexec/" + program) and conf in argv:
            return int(path.split("/")[2])
    return None


def kill_qmgr():
    pid = cases.wait_for("a qmgr", lambda: pid_of("qmgr"))
    os.kill(pid, signal.SIGKILL)
    return cases.wait_for("another qmgr", lambda: pid_of("qmgr") not in
                          (None, pid))


def postsuper(*args, **more):
    return cases.run(["postsuper"] + list(args), **more)


def deferred(subject="queued", to="far@away.test"):
    """A mail that waits for the dead next hop."""
    qid = mail.send(mail.text(subject, to=to), to)
    mail.wait_for_log(r"qmgr\[\d+\]: %s: from=<sender@elsewhere.test>, "
                      r"size=\d+, nrcpt=1 \(queue active\)" % qid)
    mail.wait_for_log(r"%s: to=<%s>, relay=\S+, delay=[\d.]+, "
                      r"delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=4\.4\.1, "
                      r"status=deferred \(.*refused\)" % (qid, to))
    cases.wait_for("a deferred file", lambda: qid in files("deferred"))
    return qid


def test_a_dead_next_hop_shows_in_mailq():
    qid = deferred()
    text = mail.queue()
    cases.contains(text, "----Queue ID----- --Size-- ---Arrival Time---- "
                   "--Sender/Recipient------\n")
    cases.matches(text, r"^%s[ *]? +\d+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d "
                  r"sender@elsewhere\.test$" % qid)
    cases.matches(text, r"^ +\(.*Connection refused\)\n {47}far@away\.test$")
    cases.matches(text, r"\n-- \d+ Kbytes in 1 Request\.\n\Z")
    e = entry(qid)
    cases.equal(e["sender"], "sender@elsewhere.test")
    cases.equal(e["recipients"][0]["address"], "far@away.test")
    cases.contains(e["recipients"][0]["delay_reason"], "Connection refused")


def test_the_reason_is_there_after_a_kill():
    qid = entries()[0]["queue_id"]
    kill_qmgr()
    e = cases.wait_for("the listing", lambda: entry(qid))
    cases.contains(e["recipients"][0]["delay_reason"], "Connection refused")


def test_postcat_shows_it():
    qid = entries()[0]["queue_id"]
    out = cases.run(["postcat", "-q", qid]).stdout
    cases.matches(out, r"^\*\*\* ENVELOPE RECORDS deferred/\w/%s \*\*\*$"
                  % qid)
    cases.matches(out, r"^message_size: +\d+ +\d+ +1 +0 +\d+ +0$")
    cases.matches(out, r"^sender: sender@elsewhere\.test$")
    cases.matches(out, r"^recipient: far@away\.test$")
    cases.matches(out, r"^\*\*\* MESSAGE CONTENTS ")
    cases.matches(out, r"^Subject: queued$")
    cases.matches(out, r"^\*\*\* MESSAGE FILE END ")
    cases.equal(cases.run(["postcat", "-bq", qid]).stdout, "Hello.\n")
    cases.run(["postcat", "-q", "123456789ABCDEF"], status=1)


def test_it_is_delivered_when_the_hop_is_back():
    with hop() as sink:
        cases.run(["postqueue", "-f"])
        mail.wait_until_empty()
        cases.equal(len(sink.messages), 1, "messages at the next hop")
    mail.wait_for_log(r"qmgr\[\d+\]: \w+: removed$")
    cases.equal(files("deferred") + files("active"), [])


def test_it_is_retried_by_itself():
    deferred("alone")
    with hop() as sink:
        mail.wait_until_empty()
        cases.equal(len(sink.messages), 1, "messages at the next hop")


def test_hold_release_delete():
    first, second = deferred("one"), deferred("two")
    done = postsuper("-h", first)
    cases.equal(done.stderr, "postsuper: %s: placed on hold\n"
                "postsuper: Placed on hold: 1 message\n" % first)
    cases.equal(files("hold"), [first])
    cases.contains(mail.queue(), first + "!")
    cases.equal(entry(first)["queue_name"], "hold")
    done = postsuper("-H", first)
    cases.equal(done.stderr, "postsuper: %s: released from hold\n"
                "postsuper: Released from hold: 1 message\n" % first)
    cases.equal(files("hold"), [])
    done = postsuper("-d", "-", input="%s\n%s\n" % (first, "0123456789ABCDE"))
    cases.equal(done.stderr, "postsuper: warning: bad mail queue id: "
                "0123456789ABCDE\npostsuper: %s: removed\n"
                "postsuper: Deleted: 1 message\n" % first)
    cases.equal([e["queue_id"] for e in entries()], [second])
    mail.wait_for_log(r"%s: removed$" % first)
    postsuper("-r", second)
    done = postsuper("-d", "ALL")
    cases.contains(done.stderr, "postsuper: Deleted: 1 message\n")
    cases.equal(mail.queue(), "Mail queue is empty\n")
    cases.equal(postsuper("-d", "ALL").stderr, "")


def test_requeued_mail_takes_the_routes_of_now():
    first, second = deferred("here", "a@away.test"), deferred("held")
    postsuper("-h", second)
    with mail.Sink() as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        done = postsuper("-r", first, "-r", second)
        cases.contains(done.stderr, "postsuper: %s: requeued\n" % first)
        cases.contains(done.stderr, "postsuper: Requeued: 2 messages\n")
        mail.wait_until_empty()
        cases.equal(sorted(r for m in sink.messages for r in m["rcpts"]),
                    ["a@away.test", "far@away.test"])
        cases.contains(sink.messages[0]["sender"], "sender@elsewhere.test")
    mail.set_option("relayhost", "[127.0.0.1]:%d" % PORT)
    cases.equal(files("hold"), [])


def test_a_stranger_may_look_but_not_touch():
    if os.geteuid() != 0:
        raise cases.Skip("needs root, to be another user")
    qid = deferred("mine")
    cases.contains(cases.run(["postqueue", "-p"], user=4321,
                             group=4321, extra_groups=[]).stdout, qid)
    done = postsuper("-d", qid, status=1, user=4321, group=4321,
                     extra_groups=[])
    cases.contains(done.stderr, "reserved for the superuser")
    cases.equal(entry(qid)["queue_id"], qid)
    postsuper("-d", qid)


def test_mailq_and_sendmail_show_the_same():
    qid = deferred("twice")
    cases.contains(cases.run(["mailq"]).stdout, qid)
    cases.contains(cases.run(["sendmail", "-bp"]).stdout, qid)
    postsuper("-d", qid)


def test_a_damaged_file_is_set_aside():
    qid = deferred("damaged")
    name = glob.glob(os.path.join(QUEUE, "deferred", "?", qid))[0]
    with open(name, "r+b") as f:
        f.seek(90)
        byte = f.read(1)
        f.seek(90)
        f.write(bytes([byte[0] ^ 1]))
    cases.run(["postqueue", "-f"])
    mail.wait_for_log(r"qmgr\[\d+\]: warning: %s: damaged: moved to corrupt/$"
                      % qid)
    assert os.path.exists(os.path.join(QUEUE, "corrupt", qid))
    cases.run(["postcat", "-q", qid], status=1)
    cases.equal(mail.queue(), "Mail queue is empty\n")


def test_tools_while_the_suite_is_down():
    """On a copy of the queue, which nobody serves."""
    qid = deferred("down")
    with tempfile.TemporaryDirectory() as d:
        conf, copy = d + "/etc", d + "/queue"
        shutil.copytree(os.environ["CHAPPE_CONFIG"], conf)
        shutil.copytree(QUEUE, copy, ignore=lambda *_: [
            "public", "private", "trace", "maildrop"])
        with open(conf + "/conf.d/99-copy.cf", "w") as f:
            f.write("queue_directory = %s\n" % copy)
        out = cases.run(["postqueue", "-c", conf, "-j"]).stdout
        cases.contains(out, qid)
        cases.contains(out, "Connection refused")
        cases.run(["postqueue", "-c", conf, "-f"], status=69)
        done = postsuper("-c", conf, "-h", qid)
        cases.equal(done.stderr, "postsuper: %s: placed on hold\n"
                    "postsuper: Placed on hold: 1 message\n" % qid)
        assert glob.glob("%s/hold/?/%s" % (copy, qid))
        postsuper("-c", conf, "-d", "ALL", "hold")
        cases.equal(cases.run(["postqueue", "-c", conf, "-p"]).stdout,
                    "Mail queue is empty\n")
    postsuper("-d", qid)


def test_wrong_uses():
    done = cases.run(["postqueue"], status=64)
    cases.contains(done.stderr, "postqueue: fatal: usage: postqueue -f")
    done = cases.run(["postqueue", "-i", "no/id"], status=69)
    cases.equal(done.stderr, "postqueue: fatal: Cannot flush queue ID - "
                "invalid name: \"no/id\"\n")
    done = postsuper("-d", status=1)
    cases.contains(done.stderr, "postsuper: fatal: usage: ")


def test_many_recipients_some_of_them_fail():
    def reply(verb, line):
        if verb == "RCPT" and "bad" in line:
            return "550 5.1.1 no such user"
        if verb == "RCPT" and "later" in line:
            return "450 4.2.0 not now"
        return None

    to = (["good%d@away.test" % i for i in range(70)] +
          ["bad@away.test", "later@away.test"])
    with hop(reply=reply) as sink:
        qid = mail.send(mail.text("many", to=to[0]), to,
                        sender=mail.address(1))
        mail.wait_for_log(r"%s: to=<bad@away\.test>, .*status=bounced" % qid)
        mail.wait_for_log(r"%s: sender non-delivery notification: " % qid)
        e = cases.wait_for("one recipient left", lambda: [
            e for e in entries() if e["queue_id"] == qid and
            len(e["recipients"]) == 1])[0]
        cases.equal(e["recipients"][0]["address"], "later@away.test")
        cases.contains(e["recipients"][0]["delay_reason"], "not now")
        kill_qmgr()
        sink.reply = None
        cases.run(["postqueue", "-i", qid])
        mail.wait_until_empty()
    good = sorted(r for m in sink.messages for r in m["rcpts"]
                  if "good" in r)
    cases.equal(good, sorted(to[:70]), "delivered once each")
    cases.contains(mail.wait_for_mail("Undelivered Mail Returned to Sender")
                   .decode(), "550 5.1.1 no such user")


def test_a_file_by_the_book_is_found_at_the_start_and_its_success_told():
    qid = queue_file.File(
        mail.address(1), [(mail.address(2), "local", mail.DOMAIN, 2)],
        b"Subject: by the book\r\n\r\nHello.\r\n").put(QUEUE)
    cases.contains(cases.run(["postcat", "-eq", qid]).stdout,
                   "recipient: %s\n" % mail.address(2))
    kill_qmgr()
    mail.wait_for_mail("by the book", 2)
    report = mail.wait_for_mail("Successful Mail Delivery Report").decode()
    cases.contains(report, "Action: delivered")
    mail.wait_until_empty()


def test_an_expired_mail_goes_back():
    qid = mail.send(mail.text("old", to="far@away.test"), "far@away.test",
                    sender=mail.address(2))
    cases.wait_for("a deferred file", lambda: qid in files("deferred"))
    done = postsuper("-f", qid)
    cases.equal(done.stderr, "postsuper: %s: expired\n"
                "postsuper: Force-expired: 1 message\n" % qid)
    mail.wait_for_log(r"%s: from=<%s>, status=force-expired, returned to "
                      r"sender" % (qid, re.escape(mail.address(2))))
    mail.wait_for_mail("Undelivered Mail Returned to Sender", 2)
    mail.wait_until_empty()


def test_kills_of_qmgr_lose_and_repeat_nothing():
    total = 300
    with hop() as sink:
        for n in range(total):
            to = "u%d@away%d.test" % (n, n % 7)
            mail.send(mail.text("k%d" % n, to=to), to)
            if n % 40 == 20:
                kill_qmgr()
        mail.wait_until_empty()
        got = sorted(r for m in sink.messages for r in m["rcpts"])
    cases.equal(got, sorted("u%d@away%d.test" % (n, n % 7)
                            for n in range(total)))


cases.main(globals())
