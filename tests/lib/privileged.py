# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests/instance --privileged needs: private copies of the host's
places in a mount namespace, and system users in them.

The namespace is entered first; everything mounted afterwards is seen by this
process and its children only and is gone when they are.
"""

import ctypes
import os
import shutil
import signal
import subprocess

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE, MS_BIND = 0x4000, 0x40000, 0x1000

# name: (uid, password); the people of the handbook's examples.
PEOPLE = {"bob": 7101, "john": 7102, "aaron": 7103, "jane": 7104}
OURS = {"chappe": 7201, "chappe-smtpd": 7202, "chappe-net": 7203,
        "chappe-auth": 7204, "chappe-login": 7205, "chappe-log": 7206}
OUR_GROUPS = {"chappe-ipc": 7210, "chappe-adm": 7211}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, "%s: %s" % (what, os.strerror(code)))


def _mount(source, target, flags):
    _check(_libc.mount(source.encode(), target.encode(), None, flags, None),
           "mount %s on %s" % (source, target))


def bind(source, target):
    _mount(source, target, MS_BIND | MS_REC)


def _bind_file(source, target):
    _mount(source, target, MS_BIND)


_remove_fd = -1


def enter_namespace():
    """Goes on in a child that has left the host's mount namespace. This
    process waits, takes the child's status and removes what it names: out
    here nothing is mounted below those directories, so no removal can reach
    into what is bound there."""
    global _remove_fd
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _remove_fd = write_end
        _check(_libc.unshare(CLONE_NEWNS), "unshare")
        _mount("none", "/", MS_REC | MS_PRIVATE)
        return
    os.close(write_end)
    for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signo, lambda s, _f: os.kill(pid, s))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with os.fdopen(read_end) as f:
        for path in f.read().splitlines():
            shutil.rmtree(path, ignore_errors=True)
    os._exit(status if status >= 0 else 128 - status)


def remove_later(path):
    os.write(_remove_fd, (path + "\n").encode())


def show(folder, name, source):
    """A folder under a path that every user can reach."""
    target = os.path.join(folder, name)
    os.mkdir(target)
    bind(source, target)
    return target


def _password_lines(entries, groups):
    passwd, shadow, group = [], [], []
    for name, uid, gid, home, shell, digest in entries:
        passwd.append("%s:x:%d:%d:%s:%s:%s\n" % (
            name, uid, gid, name.capitalize(), home, shell))
        shadow.append("%s:%s:19000:0:99999:7:::\n" % (name, digest))
    for name, (gid, members) in groups.items():
        group.append("%s:x:%d:%s\n" % (name, gid, ",".join(members)))
    return passwd, shadow, group


def _append(path, lines):
    with open(path) as f:
        text = f.read()
    names = {line.split(":", 1)[0] for line in lines}
    kept = [line for line in text.splitlines(True)
            if line.split(":", 1)[0] not in names]
    with open(path, "w") as f:
        f.write("".join(kept))
        f.write("".join(lines))


def _digest(password):
    return subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, text=True,
        capture_output=True, check=True).stdout.strip()


def private_host(folder):
    """Puts private copies over /etc, /home, /var/mail, /var/spool, /usr/sbin
    and makes the users."""
    top = os.path.join(folder, "host")
    os.mkdir(top)
    etc = os.path.join(top, "etc")
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    for name in ("home", "mail", "spool"):
        os.mkdir(os.path.join(top, name), 0o755)
    shutil.rmtree(os.path.join(etc, "chappe"), ignore_errors=True)
    os.mkdir(os.path.join(etc, "chappe"))
    os.chown(os.path.join(top, "mail"), 0, 8)
    os.chmod(os.path.join(top, "mail"), 0o2775)
    os.symlink("../mail", os.path.join(top, "spool", "mail"))
    _make_accounts(etc, os.path.join(top, "home"))
    bind(etc, "/etc")
    bind(os.path.join(top, "home"), "/home")
    bind(os.path.join(top, "mail"), "/var/mail")
    bind(os.path.join(top, "spool"), "/var/spool")


def _make_accounts(etc, homes):
    entries, groups = [], {}
    for name, uid in PEOPLE.items():
        home = os.path.join(homes, name)
        os.mkdir(home, 0o700)
        os.chown(home, uid, uid)
        entries.append((name, uid, uid, "/home/" + name, "/bin/bash",
                        _digest(password_of(name))))
        groups[name] = (uid, [])
    for name, uid in OURS.items():
        entries.append((name, uid, uid, "/nonexistent", "/usr/sbin/nologin",
                        "*"))
        groups[name] = (uid, [])
    groups["chappe"] = (OURS["chappe"], ["chappe-smtpd"])
    for name, gid in OUR_GROUPS.items():
        groups[name] = (gid, sorted(OURS) if name == "chappe-ipc" else [])
    passwd, shadow, group = _password_lines(entries, groups)
    _append(os.path.join(etc, "passwd"), passwd)
    _append(os.path.join(etc, "shadow"), shadow)
    _append(os.path.join(etc, "group"), group)


def password_of(name):
    return "the password of " + name


def make_users(mailbox):
    """bob and john as USER1 and USER2, with empty mailboxes."""
    from instance import User
    users = []
    for name in ("bob", "john"):
        uid, home = PEOPLE[name], "/home/" + name
        if mailbox == "maildir":
            path = os.path.join(home, "Maildir")
            for part in ("", "cur", "new", "tmp"):
                os.mkdir(os.path.join(path, part), 0o700)
                os.chown(os.path.join(path, part), uid, uid)
        else:
            path = "/var/mail/" + name
            with open(path, "w"):
                pass
            os.chmod(path, 0o600)
            os.chown(path, uid, 8)
        users.append(User(name, password_of(name), home, path, uid, uid))
    return users


def show_sendmail(folder, bin_dir):
    """This instance's sendmail, mailq and newaliases under the names that
    programs have compiled in."""
    for host, names in (("/usr/sbin", ("sendmail",)),
                        ("/usr/bin", ("mailq", "newaliases")),
                        ("/usr/lib", ("sendmail",))):
        _shadow_folder(folder, bin_dir, host, names)


def _shadow_folder(folder, bin_dir, host, names):
    real = [n for n in names if os.path.exists(os.path.join(host, n))]
    if len(real) == len(names):
        for n in names:
            _bind_file(os.path.join(bin_dir, n), os.path.join(host, n))
        return
    if host != "/usr/sbin":
        return  # found on PATH; only sendmail's full path is compiled in
    shown = os.path.join(folder, "host", "sbin.real")
    farm = os.path.join(folder, "host", "sbin")
    os.mkdir(shown)
    os.mkdir(farm)
    bind(host, shown)
    for n in os.listdir(shown):
        os.symlink(os.path.join(shown, n), os.path.join(farm, n))
    for n in names:
        path = os.path.join(farm, n)
        if os.path.lexists(path):
            os.unlink(path)
        shutil.copy(os.path.join(bin_dir, n), path)
    bind(farm, host)


def finish(suite):
    show_sendmail(suite.dir, suite.bin)
