"""Loss of power, simulated: a server is killed, and its file cut where it was last synced.

What the kernel had of the file and the disk had not would be gone; a kill alone leaves it there. A
witness inside the server's process notes how long each file was whenever it was synced.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from millstream.core.embedded import Valkey
from millstream.core.embedded.valkey import Fsync

_WITNESS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int witnessed(long call, int fd) {
    struct stat before;
    fstat(fd, &before);  /* what is written while it syncs does not count */
    int result = syscall(call, fd);
    int log = open(getenv("SYNC_WITNESS"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (result == 0)
        dprintf(log, "%lu %ld\n", (unsigned long)before.st_ino, (long)before.st_size);
    close(log);
    return result;
}

int fdatasync(int fd) { return witnessed(SYS_fdatasync, fd); }
int fsync(int fd) { return witnessed(SYS_fsync, fd); }
"""


class Witnessed(Valkey):
    """A Valkey whose syncs are noted. Skips the test where there is no C compiler."""

    def __init__(self, root: Path, appendfsync: Fsync = "everysec") -> None:
        super().__init__(root, appendfsync=appendfsync)
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler")
        self._notes = root / "syncs"
        self._library = root / "witness.so"
        root.mkdir(exist_ok=True)
        (root / "witness.c").write_text(_WITNESS)
        command = [compiler, "-shared", "-fPIC", "-o", self._library, root / "witness.c"]
        subprocess.run(command, check=True, timeout=60)

    def environment(self) -> dict[str, str]:
        ours = {"LD_PRELOAD": str(self._library), "SYNC_WITNESS": str(self._notes)}
        return super().environment() | ours

    def lose_power(self) -> int:
        """Kill it, and cut off what was not synced; how many bytes that was."""
        self.kill()
        synced: dict[int, int] = {}
        for line in self._notes.read_text().splitlines():
            inode, size = map(int, line.split())
            synced[inode] = size
        lost = 0
        for file in (self.data / "appendonlydir").glob("*.incr.aof"):
            kept = synced.get(file.stat().st_ino, 0)
            lost += file.stat().st_size - kept
            with file.open("r+b") as handle:
                handle.truncate(kept)
        return lost
