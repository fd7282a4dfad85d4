# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority and a certificate for localhost, by openssl."""

import os
import subprocess

EXTENSIONS = """\
subjectAltName = DNS:localhost, DNS:chappe.test, IP:127.0.0.1, IP:::1
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
"""


def _openssl(*argv):
    subprocess.run(("openssl",) + argv, check=True, capture_output=True,
                   stdin=subprocess.DEVNULL)


def make(folder):
    """folder/ca.pem, folder/localhost.pem and folder/localhost.key."""
    os.makedirs(folder, exist_ok=True)

    def path(name):
        return os.path.join(folder, name)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes")
    _openssl("req", "-x509", *curve, "-keyout", path("ca.key"), "-out",
             path("ca.pem"), "-days", "30", "-subj", "/CN=Chappe test CA",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", *curve, "-keyout", path("localhost.key"), "-out",
             path("localhost.csr"), "-subj", "/CN=localhost")
    with open(path("extensions"), "w") as f:
        f.write(EXTENSIONS)
    _openssl("x509", "-req", "-in", path("localhost.csr"), "-CA",
             path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial",
             "-days", "30", "-extfile", path("extensions"), "-out",
             path("localhost.pem"))
    for name in ("ca.key", "localhost.key"):
        os.chmod(path(name), 0o600)


def issue(folder, name, names, authority=None, days=30):
    """folder/name.pem and folder/name.key, for names as in subjectAltName,
    signed by the ca.pem of the folder `authority`, or by itself. Its time is
    up where days is below 0. Returns the path of the certificate."""
    out = os.path.join(folder, name)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes")
    subject = ("-subj", "/CN=" + name, "-addext", "subjectAltName=" + names)
    if authority is None:
        _openssl("req", "-x509", *curve, "-keyout", out + ".key", "-out",
                 out + ".pem", "-days", str(days), *subject)
        return out + ".pem"
    _openssl("req", *curve, "-keyout", out + ".key", "-out", out + ".csr",
             *subject)
    _openssl("x509", "-req", "-in", out + ".csr", "-copy_extensions", "copy",
             "-CA", os.path.join(authority, "ca.pem"), "-CAkey",
             os.path.join(authority, "ca.key"), "-CAcreateserial", "-days",
             str(days), "-out", out + ".pem")
    return out + ".pem"
