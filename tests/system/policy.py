#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy delegation protocol: what a service is told at each stage, what
its answers do, connections that are kept, services that fail, and Debian's
postgrey."""
# timeout: 180

import glob
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import ports  # noqa: E402
import smtpd_alone  # noqa: E402

DOMAIN = smtpd_alone.DOMAIN
ALICE = "alice@" + DOMAIN
STRANGER = "127.0.0.2"


class Service:
    """Answers each request with what answer(request) gives; None: closes."""

    def __init__(self, answer, path=None):
        self.answer, self.requests, self.connections = answer, [], 0
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            os.chmod(path, 0o666)
            self.listener.listen(100)
            self.name = "unix:" + path
        else:
            self.listener = socket.create_server(("127.0.0.1", 0),
                                                 backlog=100)
            self.name = "inet:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve,
                             args=(sock, self.connections),
                             daemon=True).start()

    def _serve(self, sock, number):
        with sock, sock.makefile("rwb") as f:
            while True:
                request = {}
                for line in f:
                    name, mark, value = line.decode().rstrip("\n").partition(
                        "=")
                    if not mark:
                        break
                    request[name] = value
                if not request:
                    return
                request["connection"] = number
                self.requests.append(request)
                reply = self.answer(request)
                if reply is None:
                    return
                f.write(b"action=%s\n\n" % reply.encode())
                f.flush()

    def close(self):
        # Whoever waits in accept would go on with the descriptor's next use.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


class Client:
    def __init__(self, port, source=STRANGER, helo="client.test"):
        self.sock = socket.create_connection(("127.0.0.1", port),
                                             cases.WAIT_S, (source, 0))
        self.port = self.sock.getsockname()[1]
        self.file = self.sock.makefile("rb")
        self.reply()
        self.say("EHLO " + helo)

    def reply(self):
        while True:
            line = self.file.readline().decode().rstrip("\r\n")
            if line[3:4] != "-":
                return line

    def say(self, text):
        self.sock.sendall(text.encode() + b"\r\n")
        return self.reply()

    def rcpt(self, sender="s@sender.test", rcpt=ALICE):
        self.say("RSET")
        self.say("MAIL FROM:<%s>" % sender)
        return self.say("RCPT TO:<%s>" % rcpt)

    def close(self):
        self.file.close()
        self.sock.close()


place = smtpd_alone.Place()


def smtpd(*settings):
    return place.smtpd(*settings)


def check(service, where="recipient"):
    return "smtpd_%s_restrictions=check_policy_service %s" % (where,
                                                              service)


def test_what_is_told():
    s = Service(lambda r: "dunno")
    d = smtpd(check(s.name), check(s.name, "end_of_data"),
              check(s.name, "data"))
    c = Client(d.port)
    c.say("MAIL FROM:<s@sender.test> SIZE=1000")
    cases.equal(c.say("RCPT TO:<%s>" % ALICE)[:3], "250")
    cases.equal(c.say("RCPT TO:<boris@%s>" % DOMAIN)[:3], "250")
    cases.equal(c.say("DATA")[:3], "354")
    cases.equal(c.say("Subject: x\r\n\r\nbody\r\n.")[:3], "250")
    c.close()
    cases.equal([r["protocol_state"] for r in s.requests],
                ["RCPT", "RCPT", "DATA", "END-OF-MESSAGE"])
    first, _, data, end = s.requests
    instance = first.pop("instance")
    assert re.match(r"^[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+\.", instance), instance
    cases.equal(first, {
        "request": "smtpd_access_policy", "protocol_state": "RCPT",
        "protocol_name": "ESMTP", "client_address": STRANGER,
        "client_name": "unknown", "client_port": str(c.port),
        "reverse_client_name": "unknown", "server_address": "127.0.0.1",
        "server_port": str(d.port), "helo_name": "client.test",
        "sender": "s@sender.test", "recipient": ALICE,
        "recipient_count": "0", "queue_id": "", "size": "1000",
        "etrn_domain": "", "stress": "", "sasl_method": "",
        "sasl_username": "", "sasl_sender": "", "ccert_subject": "",
        "ccert_issuer": "", "ccert_fingerprint": "",
        "ccert_pubkey_fingerprint": "", "encryption_protocol": "",
        "encryption_cipher": "", "encryption_keysize": "0", "tls_sni": "",
        "policy_context": "", "compatibility_level": "3.6",
        "mail_version": first["mail_version"], "connection": 1})
    for r in (data, end):
        cases.equal((r["recipient_count"], r["recipient"], r["instance"]),
                    ("2", "", instance))
        assert re.match(r"^[0-9A-F]{11,15}$", r["queue_id"]), r
    assert int(end["size"]) > 10, end
    # One message, one connection.
    cases.equal({r["connection"] for r in s.requests}, {1})
    s.close()


def test_answers():
    answer = []
    s = Service(lambda r: answer[0])
    d = smtpd(check(s.name))
    c = Client(d.port)
    for action, reply in (
            ("OK", "250 2.1.5 Ok"), ("dunno", "250 2.1.5 Ok"),
            ("REJECT no thanks", "554 5.7.1 <%s>: Recipient address "
             "rejected: no thanks" % ALICE),
            ("defer_if_permit Service temporarily unavailable",
             "450 4.7.1 <%s>: Recipient address rejected: Service "
             "temporarily unavailable" % ALICE),
            ("550 5.1.1 gone", "550 5.1.1 <%s>: Recipient address "
             "rejected: gone" % ALICE),
            ("reject_non_fqdn_sender", "504 5.5.2 <s@nodot>: Sender address "
             "rejected: need fully-qualified address"),
            ("check_client_access texthash:/x", "451 4.3.5 Server "
             "configuration error"),
            ("nonsense", "451 4.3.5 Server configuration error")):
        answer[:] = [action]
        cases.equal(c.rcpt("s@nodot"), reply, action)
    c.close()
    cases.equal(s.connections, 1)
    place_logged(r"NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.2\]: "
                 r"554 5\.7\.1 <%s>: Recipient address rejected: no thanks; "
                 r"from=<s@nodot> to=<%s> proto=ESMTP helo=<client\.test>$"
                 % (re.escape(ALICE), re.escape(ALICE)))
    s.close()


def place_logged(pattern):
    return cases.wait_for("in the log: " + pattern, lambda: re.search(
        pattern, place.log_text(), re.M))


def test_many_at_once():
    """Each waits for its own answer only."""
    gate = threading.Event()
    s = Service(lambda r: "dunno" if r["sender"] == "quick@sender.test"
                else (gate.wait(cases.WAIT_S), "dunno")[1])
    d = smtpd(check(s.name))
    slow = [Client(d.port) for _ in range(20)]
    for c in slow:
        c.sock.sendall(b"MAIL FROM:<slow@sender.test>\r\n"
                       b"RCPT TO:<%s>\r\n" % ALICE.encode())
    cases.wait_for("20 requests", lambda: len(s.requests) == 20)
    quick = Client(d.port)
    cases.equal(quick.rcpt("quick@sender.test"), "250 2.1.5 Ok")
    gate.set()
    for c in slow:
        c.reply()
        cases.equal(c.reply(), "250 2.1.5 Ok")
        c.close()
    quick.close()
    cases.equal(s.connections, 21)
    s.close()


def test_services_that_fail():
    first = []

    def once(request):
        first.append(request)
        return None if len(first) == 1 else "dunno"

    s = Service(once)
    d = smtpd(check(s.name), "smtpd_policy_service_retry_delay=0")
    c = Client(d.port)
    cases.equal(c.rcpt(), "250 2.1.5 Ok")
    c.close()
    s.close()
    away = "inet:127.0.0.1:1"
    problem = ("451 4.3.5 <%s>: Recipient address rejected: Server "
               "configuration problem" % ALICE)
    for service, reply in (
            (away, problem),
            ("{ %s, default_action=dunno }" % away, "250 2.1.5 Ok"),
            ("{ %s, { default_action = 450 4.7.1 later } }" % away,
             "450 4.7.1 <%s>: Recipient address rejected: later" % ALICE)):
        c = Client(smtpd(check(service)).port)
        cases.equal(c.rcpt(), reply)
        c.close()
    place_logged(r"warning: problem talking to server inet:127\.0\.0\.1:1: "
                 r"Connection refused$")
    never = Service(lambda r: (time.sleep(30), "dunno")[1])
    c = Client(smtpd(check("{ %s, timeout=1s }" % never.name)).port)
    cases.equal(c.rcpt(), problem)
    c.close()
    never.close()
    # A client that goes while its service thinks leaves nothing behind.
    never = Service(lambda r: (time.sleep(30), "dunno")[1])
    d = smtpd(check(never.name))
    c = Client(d.port)
    c.sock.sendall(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<%s>\r\n"
                   % ALICE.encode())
    cases.wait_for("the request", lambda: never.requests)
    c.close()
    other = Client(d.port)
    cases.equal(other.say("NOOP"), "250 2.0.0 Ok")
    other.close()
    never.close()


def test_unix_sockets_and_context():
    relative = os.path.join(place.house.queue, "private", "policy")
    s = Service(lambda r: "dunno", relative)
    d = smtpd(check("{ unix:private/policy, policy_context=inbound }"),
              "smtpd_policy_service_policy_context=other",
              check("unix:" + relative, "data"))
    c = Client(d.port)
    cases.equal(c.rcpt(), "250 2.1.5 Ok")
    cases.equal(c.say("DATA")[:3], "354")
    c.close()
    cases.equal([r["policy_context"] for r in s.requests],
                ["inbound", "other"])
    s.close()


def test_hold_and_header():
    s = Service(lambda r: "prepend X-Policy: seen"
                if r["protocol_state"] == "RCPT" else "hold for a while")
    d = smtpd(check(s.name), check(s.name, "data"))
    c = Client(d.port)
    cases.equal(c.rcpt(), "250 2.1.5 Ok")
    cases.equal(c.say("DATA")[:3], "354")
    reply = c.say("Subject: x\r\n\r\nbody\r\n.")
    cases.equal(reply[:3], "250")
    qid = reply.split()[-1]
    path = cases.wait_for("the message in hold/", lambda: [
        os.path.join(folder, qid) for folder, _, files in
        os.walk(os.path.join(place.house.queue, "hold")) if qid in files])
    with open(path[0], "rb") as f:
        content = f.read()
    assert b"X-Policy: seen\r\n" in content or \
        b"X-Policy: seen\n" in content, content
    place_logged(r"%s: hold: DATA from unknown\[127\.0\.0\.2\]: <DATA>: Data "
                 r"command for a while; from=" % qid)
    s.close()


def test_postgrey():
    partner = subprocess.run(
        [os.path.join(cases.ROOT, "tests/partners"), "postgrey"],
        check=True, capture_output=True, text=True).stdout.strip()
    port = ports.Ports().take()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        whitelist = os.path.join(folder, "white")
        with open(whitelist, "w") as f:
            f.write("")
        # Its -T has it pass over PERL5LIB.
        root = os.path.join(os.path.dirname(partner), "root")
        libraries = ["-I" + p for p in sorted(
            glob.glob(root + "/usr/lib/*/perl5/*") +
            [root + "/usr/share/perl5"])]
        argv = ["perl", "-T", "-w", *libraries,
                root + "/usr/sbin/postgrey", "--inet=127.0.0.1:%d"
                % port, "--delay=1", "--dbdir=" + folder,
                "--whitelist-clients=" + whitelist,
                "--whitelist-recipients=" + whitelist,
                "--user=%s" % subprocess.run(
                    ["id", "-un"], capture_output=True, text=True,
                    check=True).stdout.strip(),
                "--group=%s" % subprocess.run(
                    ["id", "-gn"], capture_output=True, text=True,
                    check=True).stdout.strip(), "--auto-whitelist-clients=0"]
        with open(os.path.join(folder, "out"), "wb") as out:
            postgrey = subprocess.Popen(argv, stdout=out, stderr=out)
        try:
            def listening():
                if postgrey.poll() is not None:
                    with open(os.path.join(folder, "out")) as f:
                        raise AssertionError("postgrey ended: " + f.read())
                with socket.socket() as s:
                    return s.connect_ex(("127.0.0.1", port)) == 0
            cases.wait_for("postgrey", listening)
            d = smtpd(check("inet:127.0.0.1:%d" % port))
            c = Client(d.port)
            reply = c.rcpt()
            assert re.match(r"450 4\.2\.0 <%s>: Recipient address rejected: "
                            r"Greylisted" % re.escape(ALICE), reply), reply
            cases.wait_for("its consent", lambda: c.rcpt()[:3] == "250")
            cases.equal(c.rcpt("other@sender.test")[:3], "450")
            c.close()
        finally:
            postgrey.terminate()
            postgrey.wait(cases.WAIT_S)


if __name__ == "__main__":
    try:
        cases.main(globals())
    finally:
        place.close()
