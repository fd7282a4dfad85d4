# SPDX-License-Identifier: GPL-3.0-or-later
"""smtpd without the rest of the suite: stand-ins for master, auth and qmgr,
which a test can make fail. For what can't be seen in a whole instance."""

import os
import secrets
import socket
import threading

import certificate
import ipc
import keys

DOMAIN = "chappe.test"
USERS = ("alice", "boris")


class Neighbour:
    """A private service: every request of every connection goes to answer,
    which gives (type, fields), or None for no answer at all."""

    def __init__(self, house, name, answer):
        self.answer, self.requests = answer, []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.path.join(house.queue, "private", name)
        # The other end looks at who listens.
        if os.geteuid() == 0:
            os.seteuid(ipc.UID)
        self.listener.bind(path)
        self.listener.listen(100)
        if os.geteuid() != os.getuid():
            os.seteuid(0)
        self.connections = []
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            channel = ipc.Channel(sock, greet=False)
            sock.settimeout(None)
            self.connections.append(channel)
            channel.send("MSG_HELLO", [("F_CREDIT", 1000)])
            threading.Thread(target=self._serve, args=(channel,),
                             daemon=True).start()

    def _serve(self, channel):
        while True:
            try:
                m = channel.receive()
            except OSError:
                return
            if m is None:
                return
            self.requests.append(m)
            reply = self.answer(m)
            if reply is None or m.ident == 0:
                continue
            try:
                channel.send(reply[0], reply[1], m.ident, m.trace)
            except OSError:
                return  # whoever asked is gone

    def close(self):
        if self.listener.fileno() < 0:
            return
        # Whoever is about to wait in accept would go on with the
        # descriptor's next use: that of another case, with its passwords.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()
        self.listener.close()
        for c in self.connections:
            c.close()


class Users:
    """An auth daemon that knows alice and boris."""

    def __init__(self):
        self.passwords = {u: secrets.token_urlsafe(9) for u in USERS}
        self.silent = self.failing = False
        self.sessions = {}

    def answer(self, m):
        if self.silent:
            return None
        if self.failing:
            return self._error(0, "4.3.0", "out of order")
        if m.name == "MSG_USER":
            return self._user(m.text("F_USER"))
        if m.name == "MSG_AUTH":
            return self._begin(m)
        if m.name == "MSG_AUTH_STEP":
            return self._step(m)
        return self._error(1, "5.5.1", "unknown request")

    @staticmethod
    def _error(kind, dsn, text):
        return "MSG_ERROR", [("F_ERR_KIND", kind), ("F_DSN", dsn),
                             ("F_TEXT", text)]

    @staticmethod
    def _user(name):
        if name not in USERS and name != "root":
            return "MSG_USER_INFO", [("F_FOUND", 0)]
        return "MSG_USER_INFO", [
            ("F_FOUND", 1), ("F_UID", 1000), ("F_GID", 1000),
            ("F_USER", name), ("F_HOME", "/nonexistent"), ("F_MAIL", "")]

    def _verdict(self, user, password):
        if self.passwords.get(user) == password:
            return "MSG_AUTH_DONE", [("F_USER", user)]
        return self._error(1, "5.7.8", "wrong name or password")

    def _challenge(self, data, state):
        number = len(self.sessions) + 1
        self.sessions[number] = state
        return "MSG_AUTH_CHALLENGE", [("F_SESSION", number),
                                      ("F_DATA", data)]

    def _begin(self, m):
        mechanism, data = m.text("F_MECH").upper(), m.get("F_DATA")
        if mechanism == "PLAIN" and data is not None:
            return self._plain(data)
        if mechanism == "PLAIN":
            return self._challenge(b"", ("PLAIN",))
        if mechanism == "LOGIN":
            return self._challenge(b"Username:", ("LOGIN",))
        return self._error(1, "5.7.8", "no such mechanism")

    def _step(self, m):
        state, data = self.sessions[m.number("F_SESSION")], m.get("F_DATA")
        if state[0] == "PLAIN":
            return self._plain(data)
        if len(state) == 1:
            return self._challenge(b"Password:", state + (data.decode(),))
        return self._verdict(state[1], data.decode())

    def _plain(self, data):
        parts = data.split(b"\0")
        if len(parts) != 3:
            return self._error(1, "5.7.8", "malformed")
        return self._verdict(parts[1].decode("utf-8", "replace"),
                             parts[2].decode("utf-8", "replace"))


class Smtpd(ipc.Daemon):
    """One smtpd on an inet listener of its own."""

    keyless = False  # master has no certificate

    def __init__(self, house, tls, keyless=False, **more):
        self.tls, self.keyless = tls, keyless
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port = self.listener.getsockname()[1]
        self.program, self.service, self.house = "smtpd", "smtp", house
        self.start(kind="inet", before=self._master, **more)

    def _master(self, control):
        control.send("MSG_SLOT", [("F_SLOT", self.listener.fileno() % 200)])
        pem = b""
        for n in ("key", "pem"):
            with open(os.path.join(self.tls, "localhost." + n), "rb") as f:
                pem += f.read()
        fds = [keys.memory(os.urandom(240)),
               keys.memory(keys.encode((keys.CHAIN, "localhost", pem)))]
        control.send("MSG_TICKET_KEYS", fds=fds[:1])
        control.send("MSG_KEYS", fds=[] if self.keyless else fds[1:])
        for fd in fds:
            os.close(fd)


class Place:
    """A house with neighbours; smtpds are started in it as wanted."""

    def __init__(self, **conf):
        self.house = ipc.House()
        self.tls = self.house.path("tls")
        certificate.make(self.tls)
        h = self.house
        self._write("conf/aliases", "postmaster: root\n")
        conf.setdefault("smtpd_peername_lookup", "no")
        conf.setdefault("smtpd_relay_restrictions", "permit_mynetworks, "
                        "permit_sasl_authenticated, "
                        "reject_unauth_destination")
        h.configure(myhostname=DOMAIN, mynetworks="127.0.0.1/32",
                    alias_maps="texthash:" + h.path("conf/aliases"),
                    maillog_file=h.path("mail.log"), **conf)
        for name in ("incoming", "active", "deferred", "hold", "corrupt"):
            for digit in "0123456789ABCDEF":
                os.makedirs(os.path.join(h.queue, name, digit))
        os.mkdir(os.path.join(h.queue, "memory"))
        if os.geteuid() == 0:
            for folder, _, files in os.walk(h.queue):
                os.chown(folder, ipc.UID, ipc.UID)
        self.users = Users()
        self.auth = Neighbour(h, "auth", self.users.answer)
        self.qmgr = Neighbour(h, "qmgr", lambda m: ("MSG_OK", []))
        self.log = ipc.Daemon("log", h)
        self.daemons = []

    def log_text(self):
        try:
            with open(self.house.path("mail.log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def _write(self, name, text):
        with open(self.house.path(name), "w") as f:
            f.write(text)
        os.chmod(self.house.path(name), 0o644)

    def smtpd(self, *overrides, **more):
        d = Smtpd(self.house, self.tls, overrides=overrides, **more)
        self.daemons.append(d)
        return d

    def queued(self):
        """The files of sealed messages."""
        return [os.path.join(folder, f)
                for folder, _, files in
                os.walk(os.path.join(self.house.queue, "active"))
                for f in files]

    def environment(self, **daemons):
        """What an instance would have; daemons by service name."""
        env = {"SMTP_HOST": "localhost", "MAIL_DOMAIN": DOMAIN,
               "CA_FILE": os.path.join(self.tls, "ca.pem")}
        for name, d in daemons.items():
            env[name.upper() + "_PORT"] = str(d.port)
        for n, user in enumerate(USERS, 1):
            env["USER%d" % n] = user
            env["PASS%d" % n] = self.users.passwords[user]
        return env

    def close(self):
        for d in self.daemons:
            d.close()
        self.log.close()
        self.auth.close()
        self.qmgr.close()
        self.house.remove()
