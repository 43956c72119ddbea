"""What a worker process is called in leases and events."""

import os
import re
import secrets
import socket


def worker_name() -> str:
    """A name no other process start has: ``host-pid-random``, at most 100 characters.

    It holds only letters, digits, dots and hyphens, since the Lua verbs put it into JSON as it is.
    A name that outlived its process would let a restarted worker finish the jobs of a dead one.
    """
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
