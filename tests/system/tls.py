#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS of the SMTP server, seen by openssl s_client, Python and gnutls-cli:
certificates side by side, server names, protocol versions, resumption by any
process, renewal of files, client certificates, Received and the log."""
# instance: -o smtpd_tls_session_cache_timeout=600s
# timeout: 240

import base64
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402
import smtp_session as smtp  # noqa: E402

FOLDER = os.path.join(os.environ["INSTANCE_DIR"], "tls-test")


def path(name):
    return os.path.join(FOLDER, name)


def openssl(*argv):
    return cases.run(("openssl",) + argv).stdout


def make(name, subject="/CN=localhost", kind="ec", ca=None):
    """NAME.pem and NAME.key, signed by themselves or by ca."""
    new = ("rsa:2048",) if kind == "rsa" else (
        "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    request = ("req", "-newkey") + new + (
        "-nodes", "-keyout", path(name + ".key"), "-subj", subject)
    if ca is None:
        openssl(*request, "-x509", "-days", "3", "-out", path(name + ".pem"))
    else:
        openssl(*request, "-out", path(name + ".csr"))
        openssl("x509", "-req", "-in", path(name + ".csr"), "-CA",
                path(ca + ".pem"), "-CAkey", path(ca + ".key"),
                "-CAcreateserial", "-days", "3", "-out", path(name + ".pem"))
    with open(path(name + ".both"), "w") as f:
        for part in (".key", ".pem"):
            with open(path(name + part)) as g:
                f.write(g.read())
    for suffix in (".key", ".pem", ".both"):
        os.chmod(path(name + suffix), 0o644)


def setup():
    if os.path.exists(FOLDER):
        return
    os.mkdir(FOLDER)
    make("rsa", "/CN=rsa.test", "rsa")
    make("ec", "/CN=ec.test")
    make("one", "/CN=one.test")
    make("many", "/CN=many.test")
    make("ca", "/CN=Client CA")
    make("client", "/O=Telegraph/CN=a (strange) client", ca="ca")
    make("stranger", "/CN=stranger")
    with open(path("names"), "w") as f:
        f.write("one.test %s\n.many.test %s, %s\n" % (
            path("one.both"), path("many.key"), path("many.pem")))


def generations():
    """Of all smtpd processes: service -> set of numbers."""
    found = {}
    for pid in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % pid) as f:
                words = f.read().split("\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == "smtpd" and \
                os.environ["CHAPPE_CONFIG"] in words:
            service = words[words.index("-n") + 1]
            found.setdefault(service, set()).add(
                words[words.index("-g") + 1])
    return found


def options(**values):
    """Instead of those of the test before; waits until they hold, and until
    those before no longer do."""
    name = os.path.join(os.environ["CHAPPE_CONFIG"], "conf.d", "95-test.cf")
    with open(name, "w") as f:
        f.write("".join("%s = %s\n" % o for o in values.items()))
    cases.run(["chappe", "reload"])
    cases.wait_for("the end of the old processes", lambda: all(
        len(g) == 1 for g in generations().values()))


def s_client(*argv, service="smtp", status=0, say="QUIT\n"):
    where = "127.0.0.1:%d" % smtp.port(service)
    how = () if service in ("submissions", "imaps") else (
        "-starttls", "smtp")
    done = cases.run(("openssl", "s_client", "-connect", where, "-crlf",
                      "-ign_eof") + how + argv, input=say, status=status)
    return done.stdout + done.stderr


def served(*argv, **more):
    """The common name of the certificate that is served."""
    return re.search(r"^subject=(?:O = \w+, )?CN ?= ?(.*)$",
                     s_client(*argv, **more), re.M).group(1)


def test_certificates_side_by_side():
    options(smtpd_tls_chain_files="%s, %s %s" % (
        path("rsa.both"), path("ec.key"), path("ec.pem")))
    for version in ("-tls1_2", "-tls1_3"):
        cases.equal(served(version, "-sigalgs", "RSA-PSS+SHA256"),
                    "rsa.test")
        cases.equal(served(version, "-sigalgs", "ECDSA+SHA256"), "ec.test")
    start = len(smtp.log())
    s_client("-tls1_3", "-sigalgs", "ECDSA+SHA256", "-groups", "P-256")
    smtp.logged(r"Anonymous TLS connection established from \S+\[127.0.0.1\]: "
                r"TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\) "
                r"key-exchange ECDHE \(P-256\) server-signature ECDSA "
                r"\(P-256\) server-digest SHA256$", start)
    # The older parameters, one for each kind.
    options(smtpd_tls_cert_file=path("rsa.pem"),
            smtpd_tls_key_file=path("rsa.key"),
            smtpd_tls_eccert_file=path("ec.both"))
    cases.equal(served("-sigalgs", "RSA-PSS+SHA256"), "rsa.test")
    cases.equal(served("-sigalgs", "ECDSA+SHA256"), "ec.test")


def test_server_names():
    options(tls_server_sni_maps="texthash:" + path("names"))
    start = len(smtp.log())
    for name, common in (("one.test", "one.test"), ("ONE.test", "one.test"),
                         ("a.many.test", "many.test"),
                         ("a.b.many.test", "many.test"),
                         ("many.test", "localhost"),
                         ("other.test", "localhost")):
        cases.equal(served("-servername", name), common, name)
        cases.equal(served("-servername", name, service="submissions"),
                    common, name)
    cases.equal(served("-noservername"), "localhost")
    smtp.logged(r"connection established from \S+ to one.test: TLS", start)
    # What is in the files, in the table itself.
    shutil.copy(path("names"), path("inside"))
    cases.run(["postmap", "-F", "hash:" + path("inside")])
    os.chmod(path("inside.gdbm"), 0o644)
    os.unlink(path("inside"))
    options(tls_server_sni_maps="hash:" + path("inside"))
    for name, common in (("one.test", "one.test"),
                         ("a.many.test", "many.test")):
        cases.equal(served("-servername", name), common, name)
    options(tls_server_sni_maps="texthash:" + path("names"))
    smtp.logged(r"TLS SNI other.test from \S+ not matched, using default "
                r"chain$", start)


def test_versions():
    options()
    for version in ("-tls1_2", "-tls1_3"):
        cases.contains(s_client(version), "\n221 ")
    for version in ("-tls1", "-tls1_1"):
        for service in ("smtp", "submissions"):
            start = len(smtp.log())
            out = s_client(version, "-cipher", "DEFAULT@SECLEVEL=0",
                           service=service, status=1)
            cases.contains(out, "alert protocol version")
            text = smtp.logged(r"connect from \S+\[127.0.0.1\]\n(?:.*\n)*?"
                               r".*SSL_accept error from \S+\[127.0.0.1\]: "
                               r"-1: .*unsupported protocol$", start).group()
            cases.equal(text.count("connect from"), 1)
            smtp.logged(r"lost connection after (STARTTLS|CONNECT) from",
                        start)
    options(smtpd_tls_protocols=">=TLSv1")
    cases.contains(s_client("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"),
                   "\n221 ")
    options(smtpd_tls_protocols="!TLSv1.3 !TLSv1.1 !TLSv1",
            smtpd_tls_ciphers="high",
            smtpd_tls_exclude_ciphers="AES256, CHACHA20 ARIA CAMELLIA")
    cases.matches(s_client(), r"Cipher *(is|:) .*AES128")
    s_client("-tls1_3", status=1)
    s_client("-tls1_2", "-cipher", "AES256", status=1)


def test_nothing_from_before_tls():
    s = smtp.Line()
    s.reply()
    s.say("EHLO c.test")
    s.sock.sendall(b"STARTTLS\r\nMAIL FROM:<injected@c.test>\r\n")
    cases.matches(s.reply(), "^(220|[45])")
    cases.equal(s.reply().startswith("250"), False)


# ---- resumption ----

def count_resumed(times, *argv, service="smtp"):
    reused, processes = 0, set()
    for _ in range(times):
        start = len(smtp.log())
        out = s_client(*argv, "-sess_in", path("session"), service=service)
        reused += "\nReused, " in out
        processes.add(smtp.logged(
            r"smtpd\[(\d+)\]: disconnect from ", start).group(1))
    return reused, processes


def test_resumption_by_any_process():
    options()
    for version in ("-tls1_2", "-tls1_3"):
        for service in ("smtp", "submissions"):
            out = s_client(version, "-sess_out", path("session"),
                           service=service)
            cases.contains(out, "\nNew, ")
            cases.equal(count_resumed(5, version, service=service)[0], 5)
    # By processes that did not make the ticket: those of after a reload.
    start = len(smtp.log())
    s_client("-tls1_3", "-sess_out", path("session"))
    maker = smtp.logged(r"smtpd\[(\d+)\]: disconnect from ", start).group(1)
    options(message_size_limit="2000000")
    reused, processes = count_resumed(10, "-tls1_3")
    cases.equal(reused, 10)
    assert maker not in processes
    # Another service does not take it: it may trust others.
    cases.contains(s_client("-sess_in", path("session"),
                            service="submissions"), "\nNew, ")


def test_imap_resumes_too():
    options()
    say = "a LOGOUT\n"
    cases.contains(s_client("-sess_out", path("session"), service="imaps",
                            say=say), "\nNew, ")
    for _ in range(3):
        cases.contains(s_client("-sess_in", path("session"), service="imaps",
                                say=say), "\nReused, ")
    cases.contains(s_client("-sess_in", path("session"),
                            service="submissions"), "\nNew, ")


def test_no_tickets_when_switched_off():
    options(smtpd_tls_session_cache_timeout="0")
    for version in ("-tls1_2", "-tls1_3"):
        s_client(version, "-sess_out", path("session"))
        if os.path.exists(path("session")):
            cases.equal(count_resumed(3, version)[0], 0)


def test_ticket_keys_change():
    options(smtpd_tls_session_cache_timeout="2s")
    s_client("-tls1_3", "-sess_out", path("session"))
    cases.equal(count_resumed(1, "-tls1_3")[0], 1)
    # Each resumption renews the ticket: it never grows old.
    made = os.stat(path("session")).st_mtime

    def renewed():
        out = s_client("-tls1_3", "-sess_in", path("session"), "-sess_out",
                       path("session"))
        cases.contains(out, "\nReused, ")
        return os.stat(path("session")).st_mtime > made + 7
    cases.wait_for("three generations of keys", renewed)
    # One that is not used does.
    shutil.copyfile(path("session"), path("old"))
    cases.wait_for("an expired ticket", lambda: "\nNew, " in s_client(
        "-tls1_3", "-sess_in", path("old")))


# ---- renewal ----

def replace(name, text):
    with open(path("new"), "w") as f:
        f.write(text)
    os.rename(path("new"), path(name))


def read(name):
    with open(path(name)) as f:
        return f.read()


def test_renewed_files():
    for link in ("live.pem", "live.key"):
        if not os.path.lexists(path(link)):
            os.symlink("rsa" + link[4:], path(link))
    options(smtpd_tls_cert_file=path("live.pem"),
            smtpd_tls_key_file=path("live.key"),
            tls_server_sni_maps="texthash:" + path("names"))
    cases.equal(served(), "rsa.test")
    with smtp.smtp() as s:
        s.ehlo()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        s.starttls(context=context)
        start = len(smtp.log())
        for link in ("live.pem", "live.key"):
            os.unlink(path(link))
            os.symlink("ec" + link[4:], path(link))
        cases.wait_for("the new certificate",
                       lambda: served() == "ec.test")
        cases.equal(s.ehlo()[0], 250, "the old connection goes on")
    smtp.logged(r"TLS: new certificate or key: %s" % path("live.pem"), start)
    # One of a server name, replaced by rename.
    replace("one.both", read("many.both"))
    cases.wait_for("the new certificate", lambda: served(
        "-servername", "one.test") == "many.test")


def test_broken_renewal_keeps_the_old():
    replace("renewed.pem", read("ec.pem"))
    replace("renewed.key", read("ec.key"))
    options(smtpd_tls_cert_file=path("renewed.pem"),
            smtpd_tls_key_file=path("renewed.key"))
    cases.equal(served(), "ec.test")
    start = len(smtp.log())
    replace("renewed.pem", read("rsa.pem"))
    warning = r"warning: TLS: %s %s: certificate and private key do not " \
        r"fit together; what was there before stays in use$" % (
            path("renewed.pem"), path("renewed.key"))
    smtp.logged(warning, start)
    cases.equal(served(), "ec.test")
    # Processes that start later have the old one too.
    options(smtpd_tls_cert_file=path("renewed.pem"),
            smtpd_tls_key_file=path("renewed.key"),
            message_size_limit="3000000")
    cases.equal(served(), "ec.test")
    cases.equal(len(re.findall(warning, smtp.log()[start:], re.M)), 1)
    replace("renewed.key", read("rsa.key"))
    cases.wait_for("the new certificate", lambda: served() == "rsa.test")


# ---- client certificates ----

def deliver(client=None, **settings):
    """The Received field of a message that Python sends."""
    word = smtp.token()
    context = smtp.tls_context()
    if client is not None:
        context.load_cert_chain(path(client + ".pem"), path(client + ".key"))
    for name, value in settings.items():
        if name == "curve":
            context.set_ecdh_curve(value)
        elif name == "ciphers":
            context.set_ciphers(value)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
    with smtp.smtp() as s:
        s.starttls(context=context)
        s.sendmail("a@c.test", [smtp.ADDRESSES[0]],
                   "Subject: %s\r\n\r\nx\r\n" % word)
    text = smtp.delivered(smtp.MAILBOXES[0], word).decode()
    return re.search(r"^Received: from client.test .*?\n\S", text,
                     re.M | re.S).group().replace("\r", "")


def certificate_of(name):
    return "-cert", path(name + ".pem"), "-key", path(name + ".key")


def test_facts_in_received():
    options()
    cases.matches(deliver(curve="X25519"),
                  r"\n\t\(using TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 "
                  r"\(256/256 bits\)\n\t key-exchange X25519 "
                  r"server-signature ECDSA \(P-256\) server-digest SHA256\)\n"
                  r"\t\(No client certificate requested\)\n\tby ")
    cases.matches(deliver(ciphers="ECDHE-ECDSA-AES128-SHA"),
                  r"\n\t\(using TLSv1\.2 with cipher ECDHE-ECDSA-AES128-SHA "
                  r"\(128/128 bits\)\)\n\t\(No client certificate requested\)"
                  r"\n\tby ")
    options(smtpd_tls_received_header="no")
    cases.equal("using TLS" in deliver(), False)


def test_client_certificates():
    options(smtpd_tls_CAfile=path("ca.pem"), smtpd_tls_ask_ccert="yes",
            smtpd_tls_loglevel="2")
    start = len(smtp.log())
    cases.matches(deliver("client"),
                  r"server-digest SHA256\n\t client-signature ECDSA \(P-256\) "
                  r"client-digest SHA256\)\n"
                  r"\t\(Client CN \"a \?strange\? client\", Issuer "
                  r"\"Client CA\" \(verified OK\)\)\n\tby ")
    smtp.logged(r"Trusted TLS connection established from \S+: .* "
                r"client-signature ECDSA \(P-256\) client-digest SHA256$",
                start)
    finger = openssl("x509", "-in", path("client.pem"), "-noout",
                     "-fingerprint", "-sha256").strip().split("=")[1]
    smtp.logged(r"subject_CN=a \(strange\) client, issuer=Client CA, "
                r"cert fingerprint=%s, pkey fingerprint=[0-9A-F:]{95}$" %
                finger, start)
    cases.contains(deliver("stranger"),
                   '(Client CN "stranger", Issuer "stranger" (not verified))')
    smtp.logged(r"Untrusted TLS connection established from", start)
    smtp.logged(r"certificate verification failed for \S+: self", start)
    cases.contains(deliver(), "\t(Client did not present a certificate)\n")
    cases.contains(s_client(), "\nAcceptable client certificate CA names\n"
                   "CN = Client CA\n")
    # As a directory.
    os.makedirs(path("cas"), exist_ok=True)
    shutil.copyfile(path("ca.pem"), path("cas/ca.pem"))
    openssl("rehash", path("cas"))
    options(smtpd_tls_CApath=path("cas"), smtpd_tls_ask_ccert="yes")
    cases.contains(deliver("client"), "(verified OK)")


def fingerprints(name):
    """Of the certificate, and of the public key."""
    key = openssl("x509", "-in", path(name + ".pem"), "-noout", "-pubkey")
    der = base64.b64decode("".join(key.split("\n")[1:-2]))
    digest = hashlib.sha256(der).hexdigest().upper()
    return (openssl("x509", "-in", path(name + ".pem"), "-noout",
                    "-fingerprint", "-sha256").strip().split("=")[1],
            ":".join(digest[i:i + 2] for i in range(0, len(digest), 2)))


def may_relay(client=None):
    """To somebody elsewhere, from an address outside mynetworks."""
    context = smtp.tls_context()
    context.check_hostname = False
    if client is not None:
        context.load_cert_chain(path(client + ".pem"), path(client + ".key"))
    with smtp.smtp(source=smtp.STRANGER) as s:
        s.starttls(context=context)
        s.ehlo()
        s.mail("a@c.test")
        code, _ = s.rcpt("b@elsewhere.test")
        assert code in (250, 454, 554), code
        return code == 250


def test_relaying_by_certificate():
    prints = [fingerprints("client")[0], fingerprints("stranger")[1]]
    replace("clients", "".join("%s x\n" % p for p in prints))
    lists = dict(smtpd_tls_CAfile=path("ca.pem"), smtpd_tls_ask_ccert="yes",
                 relay_clientcerts="texthash:" + path("clients"))
    options(smtpd_relay_restrictions="permit_tls_clientcerts, "
            "reject_unauth_destination", **lists)
    assert may_relay("client") and may_relay("stranger")
    assert not may_relay() and not may_relay("ec")
    # All that an authority vouches for.
    options(smtpd_relay_restrictions="permit_tls_all_clientcerts, "
            "reject_unauth_destination", **dict(lists, relay_clientcerts=""))
    assert may_relay("client") and not may_relay("stranger")
    # An access table is asked for the fingerprint too.
    replace("access", "%s REJECT no more\n" % prints[0])
    options(smtpd_relay_restrictions="check_ccert_access texthash:%s, "
            "permit_tls_clientcerts, reject_unauth_destination" %
            path("access"), **lists)
    assert not may_relay("client") and may_relay("stranger")


def test_client_certificate_required():
    options(smtpd_tls_CAfile=path("ca.pem"), smtpd_tls_req_ccert="yes",
            smtpd_tls_security_level="encrypt")
    for service in ("smtp", "submissions"):
        start = len(smtp.log())
        out = s_client(service=service, say="EHLO c.test\n")
        cases.matches(out, r"(?m)^421 4\.7\.1 \S+ Error: No client "
                      r"certificate presented")
        smtp.logged(r"NOQUEUE: abort: TLS from \S+: No client certificate "
                    r"presented$", start)
        out = s_client(*certificate_of("stranger"), service=service,
                       say="EHLO c.test\n")
        cases.contains(out, "Error: Client certificate not trusted")
        cases.matches(s_client(*certificate_of("client"), service=service),
                      r"(?m)^221 ")


def test_older_names_of_the_level():
    options(smtpd_enforce_tls="yes")
    with smtp.smtp() as s:
        s.ehlo()
        cases.equal(s.docmd("MAIL FROM:<>")[0], 530)
    options(smtpd_enforce_tls="yes", smtpd_tls_security_level="may",
            message_size_limit="4000000")
    with smtp.smtp() as s:
        s.ehlo()
        cases.equal(s.docmd("MAIL FROM:<>")[0], 250)


# ---- order of the log, and other clients ----

def test_the_log_says_connect_first():
    options()
    start = len(smtp.log())
    s_client(service="submissions")
    smtp.logged(r"connect from localhost\[127.0.0.1\]\n.*: Anonymous TLS "
                r"connection established from localhost\[127.0.0.1\]: TLS",
                start)


def test_gnutls():
    options()
    program = mail.partner("gnutls-bin", "gnutls-cli")
    done = cases.run([program, "--starttls-proto=smtp", "--x509cafile",
                      os.environ["CA_FILE"], "localhost:%d" %
                      smtp.port("smtp")], input="QUIT\r\n")
    cases.contains(done.stdout, "The certificate is trusted")
    done = cases.run([program, "--x509cafile", os.environ["CA_FILE"],
                      "localhost:%d" % smtp.port("submissions"), "--priority",
                      "NORMAL:-VERS-TLS-ALL:+VERS-TLS1.1:%COMPAT"],
                     input="QUIT\r\n", status=1)


def test_obsolete_parameters_are_taken():
    start = len(smtp.log())
    options(smtpd_tls_dh1024_param_file="/etc/dh.pem",
            tls_random_source="dev:/dev/urandom",
            tls_daemon_random_bytes="32", smtpd_use_tls="yes")
    for name in ("smtpd_tls_dh1024_param_file", "tls_random_source"):
        smtp.logged(r"warning: \S+95-test.cf: line \d+: %s: no effect: " %
                    name, start)
    cases.equal("smtpd_use_tls: no" in smtp.log()[start:], False)


def test_bad_parameters_are_named():
    start = len(smtp.log())
    with open(os.path.join(os.environ["CHAPPE_CONFIG"], "conf.d",
                           "95-test.cf"), "w") as f:
        f.write("smtpd_tls_protocols = >=TLSv1.9\n")
    subprocess.run(["chappe", "reload"], capture_output=True,
                   timeout=cases.WAIT_S, check=False)
    smtp.logged(r"smtpd_tls_protocols: unknown protocol: TLSv1.9", start)
    # The old processes serve until the new ones can.
    assert served() == "localhost"
    options()
    assert served() == "localhost"


if __name__ == "__main__":
    setup()
    cases.main(globals())
