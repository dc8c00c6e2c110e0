"""A process as a whole: that it does not outlive who started it; what its garbage collector looks at."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import signal
import sys


def die_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent, process ``parent``, is gone (Linux only).

    Elsewhere the parent kills its children when it ends by itself or by Ctrl-C, not when it is killed.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os.kill(os.getpid(), signal.SIGKILL)


def settle() -> None:
    """Let the garbage collector pass over what is loaded by now, once in a process.

    These are hundreds of thousands of objects of libraries, which stay: a full collection would look at all
    of them to find the few of the run that can go.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        atexit.register(gc.unfreeze)  # else libraries that count their objects at the end report a leak
