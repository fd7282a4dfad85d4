#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o auth_passdb=passwd-file:$config_directory/people -o auth_userdb=passwd-file:$config_directory/people -o smtpd_sasl_mechanisms=SCRAM-SHA-256-PLUS,SCRAM-SHA-256,SCRAM-SHA-1-PLUS,SCRAM-SHA-1,OAUTHBEARER,XOAUTH2,PLAIN,LOGIN -o auth_mechanisms=SCRAM-SHA-256-PLUS,SCRAM-SHA-256,OAUTHBEARER,XOAUTH2,PLAIN -o auth_oauth2_keys=$config_directory/keys.json -o auth_oauth2_introspection=unix:$config_directory/introspect:/token -o auth_oauth2_issuers=https://id.test -o auth_oauth2_audience=mail -o auth_oauth2_scope=mail -o auth_failure_delay=0 -o auth_cache_ttl=0
# timeout: 240
"""Logging in by SCRAM, by tokens and with app passwords, from clients nobody
here wrote: gsasl, msmtp, curl, smtplib and imaplib."""

import base64
import hashlib
import hmac
import http.server
import imaplib
import json
import os
import re
import smtplib
import socketserver
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail as box  # noqa: E402
import smtp_session as mail  # noqa: E402

CONF = os.environ["CHAPPE_CONFIG"]
SECRET = b"0123456789abcdef0123456789abcdef"
DOMAIN = mail.DOMAIN
OTHER = mail.ADDRESSES[1]


def scram(name, scheme, password, salt=b"saltsaltsaltsalt", rounds=4096):
    """A stored key in Dovecot's form, by another implementation."""
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, rounds)
    client = hmac.new(salted, b"Client Key", name).digest()
    server = hmac.new(salted, b"Server Key", name).digest()
    return "{%s}%d,%s" % (scheme, rounds, ",".join(
        base64.b64encode(b).decode() for b in (
            salt, hashlib.new(name, client).digest(), server)))


def crypted(password):
    return cases.run(["openssl", "passwd", "-6", password]).stdout.strip()


def write_people():
    """The instance's users, each with another kind of password."""
    with open(os.path.join(CONF, "users")) as f:
        old = {line.split(":")[0]: line.rstrip("\n").split(":")
               for line in f if ":" in line}
    uid, gid = old[mail.USERS[0]][2:4]
    lines = [":".join(fields) + "\n" for fields in old.values()]
    home = os.path.join(os.environ["INSTANCE_DIR"], "home", "extra")
    for name, stored in (
            ("plain", "{PLAIN}secret"),
            ("s256", scram("sha256", "SCRAM-SHA-256", "secret")),
            ("s1", scram("sha1", "SCRAM-SHA-1", "secret")),
            ("crypt", "{SHA512-CRYPT}" + crypted("secret")),
            ("token", ""), ("phone", "{PLAIN}secret"),
            ("keyed", scram("sha256", "SCRAM-SHA-256", "secret"))):
        lines.append("%s:%s:%s:%s::%s::\n" % (name, stored, uid, gid, home))
    path = os.path.join(CONF, "people")
    with open(path + ".new", "w") as f:
        f.write("".join(lines))
    st = os.stat(os.path.join(CONF, "users"))
    os.chown(path + ".new", st.st_uid, st.st_gid)
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def write_keys():
    path = os.path.join(CONF, "keys.json")
    with open(path + ".new", "w") as f:
        json.dump({"keys": [{"kty": "oct", "kid": "k",
                             "k": url64(SECRET)}]}, f)
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)


def token(user, **more):
    claims = {"iss": "https://id.test", "aud": ["mail"], "scope": "mail",
              "exp": int(time.time()) + 300, "email": user}
    claims.update(more)
    text = "%s.%s" % (url64(b'{"alg":"HS256","kid":"k"}'),
                      url64(json.dumps(claims).encode()))
    mac = hmac.new(SECRET, text.encode(), hashlib.sha256).digest()
    return text + "." + url64(mac)


write_people()
write_keys()


# ---- gsasl: SCRAM, with channel binding ----

def gsasl(mechanism, user, password, protocol="smtp", port=None):
    """By STARTTLS, the only TLS that it knows."""
    argv = [box.partner("gsasl"), "--" + protocol, "--mechanism", mechanism,
            "--authentication-id", user, "--password", password,
            "--x509-ca-file", os.environ["CA_FILE"]]
    if not mechanism.endswith("-PLUS"):
        argv.append("--no-cb")
    argv += ["localhost", str(port or mail.port("submission"))]
    return subprocess.run(argv, input="", capture_output=True, text=True,
                          timeout=60)


def gsasl_works(mechanism, user, password="secret"):
    start = len(mail.log())
    done = gsasl(mechanism, user, password)
    assert done.returncode == 0, (done.stdout, done.stderr)
    mail.logged(r"auth\[\d+\]: login: user=<%s>, method=%s, rip=\S+, "
                r"service=smtp, TLS" % (user, re.escape(mechanism)), start)


def test_scram_sha_256():
    for user in ("s256", "plain"):
        gsasl_works("SCRAM-SHA-256", user)


def test_scram_sha_1():
    for user in ("s1", "plain"):
        gsasl_works("SCRAM-SHA-1", user)


def test_scram_sha_256_plus():
    for user in ("s256", "plain"):
        gsasl_works("SCRAM-SHA-256-PLUS", user)


def fails(mechanism, user, password, why):
    start = len(mail.log())
    done = gsasl(mechanism, user, password)
    assert done.returncode != 0, done.stdout
    mail.logged(r"warning: \S+: SASL %s authentication failed: %s, "
                r"sasl_username=%s$" % (re.escape(mechanism), why, user),
                start)


def test_scram_that_fails():
    fails("SCRAM-SHA-256", "s256", "wrong", "password mismatch")
    fails("SCRAM-SHA-256", "plain", "wrong", "password mismatch")
    fails("SCRAM-SHA-256", "nobody-here", "secret", "unknown user")
    fails("SCRAM-SHA-256", "crypt", "secret", "no SCRAM key for the user")
    fails("SCRAM-SHA-1", "s256", "secret", "no SCRAM key for the user")


def server_first(user, mechanism="SCRAM-SHA-256"):
    with mail.smtp("submissions") as s:
        s.ehlo()
        first = base64.b64encode(b"n,,n=%s,r=abc" % user.encode()).decode()
        code, text = s.docmd("AUTH", "%s %s" % (mechanism, first))
        cases.equal(code, 334)
        s.docmd("*")
        return dict(part.split("=", 1) for part in
                    base64.b64decode(text).decode().split(","))


def test_unknown_users_have_a_salt_that_stays():
    known, other = server_first("plain"), server_first("nobody-here")
    for user, first in (("plain", known), ("nobody-here", other)):
        again = server_first(user)
        cases.equal(again["s"], first["s"])
        assert again["r"] != first["r"]
        assert first["r"].startswith("abc")
    assert known["s"] != other["s"]
    # Nothing tells one kind from the other.
    cases.equal((len(known["s"]), known["i"]), (len(other["s"]), other["i"]))
    cases.equal(server_first("s256")["i"], "4096")


def test_a_downgrade_is_noticed():
    """The client could bind and was shown no -PLUS: somebody is between."""
    start = len(mail.log())
    with mail.smtp("submissions") as s:
        s.ehlo()
        first = base64.b64encode(b"y,,n=s256,r=abc").decode()
        cases.equal(s.docmd("AUTH", "SCRAM-SHA-256 " + first)[0], 535)
        first = base64.b64encode(b"p=tls-exporter,,n=s256,r=abc").decode()
        cases.equal(s.docmd("AUTH", "SCRAM-SHA-256 " + first)[0], 535)
    mail.logged(r"SASL SCRAM-SHA-256 authentication failed: channel binding "
                r"downgrade detected$", start)
    mail.logged(r"SASL SCRAM-SHA-256 authentication failed: channel binding "
                r"without -PLUS$", start)


# ---- msmtp ----

def msmtp(mechanism, user, secret):
    word = mail.token()
    text = "From: %s@%s\r\nSubject: %s\r\n\r\nx\r\n" % (user, DOMAIN, word)
    done = subprocess.run(
        [box.partner("msmtp"), "--host=localhost",
         "--port=%d" % mail.port("submissions"), "--tls=on",
         "--tls-starttls=off", "--tls-trust-file=" + os.environ["CA_FILE"],
         "--auth=" + mechanism, "--user=" + user,
         "--passwordeval=echo " + secret, "--from=%s@%s" % (user, DOMAIN),
         "--file=/dev/null", OTHER], input=text, capture_output=True,
        text=True, timeout=60)
    return word, done


def test_msmtp():
    for mechanism, user, secret in (
            ("scram-sha-256", "s256", "secret"),
            ("scram-sha-256", "plain", "secret"),
            ("scram-sha-1", "s1", "secret"),
            ("plain", "s256", "secret"), ("login", "s1", "secret"),
            ("oauthbearer", "token", token("token")),
            ("xoauth2", "token", token("token"))):
        word, done = msmtp(mechanism, user, secret)
        assert done.returncode == 0, (mechanism, done.stderr)
        mail.delivered(mail.MAILBOXES[1], word)


# ---- tokens ----

def curl(user, bearer, mechanism, ok=True, service="submissions"):
    word = mail.token()
    scheme, path = ("imaps", "") if service == "imaps" else \
        ("smtps", "/client.test")
    argv = ["curl", "--silent", "--show-error", "--crlf", "--cacert",
            os.environ["CA_FILE"], "--url", "%s://localhost:%d%s" % (
                scheme, mail.port(service), path),
            "--user", user + ":", "--oauth2-bearer", bearer,
            "--login-options", "AUTH=" + mechanism]
    if service != "imaps":
        argv += ["--mail-from", "%s@%s" % (user, DOMAIN), "--mail-rcpt",
                 OTHER, "--upload-file", "-"]
    else:
        argv += ["--request", "CAPABILITY"]
    done = subprocess.run(argv, input="From: %s@%s\nSubject: %s\n\nx\n" % (
        user, DOMAIN, word), capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == ok, (mechanism, done.stderr)
    return word


def test_curl_with_a_token():
    mail.delivered(mail.MAILBOXES[1],
                   curl("token", token("token"), "OAUTHBEARER"))


def test_tokens_that_are_refused():
    for bearer, why in (
            (token("token", exp=1000), "the token has expired"),
            (token("token", aud="web"), "the token is for another audience"),
            (token("token", iss="https://x"),
             "the token has another issuer"),
            (token("token", scope="web"), "the token's scope is too small"),
            (token("plain"), "the token is another user's"),
            (token("token")[:-3] + "AAA", "the token's signature is wrong")):
        for mechanism in ("OAUTHBEARER", "XOAUTH2"):
            start = len(mail.log())
            if mechanism == "XOAUTH2":
                assert msmtp("xoauth2", "token", bearer)[1].returncode != 0
            else:
                curl("token", bearer, mechanism, ok=False)
            mail.logged(r"SASL %s authentication failed: %s, sasl_username="
                        % (mechanism, re.escape(why)), start)


def test_the_dance_of_a_refused_token():
    with mail.smtp("submissions") as s:
        s.ehlo()
        for mechanism, text in (
                ("OAUTHBEARER", "n,a=token,\1auth=Bearer %s\1\1"),
                ("XOAUTH2", "user=token\1auth=Bearer %s\1\1")):
            data = base64.b64encode((text % token("token", scope="x")
                                     ).encode()).decode()
            code, answer = s.docmd("AUTH", "%s %s" % (mechanism, data))
            cases.equal(code, 334)
            cases.equal(json.loads(base64.b64decode(answer)), {
                "status": "insufficient_scope", "schemes": "bearer",
                "scope": "mail"})
            cases.equal(s.docmd("AQ==")[0], 535)


class Introspection(http.server.BaseHTTPRequestHandler):
    """RFC 7662, over a UNIX socket."""
    answer = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = urllib.parse.parse_qs(body)["token"][0]
        text = json.dumps(self.answer.get(asked, {"active": False})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


def test_opaque_tokens_are_asked_about():
    path = os.path.join(CONF, "introspect")
    curl("token", "opaque", "OAUTHBEARER", ok=False)
    mail.logged(r"SASL OAUTHBEARER authentication failed: introspection: "
                r"connect to \S+: No such file")
    good = {"active": True, "iss": "https://id.test", "aud": "mail",
            "scope": "other mail", "email": "token"}
    Introspection.answer = {"opaque&=": good,
                            "narrow": dict(good, scope="web"),
                            "others": dict(good, email="plain")}
    with socketserver.ThreadingUnixStreamServer(path, Introspection) as s:
        os.chmod(path, 0o777)
        threading.Thread(target=s.serve_forever, daemon=True).start()
        mail.delivered(mail.MAILBOXES[1],
                       curl("token", "opaque&=", "OAUTHBEARER"))
        for bearer in ("narrow", "others", "unknown"):
            curl("token", bearer, "OAUTHBEARER", ok=False)
        s.shutdown()
    os.unlink(path)
    mail.logged(r"SASL OAUTHBEARER authentication failed: the token is not "
                r"active")


# ---- IMAP has the same ----

def test_imap():
    done = gsasl("SCRAM-SHA-256-PLUS", "s256", "secret", "imap",
                 mail.port("imap"))
    assert done.returncode == 0, (done.stdout, done.stderr)
    curl("token", token("token"), "OAUTHBEARER", service="imaps")
    curl("token", token("plain"), "OAUTHBEARER", ok=False, service="imaps")


# ---- app passwords ----

def chappe(*words, status=0):
    done = subprocess.run(["chappe"] + list(words), capture_output=True,
                          text=True)
    cases.equal(done.returncode, status, done.stderr)
    return done.stdout if status == 0 else done.stderr


def smtp_login(user, password):
    with mail.smtp("submissions") as s:
        s.ehlo()
        s.user, s.password = user, password
        try:
            s.auth("PLAIN", s.auth_plain)
            return True
        except smtplib.SMTPAuthenticationError:
            return False


def imap_login(user, password):
    m = imaplib.IMAP4_SSL("localhost", mail.port("imaps"),
                          ssl_context=mail.tls_context())
    try:
        m.login(user, password)
        return True
    except imaplib.IMAP4.error:
        return False
    finally:
        m.shutdown()


def test_app_passwords():
    both = chappe("app-password", "add", "phone", "tablet").strip()
    only = chappe("app-password", "add", "-s", "imap", "phone",
                  "reader").strip()
    cases.matches(both, r"^([a-z2-9]{5}-){3}[a-z2-9]{5}$")
    assert both != only
    cases.equal(chappe("app-password", "list", "phone"),
                "phone tablet imap,smtp never used\n"
                "phone reader imap never used\n")
    assert smtp_login("phone", "secret")
    assert smtp_login("phone", both)
    assert imap_login("phone", both)
    assert imap_login("phone", only)
    assert not smtp_login("phone", only)
    assert not smtp_login("plain", both)
    mail.logged(r"login: user=<phone>, method=PLAIN, rip=\S+, service=smtp, "
                r"TLS, app password tablet$")
    # SCRAM with the user's own and with each of the others.
    for password in ("secret", both):
        gsasl_works("SCRAM-SHA-256-PLUS", "phone", password)
    fails("SCRAM-SHA-256", "phone", only, "password mismatch")
    cases.wait_for("the last use", lambda: re.fullmatch(
        r"phone tablet imap,smtp last used [-\d]+ [:\d]+ smtp (::1|127\.\S+)\n"
        r"phone reader imap last used [-\d]+ [:\d]+ imap (::1|127\.\S+)\n",
        chappe("app-password", "list", "phone")))
    chappe("app-password", "remove", "phone", "tablet")
    assert not smtp_login("phone", both)
    assert imap_login("phone", only)
    cases.contains(chappe("app-password", "list"), "phone reader imap ")


def test_app_passwords_beside_a_stored_key():
    both = chappe("app-password", "add", "keyed", "a").strip()
    for password in ("secret", both):
        gsasl_works("SCRAM-SHA-256", "keyed", password)
        assert smtp_login("keyed", password)


def test_app_password_mistakes():
    cases.contains(chappe("app-password", "add", "zoe", "x", status=1),
                   "no user zoe")
    cases.contains(chappe("app-password", "add", "plain", "a b", status=1),
                   "a name is 1 to 64")
    cases.contains(chappe("app-password", "add", "-s", "im ap", "plain", "x",
                          status=1), "scopes are services")
    cases.contains(chappe("app-password", "remove", "plain", "x", status=1),
                   "plain has no app password x")
    cases.contains(chappe("app-password", "frob", status=64), "usage: ")
    cases.equal(chappe("app-password", "list", "plain"), "")


def test_hashes():
    with open(os.path.join(CONF, "people")) as f:
        old = f.read()
    for scheme in ("SCRAM-SHA-256", "SCRAM-SHA-1", "YESCRYPT",
                   "SHA512-CRYPT", "BLF-CRYPT"):
        stored = cases.run(["chappe", "password", scheme],
                           input="pass word\n").stdout.strip()
        assert stored.startswith("{%s}" % scheme), stored
        text = old.replace("\nplain:{PLAIN}secret:", "\nplain:%s:" % stored)
        with open(os.path.join(CONF, "people"), "r+") as f:
            f.write(text)
            f.truncate()
        assert smtp_login("plain", "pass word"), scheme
        assert not smtp_login("plain", "password"), scheme
    with open(os.path.join(CONF, "people"), "r+") as f:
        f.write(old)
        f.truncate()


if __name__ == "__main__":
    cases.main(globals())
