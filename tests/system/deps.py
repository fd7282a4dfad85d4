#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/deps against recording stand-ins for apt-get, dnf, rpm, dpkg-query
and sudo: what it calls, prints and refuses. Nothing is installed here."""

import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402

DEPS = os.path.join(cases.ROOT, "tests", "deps")
RECORD = '#!/bin/sh\necho "%s $*" >> "$RECORD"\n'
# rpm knows a package once dnf was asked to install it.
RPM = RECORD + '''
for name; do :; done
[ -e "$HAVE/$name" ]
'''
INSTALL = RECORD + '''
[ "$1" = -s ] && { [ -z "$WOULD" ] || echo "Inst $WOULD (1)"; exit 0; }
for name; do
	case $name in -*|install|*=*) ;; *) : > "$HAVE/$name" ;; esac
done
'''
DPKG = RECORD + '''
for name; do :; done
[ -e "$HAVE/$name" ] && printf installed
'''
CACHE = RECORD + '''
for name; do :; done
case $name in
exim4-daemon-light) printf 'Package: %%s\\nProvides: mail-transport-agent\\n' $name ;;
libclang-rt-dev) [ -z "$NO_RT" ] || exit 100; echo "Package: $name" ;;
*) echo "Package: $name" ;;
esac
'''
SUDO = RECORD + 'exec "$@"\n'


class Host:
    """A host of stand-ins; calls() is what was called."""

    def __init__(self, os_release, uid=0, **env):
        self.dir = tempfile.mkdtemp()
        self.record = os.path.join(self.dir, "record")
        self.have = os.path.join(self.dir, "have")
        path = os.path.join(self.dir, "bin")
        os.mkdir(self.have)
        os.mkdir(path)
        tools = {"dnf": INSTALL, "rpm": RPM, "apt-get": INSTALL,
                 "dpkg-query": DPKG, "apt-cache": CACHE, "sudo": SUDO}
        for name, text in tools.items():
            self._script(os.path.join(path, name), text % name)
        self._script(os.path.join(path, "id"), "#!/bin/sh\necho %d\n" % uid)
        with open(os.path.join(self.dir, "os-release"), "w") as f:
            f.write(os_release)
        self.env = {"PATH": path + ":/usr/bin:/bin", "RECORD": self.record,
                    "HAVE": self.have, "WOULD": "", "NO_RT": "", "DEPS": "",
                    "OS_RELEASE": os.path.join(self.dir, "os-release")}
        self.env.update(env)

    @staticmethod
    def _script(path, text):
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o755)

    def deps(self, want="check", status=0):
        return cases.run([DEPS, want], status=status, env=self.env)

    def calls(self, *names):
        try:
            with open(self.record) as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if line.split()[0] in names]

    def close(self):
        shutil.rmtree(self.dir)


DEBIAN = "ID=debian\nVERSION_ID=12\n"
UBUNTU = "ID=ubuntu\nID_LIKE=debian\n"
CENTOS = 'ID="centos"\nID_LIKE="rhel fedora"\n'


def test_dnf_installs_what_is_missing():
    host = Host(CENTOS)
    with open(os.path.join(host.have, "gcc"), "w"):
        pass
    out = host.deps().stdout
    installs = host.calls("dnf")
    cases.equal(len(installs), 1, "calls of dnf")
    words = installs[0].split()
    cases.equal(words[1:4],
                ["install", "-y", "--setopt=install_weak_deps=False"])
    for name in ("libuv-devel", "gdbm-devel", "libcmocka-devel", "clang",
                 "pam-devel", "unbound-devel"):
        assert name in words, name
    assert "gcc" not in words, "was there"
    cases.contains(out, "deps: running: dnf install")
    cases.equal(host.calls("apt-get", "sudo"), [])
    host.deps()
    cases.equal(len(host.calls("dnf")), 1, "all there: not called again")
    host.close()


def test_dnf_by_sudo_as_an_ordinary_user():
    host = Host("ID=fedora\n", uid=1000)
    host.deps("build")
    cases.equal(host.calls("sudo")[0].split()[:4],
                ["sudo", "dnf", "install", "-y"])
    host.close()


def test_apt_installs_without_recommends_or_removals():
    for release in (DEBIAN, UBUNTU):
        host = Host(release)
        out = host.deps().stdout
        real = [c for c in host.calls("apt-get") if " -s " not in c]
        cases.equal(len(real), 1, "installations")
        for word in ("install", "--no-install-recommends", "--no-remove",
                     "libcmocka-dev", "libclang-rt-dev"):
            assert word in real[0].split(), word
        cases.contains(out, "deps: running: env DEBIAN_FRONTEND")
        cases.equal(host.calls("dnf"), [])
        host.close()


def test_apt_takes_the_alternative_of_older_releases():
    host = Host(UBUNTU, NO_RT="1")
    host.deps()
    words = host.calls("apt-get")[-1].split()
    assert "libclang-rt-dev" not in words and "clang" in words
    host.close()


def test_apt_refuses_to_bring_a_mail_server():
    host = Host(DEBIAN, WOULD="exim4-daemon-light")
    done = host.deps(status=1)
    cases.contains(done.stderr, "mail server: exim4-daemon-light")
    real = [c for c in host.calls("apt-get") if " -s " not in c]
    cases.equal(real, [], "nothing installed")
    host.close()


def test_deps_no_calls_nothing():
    for release, name in ((DEBIAN, "libuv1-dev"), (CENTOS, "libuv-devel")):
        for uid in (0, 1000):
            host = Host(release, uid=uid, DEPS="no")
            done = host.deps(status=1)
            cases.contains(done.stderr, "missing")
            cases.contains(done.stderr, name)
            cases.equal(host.calls("apt-get", "apt-cache", "dnf", "sudo"),
                        [])
            host.close()


def test_deps_no_is_content_when_all_is_there():
    host = Host(DEBIAN)
    host.deps()
    host.env["DEPS"] = "no"
    cases.equal(host.deps().stdout, "")
    host.close()


def test_unknown_system_says_so():
    host = Host("ID=plan9\n")
    cases.contains(host.deps().stdout, "install by hand")
    cases.equal(host.calls("apt-get", "dnf", "sudo"), [])
    host.close()


cases.main(globals())
