#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resolver by itself, against a name server on loopback."""
# timeout: 180

import contextlib
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import dns_server  # noqa: E402
import ipc  # noqa: E402

T = dns_server.TYPES
ZONE = [
    "example.test MX 20 backup.example.test",
    "example.test MX 10 mail.example.test",
    "mail.example.test A 192.0.2.1",
    "mail.example.test A 192.0.2.2",
    "mail.example.test AAAA 2001:db8::1",
    "alias.test CNAME mail.example.test",
    "null.test MX 0 .",
    "txt.test TXT v=spf1 -all",
    "long.test TXT " + "x" * 3000,
    "1.2.0.192.in-addr.arpa PTR mail.example.test",
    "broken.test SERVFAIL",
    "silent.test DROP",
]


@contextlib.contextmanager
def house(zone=(), dns=None, **conf):
    h = ipc.House()
    dns = dns or dns_server.Server(zone or ZONE)
    with dns as h.dns:
        conf.setdefault("resolver_forward", "127.0.0.1@%d" % h.dns.port)
        conf.setdefault("resolver_trust_anchor", "")
        h.configure(**conf)
        h.daemon = ipc.Daemon("resolver", h)
        h.channel = h.daemon.connect()
        try:
            yield h
        finally:
            h.daemon.close()
            h.remove()


def ask(h, name, kind, flags=0):
    return h.channel.call("MSG_DNS", [
        ("F_NAME", name), ("F_RRTYPE", T[kind]), ("F_FLAGS", flags)])


def addresses(m):
    return sorted(socket.inet_ntop(
        socket.AF_INET if len(a) == 4 else socket.AF_INET6, a)
        for a in m.all("F_RR"))


def test_records():
    with house() as h:
        m = ask(h, "example.test", "MX")
        cases.equal((m.name, m.number("F_RCODE"), m.number("F_SECURE")),
                    ("MSG_DNS_ANSWER", 0, 0))
        cases.equal(sorted(m.all("F_RR")), [
            struct.pack(">H", 10) + dns_server.pack_name("mail.example.test"),
            struct.pack(">H", 20) +
            dns_server.pack_name("backup.example.test")])
        cases.equal(addresses(ask(h, "mail.example.test", "A")),
                    ["192.0.2.1", "192.0.2.2"])
        cases.equal(addresses(ask(h, "mail.example.test", "AAAA")),
                    ["2001:db8::1"])
        cases.equal(ask(h, "1.2.0.192.in-addr.arpa", "PTR").get("F_RR"),
                    dns_server.pack_name("mail.example.test"))
        cases.equal(ask(h, "txt.test", "TXT").get("F_RR"),
                    b"\x0bv=spf1 -all")
        cases.equal(ask(h, "null.test", "MX").get("F_RR"), b"\0\0\0")


def test_alias_is_followed():
    with house() as h:
        m = ask(h, "alias.test", "A")
        cases.equal(addresses(m), ["192.0.2.1", "192.0.2.2"])
        cases.equal(m.text("F_NAME").rstrip("."), "mail.example.test")


def test_long_answer_comes_by_tcp():
    with house() as h:
        data = ask(h, "long.test", "TXT").get("F_RR")
        cases.equal(data.count(b"x"), 3000)


def test_absent_and_empty_differ():
    with house() as h:
        m = ask(h, "nowhere.test", "A")
        cases.equal((m.number("F_RCODE"), m.get("F_RR")), (3, None))
        m = ask(h, "example.test", "AAAA")
        cases.equal((m.number("F_RCODE"), m.get("F_RR")), (0, None))


def test_failures_are_temporary():
    with house(resolver_timeout="3s") as h:
        m = ask(h, "broken.test", "A")
        cases.equal((m.name, m.number("F_RCODE")), ("MSG_DNS_ANSWER", 2))
        m = ask(h, "silent.test", "A")
        if m.name == "MSG_ERROR":
            cases.equal((m.number("F_ERR_KIND"), m.text("F_DSN")),
                        (0, "4.4.3"))
            cases.contains(m.text("F_TEXT"), "no answer in time")
        else:
            cases.equal(m.number("F_RCODE"), 2)
        # And the others are answered meanwhile and after.
        cases.equal(addresses(ask(h, "mail.example.test", "AAAA")),
                    ["2001:db8::1"])


def test_many_at_a_time():
    zone = ["h%d.test A 192.0.2.%d" % (i, i) for i in range(200)]
    with house(zone) as h:
        for i in range(200):
            h.channel.send("MSG_DNS", [("F_NAME", "h%d.test" % i),
                                       ("F_RRTYPE", 1)], ident=i + 1)
        got = {}
        while len(got) < 200:
            m = h.channel.receive()
            got[m.ident] = addresses(m)
        cases.equal(got, {i + 1: ["192.0.2.%d" % i] for i in range(200)})


def test_hosts_file_only_where_wanted():
    h = None
    with house() as h:
        path = h.path("hosts")
        with open(path, "w") as f:
            f.write("# comment\n127.0.0.1 localhost\n::1 localhost ip6\n"
                    "192.0.2.77\tmail.example.test other # x\n")
        os.chmod(path, 0o644)
        h.daemon.leave()
        h.daemon.start(overrides=["resolver_hosts_file=" + path])
        h.channel = h.daemon.connect()
        cases.equal(addresses(ask(h, "mail.example.test", "A", 1)),
                    ["192.0.2.77"])
        cases.equal(addresses(ask(h, "mail.example.test", "A", 0)),
                    ["192.0.2.1", "192.0.2.2"])
        cases.equal(addresses(ask(h, "LocalHost", "A", 1)), ["127.0.0.1"])
        cases.equal(addresses(ask(h, "localhost", "AAAA", 1)), ["::1"])
        # A name that is there, without an address of this family: not DNS's.
        m = ask(h, "mail.example.test", "AAAA", 1)
        cases.equal((m.number("F_RCODE"), m.get("F_RR")), (0, None))
        cases.equal(ask(h, "77.2.0.192.in-addr.arpa", "PTR", 1).get("F_RR"),
                    dns_server.pack_name("mail.example.test"))


def test_new_name_servers_are_noticed():
    h = ipc.House()
    path = h.path("resolv.conf")
    with dns_server.Server(["a.test A 192.0.2.1"]) as one:
        def write(address):
            with open(path, "w") as f:
                f.write("search example\nnameserver %s\n" % address)
            os.chmod(path, 0o644)
        # resolv.conf has no ports: only a server on port 53 could answer.
        try:
            two = dns_server.Server(["a.test A 192.0.2.2"],
                                    address="127.0.0.153", port=53)
        except PermissionError:
            raise cases.Skip("port 53 is not ours to bind")
        write("127.0.0.154")
        h.configure(resolver_conf_file=path, resolver_trust_anchor="",
                    resolver_timeout="2s")
        with two:
            h.daemon = ipc.Daemon("resolver", h)
            h.channel = h.daemon.connect()
            m = ask(h, "b.example", "A")
            assert m.name == "MSG_ERROR" or m.number("F_RCODE") == 2
            two.zone.set(["b.example A 192.0.2.9"])
            write("127.0.0.153")
            cases.wait_for("the new server", lambda:
                           addresses(ask(h, "b.example", "A"))
                           == ["192.0.2.9"])
            h.daemon.close()
        h.remove()
        del one


def test_bad_requests_close_only_that_peer():
    with house() as h:
        for fields in ([], [("F_NAME", "x.test")], [("F_RRTYPE", 1)],
                       [("F_NAME", "x" * 300), ("F_RRTYPE", 1)],
                       [("F_NAME", "x.test"), ("F_RRTYPE", 70000)]):
            bad = h.daemon.connect()
            bad.send("MSG_DNS", fields, ident=1)
            cases.equal(bad.receive(), None)
        m = ask(h, "a..b", "A")
        assert m.name == "MSG_ERROR" or m.number("F_RCODE") != 0
        cases.equal(addresses(ask(h, "mail.example.test", "AAAA")),
                    ["2001:db8::1"])


def test_bad_forwarder_is_refused_at_start():
    h = ipc.House()
    h.configure(resolver_forward="127.0.0.1@99999")
    d = ipc.Daemon("resolver", h, wait=False)
    cases.equal(d.wait() != 0, True)
    cases.contains(d.stderr, "resolver_forward")
    d.close()
    h.remove()


def test_leaves_in_order():
    with house() as h:
        h.channel.send("MSG_DNS", [("F_NAME", "silent.test"),
                                   ("F_RRTYPE", 1)], ident=1)
        cases.equal(h.daemon.leave(), 0)


cases.main(globals())
