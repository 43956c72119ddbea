from __future__ import annotations

import os
import subprocess
import sys

import pytest

from millstream.core import ready


def test_ready_is_written_once_and_the_pipe_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(ready.NOTIFY_FD, str(writer))
    ready.notify_ready()
    ready.notify_ready()
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == b"ready\n"  # read to its end: the other side is closed


def test_without_a_supervisor_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ready.NOTIFY_FD, raising=False)
    monkeypatch.delenv(ready.LIFELINE_FD, raising=False)
    ready.notify_ready()
    ready.follow_supervisor()


def test_a_role_is_drained_when_its_supervisor_is_gone() -> None:
    program = (
        "import signal, sys\n"
        "from millstream.core import ready\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "ready.follow_supervisor()\n"
        "ready.notify_ready()\n"
        "signal.pause()\n"
    )
    lifeline, ours = os.pipe()
    heard, notify = os.pipe()
    environ = {**os.environ, ready.LIFELINE_FD: str(lifeline), ready.NOTIFY_FD: str(notify)}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environ, pass_fds=(lifeline, notify)
    ) as role:
        os.close(lifeline)
        os.close(notify)
        with os.fdopen(heard, "rb") as stream:
            assert stream.readline() == b"ready\n"
        os.close(ours)
        assert role.wait(20) == 7
