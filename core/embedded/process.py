"""One local server process: started once per folder, found again by whoever comes later."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec

from ..errors import MillstreamError
from .ports import free_port, is_free

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02
_LEFT_SECONDS = 3.0
"""How long what a killed server had just forked may hold its port, on a busy machine."""
# Tried again, since another process may take the port between our look and the server's bind, and
# since backends of a killed PostgreSQL hold its memory for a moment longer: for seconds, if it was
# recovering.
_PAUSES = (0.0, 0.2, 1.0, 4.0)


class EmbeddedError(MillstreamError):
    """A local server could not be started or stopped; carries the end of its log."""


class State(msgspec.Struct, frozen=True):
    """What is remembered of a server between commands (`servers/<name>.json`)."""

    pid: int
    port: int


class ServerProcess:
    """Data in `root/<name>`; state, log and password in `root/servers`. Subclasses say how."""

    name: str

    def __init__(self, root: str | Path, port: int = 0) -> None:
        self.root = Path(root).absolute()
        self.data = self.root / self.name
        self.side = self.root / "servers"
        self.log = self.side / f"{self.name}.log"
        self.started_here = False  #: False when a running server was found and is used
        self._state_file = self.side / f"{self.name}.json"
        self._wanted_port = port
        self._child: subprocess.Popen[bytes] | None = None
        self._state: State | None = None

    # -- what a subclass says -------------------------------------------------

    def prepare(self) -> None:
        """Make the data folder and files ready, before every start."""
        raise NotImplementedError

    def command(self, port: int) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """What the server's environment has beside ours."""
        return {}

    def answers(self, state: State) -> bool:
        """Whether the server of THIS folder serves on that port under that pid."""
        raise NotImplementedError

    def complete(self) -> None:
        """What is left to do once the server answers for the first time."""

    stop_signal = signal.SIGTERM

    # -- what callers use -----------------------------------------------------

    @property
    def pid(self) -> int:
        return self._running_state().pid

    @property
    def port(self) -> int:
        return self._running_state().port

    @property
    def password(self) -> str:
        return self._password_file().read_text().strip()

    @property
    def running(self) -> bool:
        """Whether the process we know of is alive (it may still be loading)."""
        if self._child is not None and self._child.poll() is not None:
            return False
        return self._state is not None and is_alive(self._state.pid)

    def start(self) -> None:
        """Start the server, or use the one that already serves this folder."""
        self.side.mkdir(parents=True, exist_ok=True)
        with self._locked():
            remembered = self._remembered()
            if remembered is not None and is_alive(remembered.pid) and self._await(remembered):
                if self._child is None or self._child.pid != remembered.pid:
                    self.started_here = False
                self._state = remembered
                return
            self._start(remembered)

    def pin_port(self) -> None:
        """From now on start on this port only: others hold URLs that name it."""
        self._wanted_port = self.port

    def stop(self) -> None:
        """Stop the server, whoever started it, and wait until its process is gone."""
        if self._state is None:
            return
        with self._locked():
            self._signal(self.stop_signal)
            if not self._wait_gone(_STOP_SECONDS):
                self._signal(signal.SIGKILL)
                self._wait_gone(_STOP_SECONDS)
        self.started_here = False

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal (by default the one that cannot be caught); waits when it is SIGKILL."""
        self._signal(with_signal)
        if with_signal == signal.SIGKILL:
            self._wait_gone(_STOP_SECONDS)

    # -- how ------------------------------------------------------------------

    def _start(self, remembered: State | None) -> None:
        self.prepare()
        for pause in _PAUSES:
            time.sleep(pause)
            if self._launch(self._choose_port(remembered)):
                return
        raise EmbeddedError(f"{self.name} did not start:\n{self._log_end()}")

    def _launch(self, port: int) -> bool:
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command(port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                env=os.environ | self.environment(),
                start_new_session=True,  # the terminal's Ctrl-C is for us, not for the servers
            )
        # Reaped as soon as it ends, also when another user of the folder stops it.
        reap = threading.Thread(target=self._child.wait, name=f"{self.name} ends", daemon=True)
        reap.start()
        self._state = State(self._child.pid, port)
        self.started_here = True
        write_private(self._state_file, msgspec.json.encode(self._state))
        if not self._await(self._state):
            self.started_here = False
            self.kill()
            return False
        self.complete()
        return True

    def _choose_port(self, remembered: State | None) -> int:
        """The port asked for; else that of last time, so that URLs stay good; else a free one."""
        if self._wanted_port:
            if not self._is_left(self._wanted_port, remembered):
                raise EmbeddedError(f"{self.name}: port {self._wanted_port} is already in use")
            return self._wanted_port
        if remembered is not None and self._is_left(remembered.port, remembered):
            return remembered.port
        return free_port()

    def _is_left(self, port: int, remembered: State | None) -> bool:
        """Whether a port is free; one that was ours is waited for."""
        ours = remembered is not None and remembered.port == port
        deadline = time.monotonic() + (_LEFT_SECONDS if ours else 0)
        while not (free := is_free(port)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return free

    def _await(self, state: State) -> bool:
        """Wait until it answers. False as soon as its process is gone."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._child is not None and self._child.pid == state.pid:
                if self._child.poll() is not None:
                    return False
            elif not is_alive(state.pid) or not self.owns(state.pid):
                return False
            if self.answers(state):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def owns(self, pid: int) -> bool:
        """Whether `pid` is a server of this folder and not a stranger that got an old number."""
        return names_path(pid, self.data)

    def _wait_gone(self, seconds: float) -> bool:
        if self._child is not None:
            try:
                self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                return False
            return True
        deadline = time.monotonic() + seconds
        while self._state is not None and is_alive(self._state.pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)  # polls first: never hits a reused pid
        elif self._state is not None and self.owns(self._state.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._state.pid, number)

    def _remembered(self) -> State | None:
        try:
            return msgspec.json.decode(self._state_file.read_bytes(), type=State)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _running_state(self) -> State:
        if self._state is None:
            raise EmbeddedError(f"{self.name} has not been started")
        return self._state

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        """One starter or stopper at a time; the lock falls with the process that holds it."""
        with (self.side / f"{self.name}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _password_file(self) -> Path:
        return self.side / f"{self.name}.password"

    def ensure_password(self) -> Path:
        """Loopback is shared by every user of the machine: a generated password keeps them out."""
        file = self._password_file()
        if not file.exists():
            write_private(file, secrets.token_urlsafe(24).encode())
        return file

    def _log_end(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
        except FileNotFoundError:
            return "(it left no log)"


def write_private(file: Path, content: bytes) -> None:
    """Replace `file` at once, readable by its owner only."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as handle:  # noqa: PTH123 (a descriptor, not a path)
        handle.write(content)
    temporary.replace(file)


def is_alive(pid: int) -> bool:
    """Whether `pid` runs; a process that ended and waits to be reaped does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if sys.platform == "linux":
            return False
    except ProcessLookupError:
        return False
    else:
        return status.rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def names_path(pid: int, path: Path) -> bool:
    """Whether `path` is one of the arguments of the command line of `pid`."""
    if sys.platform == "linux":
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(path) in arguments
    listed = subprocess.run(
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return str(path) in listed.stdout
