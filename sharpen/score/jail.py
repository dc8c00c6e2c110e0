"""Runs one program with as little of the machine as the system lets us take away; started by ``sandbox``.

Run as ``python -I jail.py SETTINGS STATUS_FD`` with JSON settings. Uses the standard library alone and
imports nothing of the package: it is the last trusted code before the untrusted.
"""

import ctypes
import json
import os
import resource
import signal
import sys

NEW_NS, NEW_IPC, NEW_USER, NEW_PID, NEW_NET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
PDEATHSIG, NO_NEW_PRIVS = 1, 38
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Separate, limit, run, report."""
    settings, status = json.loads(sys.argv[1]), int(sys.argv[2])
    LIBC.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if separate() and settings["uid"] is not None:
        show(settings["python"], settings["home"])
    middle = os.fork()
    if middle:
        os.close(status)
        os.waitpid(middle, 0)
        os._exit(0)
    # the first process of its namespace, if there is one: when it ends, all in it are killed
    LIBC.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    inner = os.fork()
    if not inner:
        os.close(status)
        become(settings)
        argv = settings["argv"]
        shown = os.path.join(settings["home"], os.path.relpath(argv[0], settings["python"]))
        os.execv(shown if os.path.exists(shown) else argv[0], argv)
    _, ended, used = os.wait4(inner, 0)
    report = {"code": os.waitstatus_to_exitcode(ended), "cpu": used.ru_utime + used.ru_stime}
    os.write(status, json.dumps(report).encode())
    os._exit(0)


def separate() -> bool:
    """Own processes, network, mounts and inter-process objects; whether the system allowed it."""
    root = os.getuid() == 0
    user, group = os.getuid(), os.getgid()
    if LIBC.unshare(NEW_PID | NEW_NET | NEW_IPC | NEW_NS | (0 if root else NEW_USER)):
        return False
    if not root:
        try:
            for name, line in (
                ("setgroups", "deny"),
                ("uid_map", f"{user} {user} 1"),
                ("gid_map", f"{group} {group} 1"),
            ):
                with open(f"/proc/self/{name}", "w") as f:
                    f.write(line)
        except OSError:
            return False
    return True


def show(prefix: str, home: str) -> None:
    """Make the interpreter readable at ``home``, for a user who may not enter the folders above it."""
    os.makedirs(home)
    private, bind, read_only = 1 << 18 | 1 << 14, 1 << 12 | 1 << 14, 1 << 5 | 1 << 12 | 1
    LIBC.mount(b"none", b"/", None, private, None)
    if not LIBC.mount(prefix.encode(), home.encode(), None, bind, None):
        LIBC.mount(b"none", home.encode(), None, read_only, None)


def become(settings: dict) -> None:
    """Limits, another user where we are root, no way back."""
    os.setsid()
    for name, value in settings["limits"].items():
        kind = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(kind, (value, value))
    if settings["uid"] is not None:
        os.setgroups([])
        os.setgid(settings["uid"])
        os.setuid(settings["uid"])
    LIBC.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    LIBC.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.chdir(settings["folder"])
    os.environ.clear()
    os.environ.update(settings["environment"])


if __name__ == "__main__":
    main()
