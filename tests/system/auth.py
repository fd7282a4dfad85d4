#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The auth daemon by itself: users, logins, tickets, workers, PAM."""
# timeout: 180

import base64
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import ipc  # noqa: E402


def crypted(kind, password):
    """crypt(3)'s text, made by another implementation."""
    return cases.run(["openssl", "passwd", kind, password]).stdout.strip()


def salted(name, password):
    digest = hashlib.new(name, password.encode() + b"salt").digest()
    return base64.b64encode(digest + b"salt").decode()


USERS = """\
# users of this test
alice:{PLAIN}secret:1001:1002:Alice:/home/alice::userdb_mail=maildir:~/M x=y
bob@virtual.test:{SSHA256}%(ssha256)s:1003:1003::/home/bob
carol:{SHA512-CRYPT}%(crypt)s:1004:1004::/home/carol
dave:%(md5)s:1005:1005::/home/dave
erin:{SSHA512}%(ssha512)s:1006:1006::/home/erin
nopass::1007:1007::/home/nopass
odd:{ROT13}frperg:1008:1008::/home/odd
root2:{PLAIN}secret:0:0::/root
plain:{PLAIN}secret
broken:{PLAIN}secret:abc:1::/
"""


@contextlib.contextmanager
def house(users=None, **conf):
    h = ipc.House()
    if users is None:
        users = USERS % {
            "ssha256": salted("sha256", "secret"),
            "ssha512": salted("sha512", "secret"),
            "crypt": crypted("-6", "secret"),
            "md5": crypted("-1", "secret")}
    write_users(h, users)
    conf.setdefault("auth_passdb", "passwd-file:" + h.path("users"))
    conf.setdefault("auth_userdb",
                    "passwd-file:%s, passwd" % h.path("users"))
    conf.setdefault("auth_failure_delay", "1s")
    conf.setdefault("auth_worker_max_count", "2")
    h.configure(**conf)
    h.daemon = ipc.Daemon("auth", h)
    h.channel = h.daemon.connect()
    try:
        yield h
    finally:
        h.daemon.close()
        h.remove()


def write_users(h, text):
    path = h.path("users")
    with open(path + ".new", "w") as f:
        f.write(text)
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)


def user(h, name):
    return h.channel.call("MSG_USER", [("F_USER", name)])


def auth(h, mech, data=None, service="smtp", channel=None, addr="192.0.2.9"):
    fields = [("F_MECH", mech), ("F_SERVICE", service), ("F_ADDR", addr),
              ("F_SECURED", 1)]
    if data is not None:
        fields.append(("F_DATA", data))
    return (channel or h.channel).call("MSG_AUTH", fields)


def plain(h, name, password, **more):
    return auth(h, "PLAIN", "\0%s\0%s" % (name, password), **more)


def refused(m, dsn="5.7.8", why=None):
    """The exchange failed; or, with another code, there was none."""
    name = "MSG_AUTH_FAILED" if dsn == "5.7.8" else "MSG_ERROR"
    cases.equal((m.name, m.number("F_ERR_KIND"), m.text("F_DSN")),
                (name, 1, dsn))
    if why is not None:
        cases.equal(m.text("F_TEXT"), why)


def no_ticket(m):
    cases.equal((m.name, m.number("F_ERR_KIND"), m.text("F_DSN")),
                ("MSG_ERROR", 1, "5.7.8"))


def later(m, dsn="4.7.0"):
    cases.equal((m.number("F_ERR_KIND"), m.text("F_DSN")), (0, dsn))
    cases.contains(("MSG_ERROR", "MSG_AUTH_FAILED"), m.name)


def test_users_of_the_file():
    with house() as h:
        m = user(h, "alice")
        cases.equal((m.name, m.number("F_FOUND"), m.number("F_UID"),
                     m.number("F_GID"), m.text("F_HOME"), m.text("F_MAIL")),
                    ("MSG_USER_INFO", 1, 1001, 1002, "/home/alice",
                     "maildir:~/M"))
        m = user(h, "bob@virtual.test")
        cases.equal((m.number("F_FOUND"), m.text("F_MAIL")), (1, None))
        m = user(h, "plain")
        cases.equal((m.number("F_FOUND"), m.number("F_UID")), (1, ipc.UID))


def test_users_of_the_system():
    with house() as h:
        m = user(h, "root")
        cases.equal((m.number("F_FOUND"), m.number("F_UID"),
                     m.text("F_HOME")), (1, 0, "/root"))
        for name in ("no-such-user", "root@virtual.test", "a/b", "..",
                     "x\0y", "x\ny", "y" * 300, "broken", "-root"):
            m = user(h, name)
            cases.equal((m.name, m.number("F_FOUND")), ("MSG_USER_INFO", 0),
                        repr(name))


def test_every_scheme():
    with house() as h:
        for name in ("alice", "bob@virtual.test", "carol", "dave", "erin",
                     "ALICE"):
            m = plain(h, name, "secret")
            cases.equal((m.name, m.text("F_USER"), m.get("F_TICKET")),
                        ("MSG_AUTH_DONE", name.lower(), None))
        later(plain(h, "odd", "secret"))


def test_wrong_credentials_wait():
    with house() as h:
        for name, password in (("alice", "Secret"), ("alice", "secret2"),
                               ("carol", "wrong"), ("dave", "wrong"),
                               ("erin", "wrong"), ("nobody", "secret"),
                               ("nopass", ""), ("nopass", "x"),
                               ("root2", "secret"), ("a/b", "secret")):
            start = time.monotonic()
            refused(plain(h, name, password, addr="127.0.0.1"))
            took = time.monotonic() - start
            assert 0.95 <= took < 5, (name, took)


def test_failures_slow_a_client_down():
    def attempt(channel, ident, addr, user, password="wrong"):
        channel.send("MSG_AUTH", [
            ("F_MECH", "PLAIN"), ("F_SERVICE", "smtp"), ("F_ADDR", addr),
            ("F_DATA", "\0%s\0%s" % (user, password))], ident=ident)

    # Whose answer comes first tells who waits longer, on a busy machine too.
    with house(auth_failure_delay="1s") as h:
        for least in (0.9, 1.9, 3.9):
            start = time.monotonic()
            refused(plain(h, "alice", "wrong"))
            assert time.monotonic() - start >= least
        # The others are served meanwhile: a right password at once, one who
        # fails for the first time after the shortest delay.
        both = h.daemon.connect()
        attempt(both, 1, "192.0.2.9", "alice")
        attempt(both, 2, "198.51.100.1", "bob")
        attempt(both, 3, "203.0.113.1", "alice", "secret")
        cases.equal([both.receive().ident for _ in range(3)], [3, 2, 1])
        # A success forgives: it fails for the first time again, and
        # the other one for the second.
        cases.equal(plain(h, "alice", "secret").name, "MSG_AUTH_DONE")
        attempt(both, 1, "198.51.100.1", "bob")
        attempt(both, 2, "192.0.2.9", "alice")
        cases.equal([both.receive().ident for _ in range(2)], [2, 1])


def test_waiting_refusals_keep_nobody_out():
    with house(auth_failure_delay="15s") as h:
        flood = h.daemon.connect()
        for i in range(5200):
            flood.send("MSG_AUTH", [
                ("F_MECH", "PLAIN"), ("F_SERVICE", "smtp"),
                ("F_ADDR", "10.0.%d.%d" % (i >> 8, i & 255)),
                ("F_DATA", "\0alice\0wrong")], ident=i + 1)
        start = time.monotonic()
        cases.equal(plain(h, "alice", "secret",
                          channel=h.daemon.connect()).name, "MSG_AUTH_DONE")
        assert time.monotonic() - start < 8
        # Those beyond the most that may wait are answered at once.
        refused(flood.receive())


def test_plain_in_steps():
    with house() as h:
        m = auth(h, "PLAIN")
        cases.equal((m.name, m.get("F_DATA")), ("MSG_AUTH_CHALLENGE", b""))
        m = h.channel.call("MSG_AUTH_STEP", [
            ("F_SESSION", m.number("F_SESSION")),
            ("F_DATA", "\0alice\0secret")])
        cases.equal(m.name, "MSG_AUTH_DONE")
        # Acting for another is refused; for oneself it is the same.
        m = auth(h, "PLAIN", "alice\0alice\0secret")
        cases.equal(m.name, "MSG_AUTH_DONE")
        refused(auth(h, "PLAIN", "bob\0alice\0secret"))
        refused(auth(h, "PLAIN", "nonsense"))
        refused(auth(h, "CRAM-MD5"), "5.7.4")


def test_login_in_steps():
    with house() as h:
        m = auth(h, "login")
        cases.equal((m.name, m.get("F_DATA")),
                    ("MSG_AUTH_CHALLENGE", b"Username:"))
        session = m.number("F_SESSION")
        # Another connection can't take the exchange over.
        other = h.daemon.connect()
        later(other.call("MSG_AUTH_STEP", [("F_SESSION", session),
                                           ("F_DATA", "alice")]))
        m = h.channel.call("MSG_AUTH_STEP", [("F_SESSION", session),
                                             ("F_DATA", "alice")])
        cases.equal(m.get("F_DATA"), b"Password:")
        m = h.channel.call("MSG_AUTH_STEP", [("F_SESSION", session),
                                             ("F_DATA", "secret")])
        cases.equal((m.name, m.text("F_USER")), ("MSG_AUTH_DONE", "alice"))
        later(h.channel.call("MSG_AUTH_STEP", [("F_SESSION", session),
                                               ("F_DATA", "secret")]))


def test_a_cancelled_exchange_is_gone():
    with house() as h:
        session = auth(h, "LOGIN").number("F_SESSION")
        h.channel.send("MSG_AUTH_CANCEL", [("F_SESSION", session)])
        later(h.channel.call("MSG_AUTH_STEP", [("F_SESSION", session),
                                               ("F_DATA", "alice")]))


def test_tickets():
    with house() as h:
        pid = os.getpid()
        ticket = plain(h, "alice", "secret", service="imap").get("F_TICKET")
        cases.equal(len(ticket), 16)

        def redeem(ticket, pid):
            return h.channel.call("MSG_TICKET", [("F_TICKET", ticket),
                                                 ("F_PID", pid)])
        m = redeem(ticket, pid)
        cases.equal((m.name, m.text("F_USER"), m.number("F_FOUND"),
                     m.number("F_UID"), m.text("F_HOME")),
                    ("MSG_USER_INFO", "alice", 1, 1001, "/home/alice"))
        no_ticket(redeem(ticket, pid))
        ticket = plain(h, "alice", "secret", service="imap").get("F_TICKET")
        no_ticket(redeem(ticket, pid + 1))
        no_ticket(redeem(ticket, pid))
        no_ticket(redeem(b"x" * 16, pid))


def test_a_changed_file_is_noticed():
    with house(auth_cache_ttl="0") as h:
        cases.equal(user(h, "zoe").number("F_FOUND"), 0)
        write_users(h, "zoe:{PLAIN}new:1010:1010::/home/zoe\n")
        cases.equal(user(h, "zoe").number("F_UID"), 1010)
        cases.equal(plain(h, "zoe", "new").name, "MSG_AUTH_DONE")
        refused(plain(h, "alice", "secret"))


def test_verified_logins_are_remembered():
    with house(auth_cache_ttl="60s") as h:
        cases.equal(plain(h, "carol", "secret").name, "MSG_AUTH_DONE")
        write_users(h, "carol:{PLAIN}other:1004:1004::/home/carol\n")
        cases.equal(plain(h, "carol", "secret").name, "MSG_AUTH_DONE")
        refused(plain(h, "carol", "wrong"))


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)],
                         capture_output=True, text=True).stdout
    return [int(p) for p in out.split()]


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_workers_are_replaced():
    with house() as h:
        nursery, = children(h.daemon.process.pid)
        workers = cases.wait_for("two workers",
                                 lambda: children(nursery)[1:] and
                                 children(nursery))
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        cases.wait_for("new workers", lambda: len(
            [p for p in children(nursery) if p not in workers]) == 2)
        for _ in range(4):
            cases.equal(user(h, "root").number("F_UID"), 0)


def test_all_processes_end_in_order():
    with house() as h:
        nursery, = children(h.daemon.process.pid)
        everyone = [nursery] + children(nursery)
        h.channel.send("MSG_AUTH", [("F_MECH", "PLAIN"),
                                    ("F_SERVICE", "smtp"),
                                    ("F_ADDR", "192.0.2.9"),
                                    ("F_DATA", "\0alice\0wrong")], ident=77)
        h.daemon.control.send("MSG_LEAVE")
        while True:
            m = h.channel.receive()
            if m.ident == 77:
                break
        refused(m)
        cases.equal(h.daemon.wait(), 0)
        cases.wait_for("the workers' end",
                       lambda: not any(alive(p) for p in everyone))


def test_killed_it_leaves_no_worker():
    with house() as h:
        nursery, = children(h.daemon.process.pid)
        everyone = [nursery] + children(nursery)
        h.daemon.kill()
        cases.wait_for("the workers' end",
                       lambda: not any(alive(p) for p in everyone))


def test_damaged_requests_close_only_their_connection():
    with house() as h:
        for name, fields in (("MSG_USER", []), ("MSG_TICKET", []),
                             ("MSG_AUTH", [("F_MECH", "X" * 100)]),
                             ("MSG_AUTH", [("F_MECH", "PLAIN"),
                                           ("F_DATA", b"x" * 20000)])):
            bad = h.daemon.connect()
            bad.send(name, fields, ident=1)
            cases.equal(bad.receive(), None)
        cases.equal(user(h, "alice").number("F_FOUND"), 1)


def test_bad_settings_are_refused_at_start():
    for conf, text in (
            ({"auth_passdb": "ldap"}, 'auth_passdb: "ldap" is not one of: '
             "passwd-file:/path, pam, pam:service"),
            ({"auth_userdb": "pam"}, 'auth_userdb: "pam" is not one of: '
             "passwd-file:/path, passwd"),
            ({"auth_worker_max_count": "0"}, "auth_worker_max_count")):
        h = ipc.House()
        h.configure(**conf)
        d = ipc.Daemon("auth", h, wait=False)
        cases.equal(d.wait() != 0, True)
        cases.contains(d.stderr, text)
        d.close()
        h.remove()


def test_a_missing_file_is_temporary():
    with house() as h:
        os.unlink(h.path("users"))
        h.daemon.close()
        h.daemon.listener.close()
        os.unlink(h.daemon.path)
        h.daemon = ipc.Daemon("auth", h)
        h.channel = h.daemon.connect()
        m = user(h, "alice")
        cases.equal((m.name, m.number("F_ERR_KIND")), ("MSG_ERROR", 0))
        later(plain(h, "alice", "secret"))


PAM = """\
auth [success=1 default=ignore] pam_exec.so expose_authtok quiet /bin/grep -qzx pampass
auth requisite pam_deny.so
auth required pam_permit.so
account required pam_succeed_if.so quiet user != backup
"""


def in_namespace():
    """What test_pam runs in its own mount namespace, where /etc/pam.d has
    just our file."""
    with house(auth_passdb="passwd-file:%s, pam" % "/nonexistent/users") as h:
        later(plain(h, "man", "pampass"))
    with house(auth_passdb="pam", first_valid_uid="1") as h:
        cases.equal(plain(h, "man", "pampass").text("F_USER"), "man")
        refused(plain(h, "man", "wrong"))
        refused(plain(h, "backup", "pampass"))
        refused(plain(h, "no-such-user", "pampass"))
    with house(auth_passdb="pam:nothing") as h:
        start = time.monotonic()
        refused(plain(h, "man", "pampass"))
        assert time.monotonic() - start < 20


def test_pam():
    if os.environ.get("IN_NAMESPACE"):
        in_namespace()
        return
    with tempfile.TemporaryDirectory() as pam:
        os.chmod(pam, 0o755)
        for name, text in (("chappe", PAM), ("other",
                           "auth required pam_deny.so\n"
                           "account required pam_deny.so\n")):
            with open(os.path.join(pam, name), "w") as f:
                f.write(text)
            os.chmod(os.path.join(pam, name), 0o644)
        flags = ["-m"] if os.geteuid() == 0 else ["-rm"]
        done = subprocess.run(
            ["unshare"] + flags + ["sh", "-c",
             'mount --bind "$1" /etc/pam.d && exec "$2" "$3" pam', "sh",
             pam, sys.executable, os.path.abspath(__file__)],
            env=dict(os.environ, IN_NAMESPACE="1"), capture_output=True,
            text=True)
        if "unshare failed" in done.stderr or "mount:" in done.stderr:
            raise cases.Skip("no mount namespace to be had here")
        cases.equal((done.returncode, done.stdout), (0, "ok pam\n"),
                    done.stderr)


if os.environ.get("IN_NAMESPACE"):
    sys.argv = [sys.argv[0], "pam"]
cases.main(globals())
