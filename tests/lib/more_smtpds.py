# SPDX-License-Identifier: GPL-3.0-or-later
"""Further SMTP servers in a running instance, each with parameters of its
own: lines for master.cf, and a reload."""

import os
import smtplib
import socket

import cases
import ports

_ports = ports.Ports()


def _greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.settimeout(cases.WAIT_S)
            return s.recv(3) in (b"220", b"554", b"421", b"451")
    except OSError:
        return False


def start(services, extra=()):
    """services: name -> {parameter: value}; name -> port."""
    taken = {name: _ports.take() for name in services}
    lines = list(extra)
    for name, options in services.items():
        lines.append("127.0.0.1:%d inet n - n - - smtpd\n" % taken[name] +
                     "  -o syslog_name=postfix/%s\n" % name +
                     "".join("  -o { %s = %s }\n" % pair
                             for pair in options.items()))
    with open(os.path.join(os.environ["CHAPPE_CONFIG"], "master.cf"),
              "a") as f:
        f.write("".join(line if line.endswith("\n") else line + "\n"
                        for line in lines))
    cases.run(["chappe", "reload"])
    for name, port in taken.items():
        cases.wait_for("the server %s" % name, lambda p=port: _greets(p))
    return taken


def session(port):
    s = smtplib.SMTP("127.0.0.1", port, timeout=cases.WAIT_S,
                     local_hostname="client.test")
    s.ehlo()
    return s
