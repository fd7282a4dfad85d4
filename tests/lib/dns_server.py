#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An authoritative name server for tests, on loopback.

    dns_server.py [--address A] [--port N] [--log FILE] ZONE-FILE [RECORD]...

Prints `PORT` and then serves UDP and TCP until it is ended. A record, one a
line of the file (`#` begins a comment) or one an argument:

    NAME A 192.0.2.1                NAME AAAA 2001:db8::1
    NAME MX 10 mail.example.test    NAME TXT some text
    NAME PTR host.example.test      NAME CNAME other.example.test
    NAME NS ns.example.test         NAME SOA ... (served as empty)
    NAME NXDOMAIN | SERVFAIL | REFUSED | DROP

`.` as the exchange of MX is the null MX. A name with no record is NXDOMAIN
unless names below it exist. The file is read anew when it changes, so a test
may change the zone. Each query is a line `NAME TYPE` in the log. Used as a
module: `with Server(records) as s: s.port`.
"""

import argparse
import ipaddress
import os
import socket
import socketserver
import struct
import sys
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15,
         "TXT": 16, "AAAA": 28}
NAMES = {number: name for name, number in TYPES.items()}
FAULTS = {"SERVFAIL": 2, "NXDOMAIN": 3, "REFUSED": 5, "DROP": None}
TTL = 1


def pack_name(name):
    out = b""
    for label in name.rstrip(".").split("."):
        if label:
            out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def unpack_name(data, at):
    labels = []
    while data[at]:
        n = data[at]
        labels.append(data[at + 1:at + 1 + n].decode("latin-1"))
        at += 1 + n
    return ".".join(labels).lower(), at + 1


def pack_rdata(kind, value):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind in ("PTR", "CNAME", "NS"):
        return pack_name(value)
    if kind == "MX":
        preference, host = value.split()
        return struct.pack(">H", int(preference)) + pack_name(host)
    data = value.encode()
    parts = [data[i:i + 255] for i in range(0, len(data), 255)] or [b""]
    return b"".join(bytes([len(p)]) + p for p in parts)


class Zone:
    def __init__(self, path=None, records=(), log=None):
        self.path, self.extra, self.log = path, list(records), log
        self.changed = None
        self.lock = threading.Lock()
        self.records = {}
        self.queries = []
        self.load()

    def load(self):
        lines = list(self.extra)
        if self.path:
            st = os.stat(self.path)
            stamp = (st.st_mtime_ns, st.st_size, st.st_ino)
            if stamp == self.changed:
                return
            self.changed = stamp
            with open(self.path) as f:
                lines += f.read().splitlines()
        records = {}
        for line in lines:
            parts = line.split("#")[0].split(None, 2)
            if not parts:
                continue
            name, kind = parts[0].rstrip(".").lower(), parts[1].upper()
            value = parts[2].strip() if len(parts) > 2 else ""
            records.setdefault(name, []).append((kind, value))
        self.records = records

    def set(self, records):
        """Replaces the records given at the start."""
        with self.lock:
            self.extra, self.changed = list(records), None
            self.load()

    def exists(self, name):
        return name in self.records or any(
            n.endswith("." + name) for n in self.records)

    def find(self, name, kind):
        """(rcode or None to drop, [(owner, type, value)])."""
        answers = []
        for _ in range(10):
            rows = self.records.get(name, [])
            for row_kind, _ in rows:
                if row_kind in FAULTS:
                    return FAULTS[row_kind], answers
            found = [(name, k, v) for k, v in rows if k == kind]
            if found:
                return 0, answers + found
            alias = [v for k, v in rows if k == "CNAME"]
            if not alias:
                return (0 if self.exists(name) else 3), answers
            answers.append((name, "CNAME", alias[0]))
            name = alias[0].rstrip(".").lower()
        return 2, []

    def answer(self, query, limit):
        ident, flags, questions = struct.unpack(">HHH", query[:6])
        name, at = unpack_name(query, 12)
        number, = struct.unpack(">H", query[at:at + 2])
        kind = NAMES.get(number, str(number))
        with self.lock:
            self.load()
            self.queries.append((name, kind))
            if self.log:
                with open(self.log, "a") as f:
                    f.write("%s %s\n" % (name, kind))
            rcode, found = self.find(name, kind)
        if rcode is None:
            return None
        body = b"".join(
            pack_name(owner) + struct.pack(">HHIH", TYPES[k], 1, TTL, len(d))
            + d for owner, k, d in
            ((o, k, pack_rdata(k, v)) for o, k, v in found))
        authority = b""
        if not any(k == kind for _, k, _ in found):
            data = pack_name("ns.invalid") + pack_name("root.invalid") + \
                struct.pack(">IIIII", 1, 60, 60, 60, TTL)
            authority = b"\0" + struct.pack(">HHIH", 6, 1, TTL,
                                            len(data)) + data
        reply = 0x8480 | (flags & 0x0100) | rcode
        counts = struct.pack(">HHHH", 1, len(found), 1 if authority else 0, 0)
        head = struct.pack(">HH", ident, reply) + counts
        whole = head + query[12:at + 4] + body + authority
        if len(whole) > limit:
            return struct.pack(">HH", ident, reply | 0x0200) + \
                struct.pack(">HHHH", 1, 0, 0, 0) + query[12:at + 4]
        return whole


class Server:
    def __init__(self, records=(), path=None, address="127.0.0.1", port=0,
                 log=None):
        self.zone = zone = Zone(path, records, log)

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                reply = zone.answer(data, 512)
                if reply:
                    sock.sendto(reply, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self):
                while True:
                    head = self.rfile.read(2)
                    if len(head) < 2:
                        return
                    data = self.rfile.read(struct.unpack(">H", head)[0])
                    reply = zone.answer(data, 65535)
                    if reply:
                        self.wfile.write(struct.pack(">H", len(reply)) +
                                         reply)

        class UdpServer(socketserver.ThreadingUDPServer):
            daemon_threads = True

        class TcpServer(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        if ":" in address:
            UdpServer.address_family = TcpServer.address_family = \
                socket.AF_INET6
        for _ in range(50):
            self.tcp = TcpServer((address, port), Tcp)
            self.port = self.tcp.server_address[1]
            try:
                self.udp = UdpServer((address, self.port), Udp)
                break
            except OSError:
                self.tcp.server_close()
                if port:
                    raise
        self.threads = [threading.Thread(target=s.serve_forever,
                                         kwargs={"poll_interval": 0.1},
                                         daemon=True)
                        for s in (self.udp, self.tcp)]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        for s in (self.udp, self.tcp):
            s.shutdown()
            s.server_close()

    __enter__ = start

    def __exit__(self, *unused):
        self.stop()


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--address", default="127.0.0.1")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--log")
    p.add_argument("zone", help="file of records; - for none")
    p.add_argument("records", nargs="*")
    o = p.parse_args()
    server = Server(o.records, None if o.zone == "-" else o.zone, o.address,
                    o.port, o.log).start()
    print(server.port, flush=True)
    try:
        server.threads[0].join()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
