#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""No blocking call in smtpd's loop: whatever it depends on hangs in turn, and
the one process answers its other sessions at once; and a record of the loop
thread's system calls has none that waits but epoll_wait."""
# timeout: 180
# alone: it measures how long a client waits

import fcntl
import glob
import os
import signal
import smtplib
import socket
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import instance  # noqa: E402
import loop_trace  # noqa: E402
import smtp_session  # noqa: E402

SLOW = 5 if os.environ.get("MODE") == "asan" else 1
MEDIAN_S, LONGEST_S = 0.15 * SLOW, 1.0 * SLOW
STEP_MS = 600  # of a slow disk
AWAY = "someone@elsewhere.test"


class Mute:
    """A service that takes connections and requests, and says nothing."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.listener.getsockname()[1]
        self.taken = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                self.taken.append(self.listener.accept()[0])
            except OSError:
                return

    def asked(self):
        return len(self.taken) > 0

    def hang_up(self):
        """Whoever waits for it need wait no longer."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self.taken:
            s.close()


class Suite(instance.Instance):
    """With one smtpd process for each of its services."""

    def __init__(self, *options, environment=()):
        self.policy, self.milter, self.proxy = Mute(), Mute(), Mute()
        super().__init__(
            ["smtpd_sasl_auth_enable=yes", "smtpd_tls_auth_only=no",
             "smtpd_client_connection_count_limit=0",
             "fast_flush_domains=elsewhere.test",
             "smtpd_junk_command_limit=10000",
             "smtpd_milters=inet:127.0.0.1:%d" % self.milter.port,
             "smtpd_milter_maps=inline:{127.0.0.1=DISABLE,"
             "127.0.0.2=DISABLE,127.0.0.3=DISABLE}",
             "smtpd_restriction_classes=policed",
             "policed=check_policy_service inet:127.0.0.1:%d" %
             self.policy.port,
             "smtpd_recipient_restrictions="
             "check_client_access inline:{127.0.0.2=policed}"] +
            list(options),
            ["HANG_PORT inet n - n - 1 smtpd",
             "PROXY_PORT inet n - n - 1 smtpd -o smtpd_proxy_filter="
             "127.0.0.1:%d" % self.proxy.port])
        self.set = dict(environment)

    def __enter__(self):
        os.environ.update(self.set)
        self.start()
        os.environ.update(self.environment())
        return self

    def __exit__(self, kind, value, trace):
        for name in self.set:
            del os.environ[name]
        faults = self.stop()
        if kind is None:
            self.remove()
            cases.equal(faults, [], "faults of the suite")
        else:
            print("kept: %s" % self.dir)

    def pids(self, program):
        found = [p for p, name in self._ours().items() if name == program]
        assert found, program
        return found

    def server(self, port):
        """The pid of the one smtpd that has the session `port` is of."""
        inode = set()
        with open("/proc/net/tcp") as f:
            for line in f:
                words = line.split()
                if words[1].endswith(":%04X" % port) and words[3] == "0A":
                    inode.add("socket:[%s]" % words[9])
        for pid in self.pids("smtpd"):
            for fd in glob.glob("/proc/%d/fd/*" % pid):
                try:
                    if os.readlink(fd) in inode:
                        return pid
                except OSError:
                    pass
        raise AssertionError("no process listens on %d" % port)

    def alice(self):
        return "%s@%s" % (self.users[0].name, instance.DOMAIN)


class Stopped:
    """All processes of a program stand still meanwhile."""

    def __init__(self, suite, program):
        self.pids = suite.pids(program)

    def _all(self, signo):
        for pid in self.pids:
            try:
                os.kill(pid, signo)
            except ProcessLookupError:
                pass

    def __enter__(self):
        self._all(signal.SIGSTOP)

    def __exit__(self, *unused):
        self._all(signal.SIGCONT)


class Other:
    """Another session of the same process."""

    def __init__(self, service="hang"):
        self.line = smtp_session.Line(service)
        self.times = []
        self.line.reply()

    def _say(self, text, code):
        begun = time.monotonic()
        reply = self.line.say(text)
        self.times.append((time.monotonic() - begun, text))
        assert reply.startswith(code), (text, reply)

    def talk(self, rounds=12):
        """Commands whose answers need nothing that hangs."""
        self._say("EHLO other.test", "250")
        for _ in range(rounds):
            self._say("NOOP", "250")
            self._say("MAIL FROM:<a@b.test>", "250")
            self._say("RCPT TO:<%s>" % AWAY, "250")
            self._say("RSET", "250")

    def greet(self, rounds=12):
        for _ in range(rounds):
            self._say("EHLO other.test", "250")
            self._say("NOOP", "250")

    def send(self):
        self._say("MAIL FROM:<a@b.test>", "250")
        self._say("RCPT TO:<%s>" % AWAY, "250")
        self._say("DATA", "354")
        self._say("Subject: x\r\n\r\nx\r\n.", "250")

    def judge(self):
        median = statistics.median(t for t, _ in self.times)
        longest, what = max(self.times)
        said = "%d answers: median %.1f ms, longest %.1f ms, to %s" % (
            len(self.times), median * 1000, longest * 1000,
            what.split("\r")[0])
        print(said)
        assert median < MEDIAN_S and longest < LONGEST_S, said
        self.line.close()


class Victim:
    """A session whose last command hangs."""

    def __init__(self, source, *commands, service="hang"):
        self.line = smtp_session.Line(service, source)
        self.answer = None
        self.thread = None
        if commands:
            self.line.reply()
        for c in commands[:-1]:
            reply = self.line.say(c)
            assert reply[:1] in "23", (c, reply)
        if commands:
            self.line.send(commands[-1].encode() + b"\r\n")
        self.thread = threading.Thread(target=self._wait)
        self.thread.start()

    def _wait(self):
        self.answer = self.line.reply()

    def hangs(self):
        assert self.answer is None, "it does not hang: " + self.answer

    def answered(self):
        self.thread.join(cases.WAIT_S)
        assert self.answer, "no answer"
        self.line.close()
        return self.answer


_suite = None
_record = None


def suite():
    """One for all cases but the disk's; its smtpd is recorded, if we may."""
    global _suite, _record
    if _suite is None:
        _suite = Suite()
        _suite.__enter__()
        if os.geteuid() == 0:
            Other().line.close()  # it runs
            _record = loop_trace.Recorder(
                _suite.server(int(os.environ["HANG_PORT"])),
                os.path.join(_suite.dir, "strace"))
    return _suite


def end_suite():
    global _suite
    if _suite is not None:
        if _record is not None and _record.strace.child.poll() is None:
            _record.stop()
        _suite.__exit__(None, None, None)
        _suite = None


def hello():
    return "EHLO victim.test", "MAIL FROM:<a@b.test>"


def test_resolver_hangs():
    s = suite()
    other = Other()
    with Stopped(s, "resolver"):
        victim = Victim("127.0.0.3")  # its name is asked for
        other.talk()
        other.send()
        victim.hangs()
    assert victim.answered().startswith("220 ")
    other.judge()


def test_auth_hangs():
    s = suite()
    other = Other()
    with Stopped(s, "auth"):
        user = Victim("127.0.0.1", *hello(), "RCPT TO:<%s>" % s.alice())
        login = Victim("127.0.0.1", "EHLO victim.test",
                       "AUTH PLAIN AGFsaWNlAHdyb25n")
        other.talk()
        other.send()
        user.hangs()
        login.hangs()
    assert user.answered().startswith("250 ")
    assert login.answered().startswith("535 ")
    other.judge()


def test_policy_service_hangs():
    s = suite()
    other = Other()
    victim = Victim("127.0.0.2", *hello(), "RCPT TO:<%s>" % s.alice())
    cases.wait_for("the question", s.policy.asked)
    other.talk()
    other.send()
    victim.hangs()
    s.policy.hang_up()
    assert victim.answered()[:3] in ("451", "550")
    other.judge()


def test_milter_hangs():
    s = suite()
    other = Other()
    victim = Victim("127.0.0.4")
    cases.wait_for("the question", s.milter.asked)
    other.talk()
    other.send()
    victim.hangs()
    s.milter.hang_up()
    assert victim.answered()[:3] in ("220", "421", "451")
    other.judge()


def test_proxy_hangs():
    s = suite()
    other = Other("proxy")
    victim = Victim("127.0.0.1", *hello(), "RCPT TO:<%s>" % AWAY,
                    service="proxy")
    cases.wait_for("the connection", s.proxy.asked)
    other.greet(24)
    victim.hangs()
    s.proxy.hang_up()
    assert victim.answered()[:1] in "24"
    other.judge()


def test_queue_manager_hangs():
    s = suite()
    other = Other()
    with Stopped(s, "qmgr"):
        victim = Victim("127.0.0.1", "EHLO victim.test",
                        "ETRN elsewhere.test")
        other.talk()
        victim.hangs()
    assert victim.answered()[:1] in "245"
    other.judge()


def test_log_hangs():
    s = suite()
    other = Other()
    with Stopped(s, "log"):
        for _ in range(150):  # three lines each, and their events
            line = smtp_session.Line("hang")
            line.reply()
            cases.equal(line.say("QUIT")[:3], "221")
            line.close()
        other.talk()
    other.judge()


def test_tables_are_locked():
    s = suite()
    other = Other()
    held = [open(p, "rb") for p in glob.glob(s.conf + "/*.gdbm")]
    assert held
    for f in held:
        fcntl.flock(f, fcntl.LOCK_EX)
    for n in range(12):
        other._say("VRFY postmaster", "25")
    for f in held:
        f.close()
    other.judge()


def send_all():
    """A mail over TLS with a login, and a large one."""
    with smtplib.SMTP("localhost", int(os.environ["HANG_PORT"]),
                      timeout=cases.WAIT_S) as s:
        s.starttls(context=smtp_session.tls_context())
        s.login(os.environ["USER1"], os.environ["PASS1"])
        for size in (10, 3000):
            s.sendmail("a@b.test", [_suite.alice()],
                       "Subject: x\r\n\r\n" + ("x" * 70 + "\r\n") * size)


def test_the_loop_waits_only_for_events():
    suite()
    if _record is None:
        raise cases.Skip("only root may trace a daemon's system calls")
    send_all()
    _record.stop()
    calls = loop_trace.read(_record.path)
    own = [c for c in calls if c[0] == _record.pid]
    names = {c[1] for c in own}
    print("%d calls, %d of the loop" % (len(calls), len(own)))
    for name in ("epoll_pwait", "accept4", "connect", "sendmsg", "recvmsg"):
        assert name in names or name == "epoll_pwait" and \
            "epoll_wait" in names, "%s: not in the record" % name
    flushed = {c[0] for c in calls if c[1] in ("fsync", "fdatasync")}
    assert flushed, "no flush in the record"
    cases.equal(loop_trace.faults(calls, _record.pid, _record.known), [],
                "calls that may block")


def test_the_disk_hangs():
    """Each step on a file takes long, in smtpd only."""
    end_suite()  # one after the other: each stops all that it sees
    with Suite(environment={"CHAPPE_FAULT": "1+:%dms" % STEP_MS,
                            "CHAPPE_FAULT_PROC": "smtpd"}):
        other = Other()
        text = "Subject: x\r\n\r\n" + ("x" * 70 + "\r\n") * 2500 + "."
        victims = [Victim("127.0.0.1", *hello(), "RCPT TO:<%s>" % AWAY,
                          "DATA", text) for _ in range(4)]
        begun = time.monotonic()
        other.talk(24)
        for v in victims:
            v.hangs()
        while time.monotonic() < begun + 3 * STEP_MS / 1000:
            other.talk(1)
            victims[0].thread.join(0.01)
        for v in victims:
            assert v.answered().startswith("250 ")
        assert time.monotonic() > begun + STEP_MS / 1000
        other.judge()


BAD = """\
7 1.0 read(4</etc/passwd>, "x", 1) = 1 <0.000010>
7 1.0 read(5<socket:[77]>, 0x1, 9) = -1 EAGAIN (again) <0.000010>
7 1.0 sendmsg(6<socket:[78]>, {}, MSG_DONTWAIT) = 3 <0.000010>
8 1.0 fdatasync(4</var/x> <unfinished ...>
7 1.0 recvmsg(6<socket:[78]>, {}, 0 <unfinished ...>
8 2.0 <... fdatasync resumed>) = 0 <1.000000>
7 2.0 <... recvmsg resumed>) = 9 <1.000000>
7 2.0 socket(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0) = 9<socket:[79]> <0.00>
7 2.0 connect(9<socket:[79]>, {sa_family=AF_UNIX}, 110) = 0 <0.000010>
7 2.0 socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0) = 10<socket:[80]> <0.00>
7 2.0 connect(10<socket:[80]>, {sa_family=AF_INET}, 16) = -1 EINPROGRESS <0.0>
7 2.0 fdatasync(4</var/x>) = 0 <0.000010>
7 2.0 flock(4</var/x>, LOCK_EX) = 0 <0.000010>
7 2.0 flock(4</var/x>, LOCK_EX|LOCK_NB) = 0 <0.000010>
7 2.0 poll([{fd=5}], 1, 100) = 0 <0.000010>
7 2.0 poll([{fd=5}], 1, 0) = 0 <0.000010>
7 2.0 pwrite64(4</var/x>, "x", 1, 0) = 1 <0.000010>
7 2.0 futex(0x1, FUTEX_WAIT_PRIVATE, 2, NULL) = 0 <3.100000>
7 2.0 epoll_pwait(3<anon_inode:[eventpoll]>, [], 1024, 9, NULL, 8) = 0 <9.0>
"""


def test_what_blocks_is_found():
    with tempfile.NamedTemporaryFile("w", suffix=".strace") as f:
        f.write(BAD)
        f.flush()
        found = loop_trace.faults(loop_trace.read(f.name), 7,
                                  {3: False, 5: True, 6: False})
    cases.equal([x.split("(")[0].split(": ")[1] for x in found],
                ["recvmsg", "connect", "fdatasync", "flock", "poll",
                 "pwrite64", "futex"], "\n".join(found))


try:
    cases.main(globals())
finally:
    end_suite()
