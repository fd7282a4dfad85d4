#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chappe's SMTP server beside Postfix: `make bench-smtp [CELL="..."]`.

    tests/bench/smtp.py [--rounds N] [--list] [--smoke] [-o name=value]... [CELL]...

Both suites run in private directories on the same file system; runs
alternate between them, and the medians with (smallest largest number) and
their ratios are printed beside the goals. Each run of mails is counted in the
suite's log, by size, and a sample of mails is delivered into a Maildir and
compared by checksum. Without root there is no Postfix to compare with, no
control group and no real separation of users: this is said, never silent.
Results go to build/bench/smtp.txt. No name server is asked.
"""

import argparse
import contextlib
import glob
import hashlib
import os
import platform
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)
import instance  # noqa: E402
import measure  # noqa: E402
import privileged  # noqa: E402
import suites  # noqa: E402

ROOT = instance.ROOT
LOAD = os.path.join(instance.BUILD, "tests", "bench", "load")
SIZES = {"1k": 1024, "10k": 10240, "1m": 1 << 20}
HELLO = ["<220 ", ">EHLO client.bench.test", "<250 "]
MAIL = [">MAIL FROM:<sender@bench.test>", "<250 ",
        ">RCPT TO:<u%n@discard.test>", "<250 ", ">DATA", "<354 ", "@", "~",
        "<250 ", "^"]
BYE = [">QUIT", "<221 "]
TLS = [">STARTTLS", "<220 ", "!", ">EHLO client.bench.test", "<250 "]
LEAN_TLS = ["#" if step == "!" else step for step in TLS]
DRAIN_S = 120


class Failed(Exception):
    """A figure that may not be believed."""


# ---- what is printed ----

class Report:
    def __init__(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path, self.lines, self.missed = path, [], 0

    def say(self, text):
        print(text, flush=True)
        self.lines.append(text)

    def figure(self, cell, what, values, unit="", digits=1):
        """values: {suite: [number]}."""
        for name, list_ in values.items():
            if list_:
                self.say("%-22s %-26s %-8s %10.*f %s (%.*f %.*f %d)" % (
                    cell, what, name, digits, statistics.median(list_), unit,
                    digits, min(list_), digits, max(list_), len(list_)))

    def ratio(self, cell, what, values, goal=0, inverse=False):
        """How many times better Chappe is; goal: at least that."""
        if not values.get("chappe") or not values.get("postfix"):
            return
        ours = statistics.median(values["chappe"])
        theirs = statistics.median(values["postfix"])
        if min(ours, theirs) <= 0:
            return
        better = theirs / ours if inverse else ours / theirs
        self.say("%-22s %-26s %-8s %10.2f times better%s" % (
            cell, what, "ratio", better,
            self._judge(goal, better >= goal) if goal else ""))

    def limit(self, cell, what, value, limit, unit=""):
        self.say("%-22s %-26s %-8s %10.2f %s%s" % (
            cell, what, "goal", value, unit,
            self._judge("at most %g" % limit, value <= limit)))

    def _judge(self, goal, met):
        self.missed += not met
        return "  [goal %s: %s]" % (goal, "met" if met else "NOT MET")

    def save(self):
        with open(self.path, "w") as f:
            f.write("\n".join(self.lines) + "\n")


# ---- one run ----

def parse(text):
    """The numbers of load's line, {name: float}."""
    return {k: float(v) for k, v in (
        word.split("=", 1) for word in text.split())}


def load_argv(port, script, sessions, units, passes=1, size=1024, more=()):
    return [LOAD, "-s", str(sessions), "-m", str(units), "-d", str(passes),
            "-l", str(size)] + list(more) + ["127.0.0.1", str(port)] + script


def run_load(argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Failed("load: status %d: %s %s" % (
            done.returncode, done.stdout.strip(), done.stderr.strip()))
    return parse(done.stdout)


def run_loads(argv, processes):
    """The same several times at once, where one client process would be the
    slower side: (connections in all, seconds)."""
    began = time.monotonic()
    children = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True,
                                 stdin=subprocess.DEVNULL)
                for _ in range(processes)]
    outs = [child.communicate()[0] for child in children]
    seconds = time.monotonic() - began
    if any(child.returncode != 0 for child in children):
        raise Failed("load: %s" % outs)
    return sum(parse(out)["done"] for out in outs), seconds


class Counter:
    """Counts in the log what came and went."""

    def __init__(self, suite):
        self.suite, self.offset = suite, os.path.getsize(suite.log)
        self.sizes, self.removed = {}, 0

    def look(self):
        self.offset, sizes, removed = suites.read_log(self.suite.log,
                                                      self.offset)
        for size, n in sizes.items():
            self.sizes[size] = self.sizes.get(size, 0) + n
        self.removed += removed

    def wait(self, count, smallest):
        """Until `count` messages came and went again, each at least
        `smallest` bytes (the trace field is added to what was sent)."""
        end = time.monotonic() + DRAIN_S
        while self.removed < count and time.monotonic() < end:
            time.sleep(0.02)
            self.look()
        came = sum(self.sizes.values())
        if came != count or self.removed != count:
            raise Failed("%s: of %d messages %d came into the queue and %d "
                         "left it" % (self.suite.name, count, came,
                                      self.removed))
        if min(self.sizes) < smallest or max(self.sizes) > smallest + 600:
            raise Failed("%s: sizes %s of messages with %d bytes" % (
                self.suite.name, sorted(self.sizes), smallest))


class Bench:
    def __init__(self, report, rounds):
        self.report, self.rounds = report, rounds
        self.suites, self.groups, self.rsa_ports = [], {}, {}
        self.options = []

    def cpu_s(self, suite):
        group = self.groups[suite.name]
        return group.cpu_s() if group.usable else \
            measure.cpu_of_pids(suite.pids())

    def each(self, rounds=None):
        """Alternately each suite, in each round."""
        for _ in range(rounds or self.rounds):
            yield from self.suites

    def collect(self):
        return {s.name: [] for s in self.suites}

    def mails(self, suite, sessions, count, passes, size):
        """One run of mails that are discarded; (load's figures, CPU s)."""
        before = self.cpu_s(suite)
        counter = Counter(suite)
        got = run_load(load_argv(suite.smtp_port(), HELLO + ["("] + MAIL +
                                 [")"] + BYE, sessions, count, passes, size))
        counter.wait(count, size)
        return got, self.cpu_s(suite) - before

    def sample(self, suite, size, count=3):
        """Mails into a Maildir: what arrives is what was sent."""
        wanted = set()
        for _ in range(count):
            text = secrets.token_hex(size // 2 - 200)
            lines = ["Subject: sample", ""] + [
                text[i:i + 70] for i in range(0, len(text), 70)]
            wanted.add(_digest("\n".join(lines)))
            send_one(suite, suite.sample_address(), lines)
        end = time.monotonic() + DRAIN_S
        found = set()
        while found != wanted and time.monotonic() < end:
            time.sleep(0.05)
            found = set(_digests(suite.maildir()))
        for path in glob.glob(suite.maildir() + "/new/*"):
            os.unlink(path)
        if found != wanted:
            raise Failed("%s: of %d sample mails %d arrived unchanged, %d "
                         "others" % (suite.name, count, len(found & wanted),
                                     len(found - wanted)))


def _digest(text):
    return hashlib.sha256(text.rstrip("\n").encode()).hexdigest()


def _digests(maildir):
    for path in glob.glob(maildir + "/new/*"):
        with open(path, "rb") as f:
            text = f.read().decode().replace("\r\n", "\n")
        yield _digest(text[text.index("Subject: sample"):])


def send_one(suite, rcpt, lines):
    """One mail, by hand; returns the queue id of the 250."""
    with socket.create_connection(("127.0.0.1", suite.smtp_port()), 60) as s:
        with s.makefile("rb") as f:
            def reply(code):
                while True:
                    line = f.readline().decode()
                    if line[3:4] != "-":
                        break
                if not line.startswith(code):
                    raise Failed("%s: %s" % (suite.name, line.strip()))
                return line.split()[-1]

            reply("220")
            for command, code in (
                    ("EHLO client.bench.test", "250"),
                    ("MAIL FROM:<sender@bench.test>", "250"),
                    ("RCPT TO:<%s>" % rcpt, "250"), ("DATA", "354"),
                    ("\r\n".join(lines) + "\r\n.", "250")):
                s.sendall((command + "\r\n").encode())
                qid = reply(code)
            s.sendall(b"QUIT\r\n")
            reply("221")
    return qid


# ---- the cells ----

ACCEPT = [
    # sessions, mails per connection, size, mails, goals
    (1, 100, "1k", 200, {}),
    (1, 100, "10k", 200, {}),
    (1, 20, "1m", 20, {}),
    (10, 100, "1k", 5000, {"rate": 5, "cpu": 5, "p99": 2}),
    (10, 100, "10k", 1500, {}),
    (10, 20, "1m", 200, {"rate": 3}),
    (50, 100, "1k", 5000, {}),
    (50, 100, "10k", 1500, {}),
    (50, 20, "1m", 100, {}),
    (200, 1, "1k", 3000, {"rate": 8, "cpu": 5, "p99": 2}),
    (200, 10, "10k", 1500, {}),
    (200, 1, "1m", 200, {}),
    (1000, 1, "1k", 2000, {}),
    (1000, 1, "10k", 2000, {}),
]


def accept(bench, cell, sessions, passes, size, count, goals):
    """Durably accepted messages a second; a few that do not count come first,
    so that neither suite still starts processes or finds cold files."""
    for suite in bench.suites:
        bench.mails(suite, sessions, max(count // 5, sessions), passes,
                    SIZES[size])
    figures = {w: bench.collect() for w in ("rate", "cpu", "p50", "p99")}
    for suite in bench.each():
        got, cpu = bench.mails(suite, sessions, count, passes, SIZES[size])
        figures["rate"][suite.name].append(got["done"] / got["seconds"])
        figures["cpu"][suite.name].append(cpu * 1000 / count)
        figures["p50"][suite.name].append(got["p50_ms"])
        figures["p99"][suite.name].append(got["p99_ms"])
    for suite in bench.suites:
        bench.sample(suite, SIZES[size])
    r = bench.report
    for what, name, unit, digits in (
            ("rate", "accepted", "/s", 1),
            ("cpu", "CPU per 1000 mails", "s", 3),
            ("p50", "end of data to 250, p50", "ms", 2),
            ("p99", "end of data to 250, p99", "ms", 2)):
        r.figure(cell, name, figures[what], unit, digits)
        r.ratio(cell, name, figures[what], goals.get(what, 0),
                what != "rate")


def ceiling(bench, cell):
    """What this machine and this client give a server that stores nothing:
    no server gets beyond this here."""
    for suite in bench.suites:
        if suite.name != "postfix":
            continue
        port = bench.suites[0].ports.take()
        with suite.sink(port) as pid:
            for sessions, passes, count in ((10, 100, 10000), (200, 1, 5000)):
                rate, cpu = [], []
                for _ in range(bench.rounds):
                    before = measure.cpu_of_pids([pid])
                    got = run_load(load_argv(
                        port, HELLO + ["("] + MAIL + [")"] + BYE, sessions,
                        count, passes))
                    rate.append(got["done"] / got["seconds"])
                    cpu.append((measure.cpu_of_pids([pid]) - before) * 1000 /
                               count)
                what = "%dx%d" % (sessions, passes)
                bench.report.figure(cell, "taken, " + what,
                                    {"sink": rate}, "/s")
                bench.report.figure(cell, "CPU per 1000, " + what,
                                    {"sink": cpu}, "s", 3)


def latency(bench, cell):
    """One session, one mail after the other, nothing else."""
    accept(bench, cell, 1, 100, "1k", 300, {})


def connections(bench, cell, script, count, goal, ports, more=(),
                clients=1):
    rate, cpu = bench.collect(), bench.collect()
    for suite in bench.each():
        before = bench.cpu_s(suite)
        done, seconds = run_loads(
            load_argv(ports[suite.name], script, 16, count // clients,
                      more=more), clients)
        if done != count:
            raise Failed("%s: %d of %d connections" % (
                suite.name, done, count))
        rate[suite.name].append(count / seconds)
        cpu[suite.name].append((bench.cpu_s(suite) - before) * 1e6 / count)
    bench.report.figure(cell, "connections", rate, "/s")
    bench.report.ratio(cell, "connections", rate, goal)
    bench.report.figure(cell, "CPU per connection", cpu, "us")
    bench.report.ratio(cell, "CPU per connection", cpu, 0, True)


def connect(bench, cell):
    ports = {s.name: s.smtp_port() for s in bench.suites}
    connections(bench, cell, HELLO + BYE, 2000, 0, ports)


def starttls(bench, cell):
    ports = {s.name: s.smtp_port() for s in bench.suites}
    connections(bench, cell, HELLO + LEAN_TLS + BYE, 4000, 4, ports,
                ("-g", "ECDSA+SHA256"), 4)
    bench.report.say("%-22s   with OpenSSL's client, which needs more CPU "
                     "than either server:" % cell)
    connections(bench, cell + "-openssl", HELLO + TLS + BYE, 2000, 0, ports,
                ("-g", "ECDSA+SHA256"), 4)


def starttls_rsa(bench, cell):
    connections(bench, cell, HELLO + LEAN_TLS + BYE, 1000, 0,
                bench.rsa_ports, ("-g", "RSA-PSS+SHA256"), 4)


@contextlib.contextmanager
def held(suite, script, count):
    """Idle connections, all open."""
    child = subprocess.Popen(
        load_argv(suite.smtp_port(), script + ["hold"], count, count,
                  more=("-r", "2500", "-w", "100")),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = child.stdout.readline()
        if parse(line or "held=0").get("held") != count:
            raise Failed("%s: %d idle connections: %s" % (suite.name, count,
                                                          line.strip()))
        yield
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()


def idle(bench, cell, script, limit_mb):
    """Postfix has a process for each, so that fewer tell enough."""
    for suite in bench.suites:
        empty = measure.pss_mb(suite.pids())
        bench.report.figure(cell, "PSS, nobody there",
                            {suite.name: [empty]}, "MB")
        for count in (2000, 10000) if suite.name == "chappe" else (250,):
            with held(suite, script, count):
                used = measure.pss_mb(suite.pids())
            bench.report.figure(cell, "PSS, %d idle" % count,
                                {suite.name: [used]}, "MB")
            bench.report.figure(cell, "PSS of one of %d" % count,
                                {suite.name: [(used - empty) * 1000 /
                                              count]}, "kB")
        if suite.name == "chappe":
            bench.report.limit(cell, "PSS, 10000 idle", used, limit_mb,
                               "MB")


def idle_plain(bench, cell):
    idle(bench, cell, HELLO, 150)


def idle_tls(bench, cell):
    idle(bench, cell, HELLO + TLS, 500)


FLUSHES = ("fsync", "fdatasync", "sync_file_range", "syncfs", "msync")


def calls(bench, cell):
    """System calls of all processes of the suite, per mail."""
    for sessions in (10, 50):
        for suite in bench.suites:
            bench.mails(suite, sessions, sessions * 4, 10, 1024)
            count = 1000 if suite.name == "chappe" else 300
            path = os.path.join(ROOT, "build", "bench",
                                "calls-%s-%d" % (suite.name, sessions))
            trace = measure.Strace(suite.pids(), path, "-c")
            try:
                bench.mails(suite, sessions, count, 100, 1024)
            finally:
                trace.stop()
            _report_calls(bench.report, cell, suite, sessions, count,
                          measure.read_counts(path))


def _report_calls(report, cell, suite, sessions, count, table):
    total = sum(table.values()) / count
    flushes = sum(table.get(c, 0) for c in FLUSHES) / count
    what = "per mail, %d sessions" % sessions
    report.figure(cell, "calls " + what, {suite.name: [total]}, "")
    report.figure(cell, "flushes " + what, {suite.name: [flushes]}, "", 3)
    most = sorted(table.items(), key=lambda x: -x[1])[:12]
    report.say("%-22s   %s" % (cell, " ".join(
        "%s=%.1f" % (k, n / count) for k, n in most)))
    if suite.name == "chappe":
        report.limit(cell, "calls " + what, total, 60)
        if sessions == 50:
            report.limit(cell, "flushes " + what, flushes, 0.2)


def order(bench, cell, count=20):
    """A completed flush of the mail comes before its 250."""
    for suite in bench.suites:
        path = os.path.join(ROOT, "build", "bench", "order-" + suite.name)
        bench.mails(suite, 1, 2, 1, 1024)  # what starts on demand runs
        trace = measure.Strace(suite.pids(), path, "-ttt", "-T", "-y", "-s",
                               "4096", "-e", "trace=" + measure.TRACE_CALLS)
        tokens = {}
        try:
            for _ in range(count):
                token = secrets.token_hex(12)
                tokens[token] = send_one(suite, "u@discard.test", [
                    "Subject: " + token, "", "text"])
        finally:
            trace.stop()
        seen = measure.read_trace(path)
        faults = measure.uncovered(seen, tokens)
        blind = [c for c in seen if c[2] not in FLUSHES]
        if len(measure.uncovered(blind, tokens)) != count:
            raise Failed("without flushes nothing is missed: a bad check")
        if faults:
            raise Failed("%s: %s" % (suite.name, "; ".join(faults)))
        bench.report.say("%-22s %-26s %-8s %d of %d" % (
            cell, "flushed before the 250", suite.name, count, count))


def cells():
    """{name: function of (bench, name)}."""
    table = {"order": order}
    for sessions, passes, size, count, goals in ACCEPT:
        table["accept-%dx%d-%s" % (sessions, passes, size)] = \
            lambda b, c, a=(sessions, passes, size, count, goals): \
            accept(b, c, *a)
    table.update({"ceiling": ceiling, "latency": latency, "connect": connect,
                  "starttls": starttls, "starttls-rsa": starttls_rsa,
                  "calls": calls, "idle": idle_plain, "idle-tls": idle_tls})
    return table


def idle_limits(bench, cell, count=1000):
    """What the goals for 10,000 sessions allow one of them."""
    suite = bench.suites[0]
    for what, script, limit in (("plain", HELLO, 15),
                                ("TLS", HELLO + TLS, 50)):
        empty = measure.pss_mb(suite.pids())
        with held(suite, script, count):
            end = time.monotonic() + 20
            while True:
                used = (measure.pss_mb(suite.pids()) - empty) * 1000 / count
                if used <= limit or time.monotonic() > end:
                    break
                time.sleep(0.1)
        if used > limit:
            raise Failed("an idle %s session needs %.0f kB" % (what, used))
        bench.report.say("%-22s an idle %s session: at most %d kB" % (
            cell, what, limit))


def smoke(bench, cell):
    """Few mails, and whether the counts and the order are right; and what
    idle sessions need."""
    for sessions, size in ((1, "1k"), (4, "1k"), (2, "1m")):
        for suite in bench.suites:
            got, _ = bench.mails(suite, sessions, sessions * 4, 2,
                                 SIZES[size])
            if got["done"] != sessions * 4:
                raise Failed("%s: %s" % (suite.name, got))
    for suite in bench.suites:
        bench.sample(suite, 1024)
        for steps in (TLS, LEAN_TLS):
            with held(suite, HELLO + steps, 5):
                pass
    order(bench, cell, 4)
    if not instance.BUILD.endswith("asan"):  # its memory is another matter
        idle_limits(bench, cell)


# ---- setting up ----

def describe(report, bench):
    report.say("machine: %s, %d CPUs, Linux %s" % (
        platform.machine(), os.cpu_count(), platform.release()))
    directory = bench.suites[0].dir
    kind = subprocess.run(["stat", "-f", "-c", "%T", directory], text=True,
                          capture_output=True, check=True).stdout.strip()
    report.say("queues on: %s (%s)" % (directory, kind))
    if kind == "tmpfs":
        raise Failed("%s is in memory, so that flushes cost nothing: set "
                     "TMPDIR to a disk" % directory)
    if os.geteuid() != 0:
        report.say("LEFT OUT, since this is no root: Postfix and every "
                   "ratio to it; users of their own for Chappe's daemons")
    for suite in bench.suites:
        if not bench.groups[suite.name].usable:
            report.say("%s: no control group: CPU is that of /proc" %
                       suite.name)
        report.say("%s: changed from its installed configuration:" %
                   suite.name)
        for line in suite.changed:
            report.say("    " + line)


def start(bench):
    """Chappe, and as root Postfix in the same private /etc."""
    chappe = suites.Chappe(bench.options)
    bench.suites.append(chappe)
    bench.rsa_ports["chappe"] = chappe.ports.take()
    rsa = os.path.join(chappe.tls, "rsa")
    chappe.services.append(
        "%d inet n - n - 2 smtpd -o smtpd_tls_cert_file=%s.pem "
        "-o smtpd_tls_key_file=%s.key" % (bench.rsa_ports["chappe"], rsa,
                                          rsa))
    chappe.prepare()
    if os.geteuid() == 0:
        postfix = suites.Postfix(chappe, partner, chappe.ports.take())
        bench.suites.append(postfix)
        bench.rsa_ports["postfix"] = chappe.ports.take()
        postfix.prepare()
        with open(postfix.conf + "/master.cf", "a") as f:
            f.write("127.0.0.1:%d inet n - n - - smtpd "
                    "-o smtpd_tls_cert_file=%s.pem "
                    "-o smtpd_tls_key_file=%s.key\n" % (
                        bench.rsa_ports["postfix"], rsa, rsa))
    for suite in bench.suites:
        group = bench.groups[suite.name] = measure.Group(suite.name)
        group.enter()
        try:
            suite.launch()
        finally:
            group.leave()


def stop(bench, keep):
    for suite in reversed(bench.suites):
        for fault in suite.stop():
            bench.report.say("fault: %s: %s" % (suite.name, fault))
            keep = True
    for group in bench.groups.values():
        group.remove()
    if bench.suites and not keep:
        bench.suites[0].remove()
    elif bench.suites:
        bench.report.say("kept: %s" % bench.suites[0].dir)


def parse_args():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("-o", action="append", default=[], dest="options",
                        metavar="name=value", help="for Chappe, to try out")
    parser.add_argument("cell", nargs="*")
    args = parser.parse_args()
    unknown = set(args.cell) - set(cells())
    if args.list or unknown:
        print("\n".join(cells()))
        sys.exit("no such cell: " + " ".join(sorted(unknown)) if unknown
                 else 0)
    return args


partner = ""


def main():
    global partner
    args = parse_args()
    report = Report(os.path.join(ROOT, "build", "bench", "smoke.txt" if
                                 args.smoke else "smtp.txt"))
    if os.geteuid() == 0:
        partner = subprocess.run(
            [os.path.join(ROOT, "tests", "partners"), "postfix"], text=True,
            stdout=subprocess.PIPE, check=True).stdout.strip()
        privileged.enter_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(report, args.rounds)
    bench.options = args.options
    status = 1
    try:
        start(bench)
        describe(report, bench)
        table = {"smoke": smoke} if args.smoke else {
            name: fn for name, fn in cells().items()
            if not args.cell or name in args.cell}
        for name, fn in table.items():
            fn(bench, name)
        status = 0
        if not args.smoke:
            report.say("%d goals were not met" % report.missed)
    except (Failed, instance.Failed, OSError) as e:
        report.say("FAILED: %s" % e)
    finally:
        stop(bench, status != 0)
        report.save()
    sys.exit(status)


if __name__ == "__main__":
    main()
