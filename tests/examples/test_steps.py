"""The handler of docs/steps.md in real workers, one of them killed between two of its steps."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from millstream.core.config import Settings, as_environ, load
from millstream.core.stepping import MAX_STEPS
from tests.consumers.conftest import Bench
from tests.invariants import check

PAGE = (Path(__file__).parents[2] / "docs" / "steps.md").read_text()

# Its functions as they are shown, but noting their calls; the first worker that packs is killed.
NOTING = """
import os, signal
from pathlib import Path

NOTES = Path(__file__).with_name("notes")

def noting(name, function):
    async def noted(*args):
        with NOTES.open("a") as file:
            file.write(name + "\\n")
        if name == "pack" and NOTES.read_text().count("pack") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return await function(*args)
    return noted

charge, pack = noting("charge", charge), noting("pack", pack)
"""


class Killable:
    """Workers on the example, as processes."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        assert "await ctx.sleep(hours=6)" in code
        self.app = folder / "app.py"
        self.app.write_text(code.replace("hours=6", "seconds=0.5") + NOTING)
        self.bench = bench
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        settings = self.bench.settings(lease=2.5, sweep=0.1, unknown_types="accept")
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MILLSTREAM_")}
        command = [sys.executable, "-m", "millstream.cli", "worker", "--app", str(self.app)]
        process = subprocess.Popen(command, env=environ | as_environ(settings))
        self.processes.append(process)
        return process

    def notes(self) -> list[str]:
        return self.app.with_name("notes").read_text().split()


@pytest.fixture
async def killable(redis_url: str, tmp_path: Path) -> AsyncIterator[Killable]:
    killable = Killable(Bench(redis_url), tmp_path)
    yield killable
    for process in killable.processes:
        process.kill()
        await asyncio.to_thread(process.wait)
    await killable.bench.close()


async def test_a_worker_killed_between_two_steps(killable: Killable) -> None:
    bench = killable.bench
    first = killable.start()
    job = await bench.submit("order.fulfil", {"id": 7, "cents": 4200})
    assert await asyncio.to_thread(first.wait, 60) == -9
    assert await bench.types(job) == ["submitted", "started", "checkpointed", "checkpointed"]
    killable.start()
    types = await bench.ended(job)
    assert types[4:6] == ["lease_expired", "started"]
    assert types[-4:] == ["queued", "started", "checkpointed", "succeeded"]
    assert (await bench.last(job))["result"]["data"] == "R-7"
    assert killable.notes() == ["charge", "pack", "pack"]
    steps = [
        msgspec.json.decode(one.body)
        for one in await bench.history(job)
        if one.type == "job.checkpointed"
    ]
    names = [step["step"] for step in steps]
    assert names == ["key", "charge", "pack", "submit-1", "sleep-1", "submit-2"]
    mails = [one.job for one in await bench.queue_log("mails") if one.type == "job.submitted"]
    assert mails == [step["job_id"] for step in steps if "job_id" in step]
    (await check(bench.url, ["default", "mails"])).require()


def test_its_bounds_are_those_there_are() -> None:
    assert f"and {MAX_STEPS}\nsteps of a job" in PAGE
    assert f"At most {Settings().max_step_bytes // 1024} KiB" in PAGE
    assert Settings().idempotency_ttl == 86_400  # a day
    for name in re.findall(r"`(MILLSTREAM_[A-Z_]+)`", PAGE):
        load({name: "1000"})
