#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""master and chappe, with the real log daemon and stand-ins for the others:
starting, stopping, failing, processes on demand and at boot, back-off, keys,
queue-id slots, notification."""
# timeout: 240

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import certificate  # noqa: E402
import keys  # noqa: E402
import ipc  # noqa: E402
import master_house  # noqa: E402

THROTTLING = "bad command startup -- throttling"


@contextlib.contextmanager
def house(master_cf="", **conf):
    """%d in master_cf is a free port, h.port."""
    h = master_house.MasterHouse(**conf)
    try:
        h.port = h.ports.take()
        h.write_master_cf(master_house.MASTER_CF +
                          master_cf.replace("%d", str(h.port)))
        yield h
    finally:
        h.end()


SMTPD = "127.0.0.1:%d inet n - n - 2 smtpd -o message_size_limit=7777 arg\n"


def test_starts_and_stops():
    with house() as h:
        text = h.chappe("status", status=1).stdout
        cases.contains(text, "the mail system is not running")
        h.start()
        pid = h.master_pid()
        text = h.chappe("status").stdout
        cases.contains(text, "the mail system is running: PID: %d\n" % pid)
        cases.matches(text, r"^qmgr qmgr \d+ running")
        h.stop()
        h.chappe("status", status=1)
        log = h.log()
        cases.matches(log, r"postfix/master\[%d\]: daemon started -- version "
                      r"\S+, configuration %s$" % (pid, h.conf))
        cases.contains(log, "a private instance")
        cases.equal(log.count("warning"), 0, log)
        cases.equal(len(h.events("exit")), len(h.events("start")))
        h.start()
        h.chappe("abort")
        h.chappe("status", status=1)
        h.chappe("stop", status=1)


def test_second_start_is_refused():
    with house() as h:
        h.start()
        pid = h.master_pid()
        for how in ("start", "start-fg"):
            done = h.chappe(how, status=1)
            cases.contains(done.stderr,
                           "the mail system is already running: PID: %d\n"
                           % pid)
        cases.equal(h.master_pid(), pid)
        h.chappe("status")


def test_failed_start_says_why():
    with house(SMTPD) as h, socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", h.port))
        s.listen(1)
        why = "listen on 127.0.0.1 port %d: Address already in use" % h.port
        for count, how in enumerate(("start", "start-fg")):
            done = h.chappe(how, status=1)
            cases.matches(done.stderr, r"^postfix/master\[\d+\]: fatal: .*%s"
                          % re.escape(why))
            cases.equal(h.log().count(why), count + 1, "lines in the log")
        cases.matches(h.log(), r"^\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ "
                      r"postfix/master\[\d+\]: fatal: ")
        # The same on a terminal.
        ours, theirs = pty.openpty()
        argv, env = h.command("start")
        status = subprocess.run(argv, env=env, stdin=theirs, stdout=theirs,
                                stderr=theirs, check=False).returncode
        os.close(theirs)
        cases.equal(status, 1)
        cases.contains(os.read(ours, 4096).decode(), why)
        os.close(ours)


def test_configuration_errors():
    with house() as h:
        h.change(mesage_size_limit="5")
        for how in ("start", "check"):
            text = h.chappe(how, status=1).stderr
            cases.matches(text, r"main\.cf: line \d+: .*mesage_size_limit")
            cases.contains(text, "message_size_limit")
        cases.contains(h.log(), "mesage_size_limit")
        del h.settings["mesage_size_limit"]
        h.change()
        h.chappe("check", status=0)
        for line, why in (
                ("x unix - - n - - nosuch", "no such program: nosuch"),
                ("nosuchport inet n - n - - smtpd", "no such port"),
                ("a unix - - n - - smtpd\na unix - - n - - smtpd",
                 "service a is already on line 4"),
                ("1143 inet n - n - - imap-login", "imap_port"),
                ("broken", "line 4")):
            h.write_master_cf(master_house.MASTER_CF + line + "\n")
            text = h.chappe("check", status=1).stderr
            cases.matches(text, r"master\.cf: line \d")
            cases.contains(text, why)
        h.write_master_cf(master_house.MASTER_CF + "r unix - - n - - bounce\n")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(h.libexec, "bounce"))
        cases.contains(h.chappe("check", status=1).stderr,
                       "bounce: No such file or directory")


def test_the_systems_own_directory_is_for_root():
    if os.path.exists("/etc/chappe"):
        raise cases.Skip("there is an /etc/chappe on this host")
    with house() as h:
        done = h.chappe("-c", "/etc/chappe", "start", status=1)
        cases.contains(done.stderr, "/etc/chappe")


def test_processes_on_demand_and_at_boot():
    with house(SMTPD) as h:
        h.start()
        h.wait_event("start", "qmgr")
        cases.equal(h.events(program="smtpd"), [])
        c = master_house.Client(h.port)
        start = h.wait_event("start", "smtpd")[0]
        cases.equal(c.pid, start["pid"])
        cases.equal(start["options"], ["message_size_limit=7777"])
        cases.equal(start["args"], ["arg"])
        cases.equal(start["kinds"], "inet")
        cases.equal(start["uid"], ipc.UID)
        # 0 to 2, control, listener, the slot's lock, the shared table; and
        # listdir's own.
        cases.equal(start["descriptors"][:7], [0, 1, 2, 3, 4, 5, 6])
        cases.equal(len(start["descriptors"]), 8)
        d = master_house.Client(h.port)
        cases.equal(d.pid, c.pid, "one process serves both")
        assert c.works() and d.works()


def test_full_services_get_processes_up_to_the_limit():
    with house(SMTPD) as h:
        h.mode("smtpd", "full")
        h.start()
        clients = [master_house.Client(h.port)]
        h.wait_event("start", "smtpd", 2)
        for _ in range(3):
            clients.append(master_house.Client(h.port))
        h.wait_log("has reached its process limit \"2\"")
        cases.equal(len(h.events("start", "smtpd")), 2)
        slots = [e["slot"] for e in h.wait_event("MSG_SLOT", "smtpd", 2)]
        cases.equal(len(set(slots)), 2, "different slots")


def test_company_is_one_for_each_core():
    """Whatever the limit; what is full gets more than that."""
    cores = min(len(os.sched_getaffinity(0)), 32)
    with house(SMTPD.replace(" 2 smtpd", " 0 smtpd")) as h:
        def running(n):
            cases.wait_for("%d processes" % n, lambda: len(re.findall(
                r" smtpd \d+ running", h.chappe("status").stdout)) == n)

        h.mode("smtpd", "company")
        h.start()
        clients = []
        for i in range(cores + 3):
            clients.append(master_house.Client(h.port))
            running(min(i + 2, cores))
        h.mode("smtpd", "full")
        clients.append(master_house.Client(h.port))
        running(cores + 1)
        cases.equal(len(h.events("start", "smtpd")), cores + 1)


def test_leaves_and_comes_back():
    with house(SMTPD) as h:
        h.mode("smtpd", "once")
        h.start()
        for i in range(3):
            master_house.Client(h.port).close()
            h.wait_event("start", "smtpd", i + 1)
        assert THROTTLING not in h.log(), h.log()


def test_backs_off_and_recovers():
    with house(SMTPD) as h:
        h.mode("smtpd", "die")
        h.start()
        c = socket.create_connection(("127.0.0.1", h.port))
        cases.wait_for("three deaths",
                       lambda: h.log().count(THROTTLING) >= 3)
        cases.contains(h.log(), "smtpd pid ")
        cases.contains(h.log(), "exit status 1")
        # What it said before it had a log of its own.
        cases.contains(h.log(), "fatal: told to die")
        assert len(h.events("start", "smtpd")) <= 4
        cases.contains(h.chappe("status").stdout, "smtpd - throttled")
        h.mode("smtpd", "serve")
        cases.wait_for("it serves the client that waited",
                       lambda: h.events("client", "smtpd"))
        c.close()


def test_a_crashing_boot_service_comes_back():
    with house() as h:
        h.start()
        first = h.wait_event("start", "qmgr")[0]["pid"]
        os.kill(first, signal.SIGKILL)
        second = h.wait_event("start", "qmgr", 2)[1]["pid"]
        assert second != first
        h.wait_log("qmgr pid %d killed by signal 9" % first)
        h.mode("qmgr", "crash")
        os.kill(second, signal.SIGKILL)
        h.wait_log(THROTTLING)
        assert len(h.events("start", "qmgr")) < 45
        h.mode("qmgr", "serve")
        cases.wait_for("qmgr runs again", lambda: re.search(
            r"^qmgr qmgr \d+ running", h.chappe("status").stdout, re.M))


def test_wakes_services():
    with house("pickup unix n - n 1 1 pickup\n"
               "auth unix - - n 1? 1 auth\n") as h:
        h.start()
        h.wait_event("MSG_WAKE", "pickup", 2)


def test_qmgr_hears_of_living_agents():
    with house("local unix - - n - - local\n") as h:
        h.start()
        h.wait_event("MSG_PIDS", "qmgr")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(os.path.join(h.queue, "private", "local"))
            agent = h.wait_event("start", "local")[0]["pid"]
            cases.wait_for("local is ready", lambda: re.search(
                r"^local local \d+ running", h.chappe("status").stdout,
                re.M))
            os.kill(h.events("start", "qmgr")[0]["pid"], signal.SIGKILL)
            body = bytes.fromhex(
                h.wait_event("MSG_PIDS", "qmgr", 2)[1]["body"])
        groups = [dict(ipc.decode_fields(v))
                  for k, v in ipc.decode_fields(body) if k == "F_SERVICE"]
        cases.equal([(g["F_SERVICE"], int.from_bytes(g["F_PID"], "little"))
                     for g in groups], [(b"local", agent)])


def _keys(message):
    return keys.decode(bytes.fromhex(message["keys"][0]))


def test_hands_out_keys_and_notices_new_ones():
    with house(SMTPD) as h:
        tls = h.path("tls")
        certificate.make(tls)
        cert, key = tls + "/localhost.pem", tls + "/localhost.key"
        for path in (tls, cert, key):
            os.chown(path, ipc.UID, ipc.UID)
        h.change(smtpd_tls_cert_file=cert, smtpd_tls_key_file=key)
        h.chappe("check")
        h.start()
        c = master_house.Client(h.port)
        m = h.wait_event("MSG_KEYS", "smtpd")[0]
        with open(cert) as f, open(key) as g:
            cases.equal(_keys(m), [(keys.CHAIN, cert + " " + key,
                                    f.read() + "\n" + g.read() + "\n")])
        cases.equal([s & 15 for s in m["seals"]], [15])
        with open(cert, "a") as f:
            f.write("\n# renewed\n")
        m = h.wait_event("MSG_KEYS", "smtpd", 2)[1]
        cases.contains(_keys(m)[0][2], "# renewed")
        assert c.works()
        h.stop()
        h.change(smtpd_tls_key_file=tls + "/ca.key")
        os.chown(tls + "/ca.key", ipc.UID, ipc.UID)
        cases.contains(h.chappe("check", status=1).stderr,
                       "certificate and private key")
        h.change(smtpd_tls_key_file="/nonexistent.key")
        cases.contains(h.chappe("start", status=1).stderr,
                       "/nonexistent.key: No such file")


def test_no_keys_are_said_too():
    with house(SMTPD) as h:
        h.start()
        master_house.Client(h.port).close()
        cases.equal(h.wait_event("MSG_KEYS", "smtpd")[0]["keys"], [])


def test_a_killed_master_can_be_replaced():
    with house(SMTPD) as h:
        h.start()
        c = master_house.Client(h.port)
        slot = h.wait_event("MSG_SLOT", "smtpd")[0]["slot"]
        os.kill(h.master_pid(), signal.SIGKILL)
        h.wait_event("master is gone", "smtpd")
        h.start()
        assert c.works(), "what was under way goes on"
        d = master_house.Client(h.port)
        assert d.pid != c.pid
        new = h.wait_event("MSG_SLOT", "smtpd", 2)[1]["slot"]
        assert new != slot, "the living process's slot is not given out"
        c.close()
        h.wait_event("exit", "smtpd")
        d.close()


def test_tells_the_service_manager():
    with house() as h, socket.socket(socket.AF_UNIX,
                                     socket.SOCK_DGRAM) as s:
        s.bind(h.path("notify"))
        os.chmod(h.path("notify"), 0o666)
        s.settimeout(cases.WAIT_S)
        argv, env = h.command("start-fg", NOTIFY_SOCKET=h.path("notify"))
        with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL) as p:
            cases.contains(s.recv(4096).decode(), "READY=1\nSTATUS=")
            os.kill(h.master_pid(), signal.SIGHUP)
            cases.matches(s.recv(4096).decode(),
                          r"^RELOADING=1\nMONOTONIC_USEC=\d+\n")
            cases.contains(s.recv(4096).decode(), "READY=1\n")
            p.send_signal(signal.SIGTERM)
            cases.equal(s.recv(4096).decode(), "STOPPING=1\n")
            cases.equal(p.wait(cases.WAIT_S), 0)
        cases.contains(h.log(), "terminating on signal 15")


def test_start_does_not_keep_the_callers_pipe():
    with house() as h:
        argv, env = h.command("start")
        with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as p:
            before = time.monotonic()
            p.stdout.read()  # ends only when nobody holds it any more
            cases.equal(p.wait(), 0)
            assert time.monotonic() - before < cases.WAIT_S
        h.chappe("status")


def test_a_process_that_hangs_is_killed_at_last():
    with house(SMTPD) as h:
        h.start()
        c = master_house.Client(h.port)
        os.kill(c.pid, signal.SIGSTOP)
        h.stop()
        cases.contains(h.log(), "do not leave -- killed")
        h.chappe("status", status=1)


cases.main(globals())
