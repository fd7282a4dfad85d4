#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 720
# full: it takes until each daemon was hit often enough, up to ten minutes
# alone: it kills daemons until each was hit with work in hand
"""kill -9 of each daemon in turn while mails flow: none is lost.

Mails come by SMTP for a mailbox, for three aliases, for another host and for
nobody (a bounce), and by sendmail; a client reads over IMAP all the while.
What was answered 250 (or with status 0) must arrive. A kill counts when the
trace shows that the killed process had begun something and not ended it;
the test fails unless each daemon was hit so KILLS times.
"""

import bisect
import collections
import glob
import imaplib
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "lib"))
import cases  # noqa: E402
import dns_server  # noqa: E402
import instance  # noqa: E402
import mail  # noqa: E402

KILLS = int(os.environ.get("KILLS", "10"))
SECONDS = 400
PROGRAMS = ["smtpd", "pickup", "qmgr", "local", "smtp", "bounce", "auth",
            "resolver", "log", "imap-login", "imap-spawn", "imap-session"]
PAUSE_S = (0.05, 0.35)
# What gives a daemon much to do; the others have it from any mail.
WORK_OF = {"pickup": ["alias"], "bounce": ["bounce"], "local": ["mailbox"],
           "smtp": ["relay"]}
BACKLOG = 400  # mails under way beyond which senders wait


class Flow:
    """Sends until stopped; keeps what was promised."""

    def __init__(self, suite, sink):
        self.suite, self.sink = suite, sink
        self.env = suite.environment()
        self.lock = threading.Lock()
        self.promised = {"mailbox": set(), "alias": set(), "relay": set(),
                         "bounce": set()}
        self.pace_s, self.kinds = 0.0, sorted(self.promised)
        self.count, self.stopped = 0, threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(f,))
                        for f in (self._smtp, self._smtp, self._smtp,
                                  self._sendmail, self._read, self._read,
                                  self._guess, self._stuck)]

    def start(self):
        for t in self.threads:
            t.start()

    def stop(self):
        self.stopped.set()
        for t in self.threads:
            t.join()

    def _run(self, step):
        while not self.stopped.is_set():
            self.stopped.wait(self.pace_s)
            try:
                step()
            except (OSError, smtplib.SMTPException, imaplib.IMAP4.error,
                    EOFError, subprocess.TimeoutExpired):
                time.sleep(0.01)

    def _token(self, kind):
        with self.lock:
            self.count += 1
            return "token-%s-%06d" % (kind, self.count)

    def _promise(self, kind, token):
        with self.lock:
            self.promised[kind].add(token)

    def _address(self, kind, token):
        user = self.suite.users[0].name
        return {"mailbox": user + "@" + instance.DOMAIN,
                "alias": "team@" + instance.DOMAIN,
                "relay": "far@relay.test",
                "bounce": "%s@bounce.test" % token}[kind]

    def _smtp(self):
        """A few mails over one connection."""
        sender = "%s@%s" % (self.suite.users[1].name, instance.DOMAIN)
        with smtplib.SMTP("localhost", int(self.env["SMTP_PORT"]),
                          timeout=20) as s:
            for _ in range(4):
                kind = random.choice(self.kinds)
                token = self._token(kind)
                body = "Subject: %s\r\n\r\n%s\r\n" % (
                    token, "a line of text\r\n" * random.choice((1, 3000)))
                s.sendmail(sender, [self._address(kind, token)], body)
                self._promise(kind, token)

    def _sendmail(self):
        token = self._token("mailbox")
        done = subprocess.run(
            ["setpriv", "--reuid=%d" % self.suite.uid, "--clear-groups",
             os.path.join(self.suite.bin, "sendmail"), "-i",
             self._address("mailbox", token)] if os.geteuid() == 0 else
            [os.path.join(self.suite.bin, "sendmail"), "-i",
             self._address("mailbox", token)],
            input="Subject: %s\n\nby sendmail\n" % token, text=True,
            env=self.env, timeout=60, check=False, capture_output=True)
        if done.returncode == 0:
            self._promise("mailbox", token)

    def _read(self):
        """Logs in, looks, leaves: work for auth and the IMAP daemons."""
        user = self.suite.users[1]
        imap = imaplib.IMAP4("localhost", int(self.env["IMAP_PORT"]),
                             timeout=20)
        try:
            imap.starttls(mail.ssl.create_default_context(
                cafile=self.env["CA_FILE"]))
            imap.login(user.name, user.password)
            imap.select("INBOX")
            imap.fetch("1:*", "(FLAGS)")
            self.stopped.wait(0.3)
            imap.logout()
        finally:
            imap.shutdown()

    def _guess(self):
        """A wrong password: auth is busy until its answer, which it delays."""
        imap = imaplib.IMAP4("localhost", int(self.env["IMAP_PORT"]),
                             timeout=20)
        try:
            imap.login(self.suite.users[0].name, self._token("guess"))
        finally:
            imap.shutdown()

    def _stuck(self):
        """To a domain whose name servers do not answer: promised to nobody,
        but the resolver has it in hand."""
        with smtplib.SMTP("localhost", int(self.env["SMTP_PORT"]),
                          timeout=20) as s:
            s.sendmail("", ["x@%s.stuck.test" % self._token("stuck")],
                       "Subject: stuck\r\n\r\n")
        self.stopped.wait(0.5)

    def keep_busy(self, program):
        """Enough on its way for the daemon to have work, and no more than
        can be delivered afterwards."""
        self.kinds = WORK_OF.get(program, sorted(self.promised))
        files = sum(len(files) for _, _, files in os.walk(
            os.path.join(self.suite.queue, "active")))
        self.pace_s = 0.0 if files < BACKLOG else 0.5

    # ---- afterwards ----

    def missing(self):
        """What was promised and has not arrived, and what came twice."""
        got = collections.Counter()
        for user, kinds in ((0, ("mailbox",)), (1, ("bounce",))):
            for path in mail.maildir_files(self.suite.users[user].mailbox):
                got.update(self._tokens(path, kinds))
        for path in mail.maildir_files(self.suite.users[0].mailbox):
            got.update(self._tokens(path, ("alias",)))
        for message in self.sink.messages:
            got.update(re.findall(r"^Subject: (token-relay-\d+)",
                                  message["data"].decode(), re.M))
        wanted = set().union(*self.promised.values())
        twice = sum(1 for t in wanted if got[t] > 1)
        return sorted(wanted - set(got)), twice

    @staticmethod
    def _tokens(path, kinds):
        try:
            with open(path, errors="replace") as f:
                text = f.read()
        except FileNotFoundError:
            return set()
        return set(re.findall("token-(?:%s)-\\d+" % "|".join(kinds), text))


# ---- what the trace tells ----

# (stage of an event or None, pattern of the text): begins or ends work.
BEGIN = {
    "smtpd": [(None, "^connect from ")],
    "imap-login": [("begin", "")],
    "imap-session": [("begin", "")],
    "imap-spawn": [("begin", "")],
    "auth": [("begin", "")],
    "resolver": [("begin", "")],
    "pickup": [("begin", "")],
    "bounce": [("begin", "")],
    "local": [("deliver", "")],
    "smtp": [("deliver", "")],
    "qmgr": [("queue", "^active")],
}
END = {
    "smtpd": [(None, "^disconnect from ")],
    "local": [("delivery", "")],
    "smtp": [("delivery", "")],
    "qmgr": [("queue", "^(removed|deferred)")],
}
END_ALL = [("end", "")]


def _is(rules, stage, text):
    return any(stage == s and re.search(pattern, text)
               for s, pattern in rules)


class Trace:
    """The begins and ends of work in the trace files, read as they grow."""

    def __init__(self, suite):
        self.folder, self.at, self.rest = suite.queue + "/trace", {}, {}
        self.open = collections.defaultdict(collections.Counter)
        self.times = []  # of all records, with the process

    def read(self):
        for path in sorted(glob.glob(self.folder + "/*.trace")):
            with open(path, errors="replace") as f:
                f.seek(self.at.get(path, 0))
                text = self.rest.pop(path, "") + f.read()
                self.at[path] = f.tell()
            lines = text.split("\n")
            self.rest[path] = lines.pop()
            for line in lines:
                self._take(line.split("\t"))

    def _take(self, p):
        if len(p) != 9:
            return
        program, pid = p[4].rsplit("/", 1)[-1], int(p[5])
        stage, text = p[7] if p[3] == "event" else None, p[8]
        self.times.append((int(p[0]), pid))
        if program not in BEGIN:
            return
        key = p[1][:12] if program == "smtpd" else p[1]
        if _is(BEGIN[program], stage, text):
            self.open[pid][key] += 1
        elif _is(END.get(program, END_ALL), stage, text):
            self.open[pid][key] -= 1
            if self.open[pid][key] == 0:
                del self.open[pid][key]

    def busy(self, pid):
        """Has the process begun something and not ended it?"""
        return any(n > 0 for n in self.open[pid].values())

    def hit(self, program, pid, at_us):
        """Did the kill hit it with work in hand?"""
        if program != "log":
            return self.busy(pid)
        # Its work is other processes' lines: some were waiting. The times
        # are nearly in order.
        at = bisect.bisect_left(self.times, (at_us - 20000, 0))
        return any(abs(t - at_us) < 20000 and other != pid
                   for t, other in self.times[max(at - 100, 0):at + 100])


def pick(suite, program, helpers=False):
    """A living process of the program: one that takes requests, or (local,
    auth) one of those that it has forked."""
    table = suite.processes()
    pids = [p for p, (parent, name) in table.items() if name == program and
            (table.get(parent, (0, ""))[1] == program) == helpers]
    return random.choice(pids) if pids else None


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def strike(suite, trace, program):
    """Kills a process of the program, when it is seen to be busy if it is
    within a second; returns the kill."""
    pid = cases.wait_for("a living " + program,
                         lambda: pick(suite, program))
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline and program != "log":
        trace.read()
        if trace.busy(pid):
            break
        time.sleep(0.002)
    return (program, pid, int(time.time() * 1e6)) if _kill(pid) else None


def kill_all_in_turn(suite, flow, trace):
    """Kills until the trace shows enough, or time is up."""
    kills, hits = [], collections.Counter()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        wanting = [p for p in PROGRAMS if hits[p] < KILLS]
        if not wanting:
            break
        for program in wanting:
            flow.keep_busy(program)
            kill = strike(suite, trace, program)
            if kill:
                kills.append(kill)
            time.sleep(random.uniform(*PAUSE_S))
            helper = pick(suite, program, helpers=True)
            if helper and random.random() < 0.3:
                _kill(helper)
        hits = count_hits(trace, kills)
    return kills


def count_hits(trace, kills):
    trace.read()
    hits = collections.Counter()
    for program, pid, at_us in kills:
        hits[program] += trace.hit(program, pid, at_us)
    return hits


def make_suite(sink, names):
    suite = instance.Instance(options=[
        "transport_maps=inline:{ "
        "relay.test=smtp:[127.0.0.1]:%d, bounce.test=smtp:[127.0.0.1]:%d }" %
        (sink.port, sink.port),
        "resolver_forward=127.0.0.1@%d" % names.port,
        "smtp_tls_security_level=none",
        "minimal_backoff_time=1s", "maximal_backoff_time=2s",
        "trace_size_limit=1g", "smtpd_client_connection_count_limit=0"])
    suite.start()
    team = "team: %s\n" % suite.users[0].name
    with open(os.path.join(suite.conf, "aliases"), "a") as f:
        f.write(team)
    suite._command(["newaliases"])
    return suite


def refuse_bounces(verb, line):
    if verb == "RCPT" and "@bounce.test" in line:
        return "550 5.1.1 no such user"
    return None


def test_no_mail_is_lost():
    names = dns_server.Server(["stuck.test DROP"] + [
        "token-stuck-%06d.stuck.test DROP" % n for n in range(20000)])
    with mail.Sink(reply=refuse_bounces) as sink, names:
        suite = make_suite(sink, names)
        os.environ.update(suite.environment())
        flow, trace = Flow(suite, sink), Trace(suite)
        try:
            flow.start()
            try:
                kills = kill_all_in_turn(suite, flow, trace)
            finally:
                flow.stop()
            hits = count_hits(trace, kills)
            promised = sum(len(p) for p in flow.promised.values())
            print("%d mails promised, %d kills; with work in hand: %s" % (
                promised, len(kills), dict(hits)), flush=True)
            cases.wait_for("all mails", lambda: not flow.missing()[0], 90)
            print("came twice: %d" % flow.missing()[1])
        except AssertionError:
            print("missing: %s" % flow.missing()[0][:20])
            print(subprocess.run(
                [os.path.join(suite.bin, "mailq")], capture_output=True,
                text=True, check=False).stdout[-2000:])
            print("kept: %s" % suite.dir)
            suite.remove = lambda: None
            raise
        finally:
            faults = suite.stop()
            suite.remove()
        cases.equal([p for p in PROGRAMS if hits[p] < KILLS], [],
                    "daemons not killed %d times with work in hand" % KILLS)
        cases.equal(promised > 100, True, "mails flowed")
        cases.equal(faults, [], "faults of the suite")


if __name__ == "__main__":
    cases.main(globals())
