"""A process of a worker ends when the worker does, however that ends.

The end of the pipe tells so everywhere, but only a thread that gets its turn can read it, and a
handler may hold the interpreter for minutes. On Linux the kernel itself ends the process as well.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(worker: int) -> None:
    """Have the kernel kill this process when its parent, `worker`, dies; where it can."""
    if sys.platform == "linux":
        # It is tied to the thread that started us: that of the worker's event loop, its main one.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it died before the kernel knew
        end_all()


def end_all() -> None:
    """End this process and the programs its handlers started, at once."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
