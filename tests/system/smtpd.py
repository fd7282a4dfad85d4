#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""smtpd by itself: what it does when its neighbours fail, when the disk
fails, and when clients behave oddly."""
# timeout: 240

import base64
import contextlib
import os
import re
import smtplib
import socket
import ssl
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import ipc  # noqa: E402
import smtpd_alone  # noqa: E402

ALICE = "alice@" + smtpd_alone.DOMAIN


@contextlib.contextmanager
def place(*overrides, **conf):
    p = smtpd_alone.Place(**conf)
    try:
        p.daemon = p.smtpd(*overrides)
        yield p
        for d in p.daemons:
            cases.equal(d.process.poll(), None, "smtpd died")
    finally:
        p.close()


def session(p, source=None):
    return smtplib.SMTP("127.0.0.1", p.daemon.port, timeout=cases.WAIT_S,
                        local_hostname="client.test",
                        source_address=(source, 0) if source else None)


def rcpt(p, address=ALICE):
    with session(p) as s:
        s.ehlo()
        s.mail("a@b.test")
        return s.rcpt(address)


def send(p, text="Subject: x\r\n\r\n"):
    with session(p) as s:
        s.ehlo()
        s.mail("a@b.test")
        cases.equal(s.rcpt(ALICE)[0], 250)
        return s.data(text)


def test_auth_fails():
    with place() as p:
        p.users.failing = True
        code, text = rcpt(p)
        cases.equal(code, 451, text)
        p.users.failing = False
        cases.equal(rcpt(p)[0], 250)
        cases.equal(rcpt(p, "nobody@" + smtpd_alone.DOMAIN)[0], 550)


def test_auth_is_not_there():
    with place() as p:
        p.auth.close()
        os.unlink(os.path.join(p.house.queue, "private", "auth"))
        with session(p) as s:
            s.ehlo()
            s.mail("a@b.test")
            # The connection waits for it; others are served meanwhile.
            s.send("RCPT TO:<%s>\r\n" % ALICE)
            with session(p) as other:
                cases.equal(other.noop()[0], 250)
            p.auth = smtpd_alone.Neighbour(p.house, "auth", p.users.answer)
            cases.equal(s.getreply()[0], 250)


def test_resolver_is_not_there():
    with place(smtpd_peername_lookup="yes") as p:
        begun = time.monotonic()
        cases.equal(send(p)[0], 250)
        assert time.monotonic() - begun < 20
        cases.wait_for("the log", lambda:
                       "client=unknown[127.0.0.1]" in p.log_text())


def test_qmgr_is_not_there():
    # No mail depends on it: it looks at the queue when it comes.
    with place() as p:
        p.qmgr.close()
        cases.equal(send(p)[0], 250)
        cases.equal(len(p.queued()), 1)


def test_qmgr_is_told_after_the_file_is_sealed():
    with place() as p:
        code, text = send(p)
        cases.equal(code, 250)
        qid = text.decode().rsplit(" ", 1)[1]
        told = cases.wait_for("the news", lambda: [
            m for m in p.qmgr.requests if m.name == "MSG_QMGR_NEW"])
        cases.equal(told[0].text("F_QID"), qid)
        cases.equal([os.path.basename(f) for f in p.queued()], [qid])


def test_queue_can_not_be_written():
    with place() as p:
        folders = [os.path.join(p.house.queue, "incoming", d)
                   for d in "0123456789ABCDEF"]
        for f in folders:
            os.chmod(f, 0o500)
        code, text = send(p)
        cases.equal(code // 100, 4, text)
        for f in folders:
            os.chmod(f, 0o700)
        cases.equal(send(p)[0], 250)
        cases.equal(len(p.queued()), 1)


def test_no_space():
    with place(queue_minfree=str(1 << 60)) as p:
        with session(p) as s:
            s.ehlo()
            cases.equal(s.mail("a@b.test"),
                        (452, b"4.3.1 Insufficient system storage"))


def test_client_that_hangs_up_behind_its_last_command():
    # As `printf ... | nc -N` does: all of it is carried out.
    with place() as p:
        s = socket.create_connection(("127.0.0.1", p.daemon.port),
                                     cases.WAIT_S)
        f = s.makefile("rb")
        f.readline()
        s.sendall(b"EHLO x\r\n")
        while f.readline()[3:4] == b"-":
            pass
        s.sendall(b"MAIL FROM:<>\r\nRCPT TO:<%s>\r\nDATA\r\n" %
                  ALICE.encode())
        for code in (b"250", b"250", b"354"):
            cases.equal(f.readline()[:3], code)
        s.sendall(b"Subject: last words\r\n\r\n.\r\nQUIT\r\n")
        s.shutdown(socket.SHUT_WR)
        cases.equal(f.readline()[:10], b"250 2.0.0 ")
        cases.equal(f.readline(), b"221 2.0.0 Bye\r\n")
        cases.equal(f.readline(), b"")
        s.close()
        cases.equal(len(p.queued()), 1)


def test_client_that_talks_on_behind_quit():
    # What it says is not answered with a reset, which would cost it the reply.
    with place() as p:
        s = socket.create_connection(("127.0.0.1", p.daemon.port),
                                     cases.WAIT_S)
        f = s.makefile("rb")
        f.readline()
        s.sendall(b"QUIT\r\n" + b"NOOP\r\n" * 100000)
        cases.equal(f.readline(), b"554 5.5.0 Error: SMTP protocol "
                    b"synchronization\r\n")
        cases.equal(f.readline(), b"")
        s.close()


def test_client_that_does_not_read():
    # Its replies are not made beyond a bound; it comes to no harm.
    with place("smtpd_junk_command_limit=1000000") as p:
        s = socket.create_connection(("127.0.0.1", p.daemon.port),
                                     cases.WAIT_S)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"EHLO client.test\r\n")
        seen = b""
        while b"\r\n250 " not in seen or seen[-1:] != b"\n":
            seen += s.recv(1 << 20)
        s.setblocking(False)
        sent, wanted = 0, b"RSET\r\n" * 2000
        stuck = time.monotonic()
        while time.monotonic() - stuck < 1 and sent < 50 << 20:
            try:
                sent += s.send(wanted[sent % 6:])
                stuck = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        assert sent < 50 << 20, "it takes commands without end"
        with open("/proc/%d/status" % p.daemon.process.pid) as f:
            rss = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        assert rss < 60000, rss
        s.setblocking(True)
        s.settimeout(cases.WAIT_S)
        replies = b""
        wanted = min(sent // 6, 5000)
        while replies.count(b"\n") < wanted:
            replies += s.recv(1 << 20)
        lines = replies.split(b"\r\n")
        cases.equal(set(lines[:-1]), {b"250 2.0.0 Ok"})
        s.close()


def test_many_clients_at_once():
    with place() as p:
        socks = [socket.create_connection(("127.0.0.1", p.daemon.port),
                                          cases.WAIT_S) for _ in range(300)]
        for n, s in enumerate(socks):
            s.sendall(b"HELO x\r\n" if n % 2 else b"EHLO x")
        for s in socks[1::2]:
            f = s.makefile("rb")
            cases.equal(f.readline()[:4], b"220 ")
            cases.equal(f.readline()[:4], b"250 ")
        cases.equal(send(p)[0], 250)
        for s in socks:
            s.close()


def test_leaves_in_order():
    with place() as p:
        s = session(p)
        s.ehlo()
        s.mail("a@b.test")
        s.rcpt(ALICE)
        p.daemon.control.send("MSG_LEAVE")
        # The session under way goes on to its end.
        cases.equal(s.data("Subject: x\r\n\r\n")[0], 250)
        s.quit()
        cases.equal(p.daemon.wait(), 0)
        cases.equal(len(p.queued()), 1)
        p.daemons.clear()


def test_hurries():
    with place() as p:
        s = session(p)
        s.ehlo()
        p.daemon.control.send("MSG_LEAVE")
        p.daemon.control.send("MSG_HURRY")
        code, text = s.getreply()
        cases.equal(code, 421, text)
        cases.equal(p.daemon.wait(), 0)
        p.daemons.clear()


class Local(smtpd_alone.Smtpd):
    """smtpd on a UNIX socket that everybody may connect to."""

    def __init__(self, house, tls):
        self.path = house.path("submit")
        self.tls = tls
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
        os.chmod(house.dir, 0o755)
        self.listener.listen(100)
        self.program, self.service, self.house = \
            "smtpd", "submission", house
        self.start(kind="unix", before=self._master,
                   overrides=["smtpd_local_submission=yes"])


def test_local_submission():
    with place() as p:
        local = Local(p.house, p.tls)
        p.daemons.append(local)
        s = socket.socket(socket.AF_UNIX)
        s.connect(local.path)
        f = s.makefile("rb")
        cases.equal(f.readline()[:4], b"220 ")

        def say(line):
            s.sendall(line.encode() + b"\r\n")
            return f.readline().decode()
        cases.equal(say("HELO x")[:4], "250 ")
        cases.equal(say("MAIL FROM:<alice>")[:4], "250 ")
        cases.equal(say("RCPT TO:<someone@elsewhere.test>")[:4], "250 ")
        cases.equal(say("DATA")[:4], "354 ")
        cases.equal(say("Subject: local\r\n\r\ntext\r\n.")[:4], "250 ")
        s.close()
        with open(p.queued()[0], "rb") as q:
            text = q.read().decode("latin-1")
        text = text[text.index("Received: "):]
        cases.contains(text, "Received: by %s (Chappe, from userid %d)\r\n"
                       "\tid " % (smtpd_alone.DOMAIN, os.geteuid()))
        for field in ("Date: ", "Message-Id: <", "From: "):
            cases.contains(text, "\r\n" + field)
        cases.wait_for("the log", lambda: re.search(
            r"client=\S*\[local\], uid=%d$|uid=%d " % (os.geteuid(),
                                                        os.geteuid()),
            p.log_text(), re.M))


def test_rubbish_from_neighbours_does_not_end_it():
    def rubbish(m):
        return "MSG_OK", [("F_FOUND", "not a number")]
    with place() as p:
        p.users.answer = None
        p.auth.answer = rubbish
        code, text = rcpt(p)
        cases.equal(code // 100, 4, text)
        p.auth.answer = smtpd_alone.Users().answer
        cases.equal(rcpt(p)[0], 250)


def greeted(p):
    s = socket.create_connection(("127.0.0.1", p.daemon.port), cases.WAIT_S)
    cases.equal(s.recv(1000)[:4], b"220 ")
    return s


def test_silence():
    with place("smtpd_timeout=2s") as p:
        begun = time.monotonic()
        s = greeted(p)
        text = b""
        while not text.endswith(b"\n"):
            text += s.recv(1000)
        cases.equal(text.decode(), "421 4.4.2 %s Error: timeout exceeded\r\n" %
                    smtpd_alone.DOMAIN)
        assert time.monotonic() - begun > 1.5
        cases.equal(s.recv(1000), b"")
        s.close()
        cases.wait_for("the log", lambda: re.search(
            r"timeout after CONNECT from \S+\[127", p.log_text()))


def trickles(s):
    """Sends a byte now and then; true when the other end has had enough."""
    s.settimeout(0.2)
    begun = time.monotonic()
    while time.monotonic() - begun < cases.WAIT_S:
        try:
            s.sendall(b"x")
            return s.recv(1000)[:10] in (b"421 4.4.2 ", b"")
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return True
    return False


def test_trickling_does_not_keep_a_session():
    with place("smtpd_timeout=2s") as p:
        s = greeted(p)
        assert trickles(s), "in a command it may go on for ever"
        s.close()
        s = greeted(p)
        s.sendall(b"EHLO x\r\n")
        s.recv(1000)
        for line in (b"MAIL FROM:<>", b"RCPT TO:<%s>" % ALICE.encode(),
                     b"DATA"):
            s.sendall(line + b"\r\n")
            assert s.recv(1000)[:1] in (b"2", b"3")
        assert trickles(s), "in a message it may go on for ever"
        s.close()
        cases.equal(p.queued(), [])


def test_mechanisms_are_those_that_are_offered():
    with place("smtpd_sasl_auth_enable=yes", "smtpd_tls_auth_only=no",
               "smtpd_sasl_mechanisms=PLAIN") as p:
        with session(p) as s:
            s.ehlo()
            cases.equal(s.esmtp_features["auth"].strip(), "PLAIN")
            cases.equal(s.docmd("AUTH", "LOGIN")[0], 535)
            cases.equal(s.docmd("AUTH", "plain AGFsaWNlAHdyb25n")[0], 535)
            cases.wait_for("the log", lambda: re.search(
                r"warning: unknown\[127.0.0.1\]: SASL PLAIN authentication "
                r"failed: ", p.log_text()))
            s.login("alice", p.users.passwords["alice"])


def memory_of(pid):
    """All of the process's own memory that can be read."""
    with open("/proc/%d/maps" % pid) as f:
        areas = [line.split() for line in f]
    with open("/proc/%d/mem" % pid, "rb", 0) as f:
        for area in areas:
            if "w" not in area[1]:
                continue
            begin, end = (int(n, 16) for n in area[0].split("-"))
            if end - begin > 1 << 30:
                continue  # a sanitizer's
            f.seek(begin)
            try:
                yield f.read(end - begin)
            except OSError:
                pass  # a guard


def test_a_password_is_not_kept():
    if os.geteuid() != 0:
        raise cases.Skip("only root may read a daemon's memory")
    with place("smtpd_sasl_auth_enable=yes",
               "smtpd_sasl_mechanisms=PLAIN") as p:
        context = ssl.create_default_context(
            cafile=os.path.join(p.tls, "ca.pem"))
        password = p.users.passwords["alice"].encode()
        coded = base64.b64encode(b"\0alice\0" + password)
        with smtplib.SMTP("localhost", p.daemon.port,
                          timeout=cases.WAIT_S) as s:
            s.starttls(context=context)
            s.login("alice", password.decode())
            cases.equal(s.noop()[0], 250)
            all_of_it = list(memory_of(p.daemon.process.pid))
        assert any(b"client" in m or b"alice" in m for m in all_of_it)
        for secret in (password, coded[9:]):
            cases.equal(sum(secret in m for m in all_of_it), 0,
                        "places that hold it")


def test_without_a_certificate_nobody_waits():
    with place() as p:
        d = p.smtpd("smtpd_tls_wrappermode=yes", keyless=True)
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", d.port), 30) as s:
            said = s.makefile("rb").read()
        cases.equal(said, b"", "in clear, where TLS is spoken")
        assert time.monotonic() - begun < 20
        cases.wait_for("the log", lambda: "no TLS certificate: closing " in
                       p.log_text())


def test_many_small_pieces_cost_little():
    # Each of these lines is a piece of its own to the engine.
    with place("message_size_limit=20000000") as p:
        with session(p) as s:
            s.ehlo()
            s.mail("a@b.test")
            s.rcpt(ALICE)
            cases.equal(s.docmd("DATA")[0], 354)
            begun = cpu(p.daemon)
            s.send(b"..\r\n" * 1000000 + b".\r\n")
            cases.equal(s.getreply()[0], 250)
            used = cpu(p.daemon) - begun
            assert used < 3, "%.1f s for 4 MB" % used


def cpu(daemon):
    """Seconds of processor time that it has used."""
    with open("/proc/%d/stat" % daemon.process.pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


cases.main(globals())
