"""The two lines between a role and whoever supervises it, both plain pipes; and its last word,
the exit code.

- `MILLSTREAM_NOTIFY_FD`: the role writes `ready` to it once it serves (as with sd_notify).
- `MILLSTREAM_LIFELINE_FD`: the supervisor holds the other end and never writes. When it dies,
  however it dies, the pipe closes and the role drains as after SIGTERM. (PR_SET_PDEATHSIG would
  be tied to the thread that forked, and to Linux.)
"""

from __future__ import annotations

import os
import signal
import threading

RECYCLED = 75
"""Exit code of a worker that is to be replaced, for it took too much memory (EX_TEMPFAIL)."""

STALLED = 70
"""Exit code of a worker that no longer worked, and ended itself (EX_SOFTWARE)."""

NOTIFY_FD = "MILLSTREAM_NOTIFY_FD"
LIFELINE_FD = "MILLSTREAM_LIFELINE_FD"


def notify_ready() -> None:
    """Tell the supervisor, if there is one, that this role is up. Later calls do nothing."""
    descriptor = _take(NOTIFY_FD)
    if descriptor is None:
        return
    try:
        os.write(descriptor, b"ready\n")
    except OSError:
        return  # the supervisor is gone or wants no notice: no reason to stop serving
    finally:
        os.close(descriptor)


def follow_supervisor() -> None:
    """Drain this process when its supervisor dies. Does nothing without one."""
    descriptor = _take(LIFELINE_FD)
    if descriptor is not None:
        threading.Thread(
            target=_wait_for_end, args=(descriptor,), name="lifeline", daemon=True
        ).start()


def _wait_for_end(descriptor: int) -> None:
    try:
        while os.read(descriptor, 1):
            pass
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _take(variable: str) -> int | None:
    """The descriptor named by `variable`, which is removed: processes below are not supervised."""
    text = os.environ.pop(variable, None)
    if text is None or not text.isdecimal():
        return None
    descriptor = int(text)
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        return None
    return descriptor
