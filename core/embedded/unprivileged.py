"""`python unprivileged.py COMMAND…`: root runs a command as the user `nobody`.

A script of its own, that imports nothing of ours, so that it starts in no time.

PostgreSQL refuses to run as root, yet its binaries and data may lie below a folder that only root
enters (/root, a private checkout). Instead of opening the user's folders to everybody, the command
keeps one capability, CAP_DAC_OVERRIDE, which passes file permissions. Where the system does not
let it keep that, the command runs without, and says so if it then cannot reach its files.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from typing import Any

USER = "nobody"

_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 4
_UNREACHABLE = 77


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def main(command: list[str]) -> int:
    user = pwd.getpwnam(USER)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        # initdb looks for its sibling binaries with access(2), which disregards the capabilities
        # of an ordinary user unless this is set
        libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    kept = libc is not None and _keep_dac_override(libc)
    try:
        os.execv(command[0], command)  # noqa: S606 (there is no shell to want here)
    except OSError as error:
        hint = "" if kept else " (and the system does not let it pass file permissions)"
        sys.stderr.write(
            f"cannot run {command[0]}: {error.strerror}. PostgreSQL may not run as root, and the "
            f"user {USER} cannot reach that file{hint}. Run as an ordinary user, or install where "
            "others may enter.\n"
        )
    return _UNREACHABLE


def _keep_dac_override(libc: Any) -> bool:
    """Raise the capability in the ambient set, where it outlives execv."""
    header = _Header(_CAPABILITY_VERSION_3, 0)
    bit = 1 << _CAP_DAC_OVERRIDE
    sets = (_Sets * 2)(_Sets(bit, bit, bit), _Sets(0, 0, 0))
    if libc.capset(ctypes.byref(header), sets) != 0:
        return False
    raised = libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
    return raised == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
