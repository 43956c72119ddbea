"""Hosts on one machine: network namespaces, each with its own address, joined by a bridge.

All of it lives inside the namespaces: nothing of the machine's own network is touched, and no
packet leaves. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from types import TracebackType

HUB_ADDRESS = "10.77.0.1"


def ip(*args: str) -> str:
    """Run `ip`; what it prints. Raises AssertionError with what it complained of."""
    done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"ip {' '.join(args)}: {done.stderr.strip()} (root and iproute2 are needed)"
    )
    return done.stdout


class Network:
    """A hub with a bridge, and hosts 1 to `hosts` on it, each by a cable of its own."""

    def __init__(self, hosts: int) -> None:
        self.hosts = range(1, hosts + 1)
        self._prefix = f"ms-{os.getpid()}-"
        self.hub = f"{self._prefix}hub"

    def host(self, number: int) -> str:
        """Name of the host's namespace."""
        return f"{self._prefix}h{number}"

    def inside(self, namespace: str) -> list[str]:
        """What to put before a command so that it runs there; it keeps its pid."""
        return ["ip", "netns", "exec", namespace]

    def cut(self, number: int) -> None:
        """Unplug a host: what it sends is lost, and nobody tells it."""
        ip("-n", self.hub, "link", "set", f"cable{number}", "down")

    def join(self, number: int) -> None:
        """Plug it in again."""
        ip("-n", self.hub, "link", "set", f"cable{number}", "up")

    def __enter__(self) -> Network:
        _remove_left_over()
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _make(self) -> None:
        hub = self.hub
        ip("netns", "add", hub)
        ip("-n", hub, "link", "set", "lo", "up")
        ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        ip("-n", hub, "addr", "add", f"{HUB_ADDRESS}/24", "dev", "bridge")
        ip("-n", hub, "link", "set", "bridge", "up")
        for number in self.hosts:
            host, cable = self.host(number), f"cable{number}"
            ip("netns", "add", host)
            ends = ("type", "veth", "peer", "name", "eth0", "netns", host)
            ip("-n", hub, "link", "add", cable, *ends)
            ip("-n", hub, "link", "set", cable, "master", "bridge", "up")
            ip("-n", host, "addr", "add", f"10.77.0.{10 + number}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "link", "set", "lo", "up")

    def _remove(self) -> None:
        for name in _namespaces():
            if name.startswith(self._prefix):
                _delete(name)


def _namespaces() -> list[str]:
    return [line.split()[0] for line in ip("netns", "list").splitlines() if line]


def _remove_left_over() -> None:
    """Namespaces of test runs that were killed."""
    for name in _namespaces():
        first, _, rest = name.partition("-")
        pid = rest.partition("-")[0]
        if first == "ms" and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
            _delete(name)


def _delete(namespace: str) -> None:
    """Take a namespace away, and whatever still runs in it, which a test of ours started."""
    for pid in ip("netns", "pids", namespace).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    ip("netns", "del", namespace)
