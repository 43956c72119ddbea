"""What a user installs is what lies here: wheel and sdist, built, installed clean and read."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import anyio
import pytest

from millstream.core import codec, connection
from millstream.core.events import JobSubmitted, JobSucceeded
from millstream.core.ids import new_id
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.queue import PartitionQueue, new_job
from millstream.core.upcast import decode

_ROOT = Path(__file__).parents[2]

_PROBE = """
from importlib.resources import files
import millstream.api, millstream.cli.main, millstream.consumers, millstream.core.config

def read_one(package, folder, kind):
    found = [f for f in files(package).joinpath(folder).iterdir() if f.name.endswith(kind)]
    assert found[0].read_text().strip()

read_one("millstream.core", "lua", ".lua")
read_one("millstream.sql", "migrations", ".sql")
print(millstream.api.__file__)
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "-q", "--no-isolation", "-o", str(folder), str(_ROOT))
    return folder  # `build` makes the wheel from the sdist, so the sdist is proved whole as well


@pytest.fixture(scope="module")
def clean_python(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel and what it declares to need."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    _run(
        sys.executable, "-m", "pip", "--python", str(python), "install", "-q",
        "--disable-pip-version-check", "-c", str(_ROOT / "constraints.txt"), str(_wheel(dist)),
    )  # fmt: skip
    return python


def test_the_sdist_holds_folders_not_symlinks_to_them(dist: Path) -> None:
    [sdist] = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"core/config.py", "sql/__init__.py", "pyproject.toml", "LICENSE"} <= names


def test_the_wheel_shadows_no_package_of_the_user(dist: Path) -> None:
    with zipfile.ZipFile(_wheel(dist)) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"millstream"}


def test_every_kind_of_file_is_found_in_a_clean_environment(
    clean_python: Path, tmp_path: Path
) -> None:
    shown = _run(str(clean_python), "-c", _PROBE, cwd=tmp_path)
    assert str(clean_python.parent.parent) in shown


def test_the_command_is_installed(clean_python: Path, tmp_path: Path) -> None:
    assert "worker" in _run(str(clean_python.with_name("millstream")), "--help", cwd=tmp_path)


_APP = """
from millstream.consumers import Context, job

@job("greet")
async def greet(ctx: Context, payload: str) -> str:
    return f"hello {payload}"
"""


async def test_a_worker_runs_a_job_from_there(
    clean_python: Path, tmp_path: Path, redis_url: str
) -> None:
    (tmp_path / "jobs.py").write_text(_APP)
    client = connection.connect(redis_url, timeout=10)
    queue = PartitionQueue(client, "default", Keys())
    spec = JobSubmitted(type="greet", payload=codec.wrap("world"))
    await queue.submit([new_job(new_id("default"), spec)])
    worker = _start_worker(clean_python, tmp_path, redis_url)
    try:
        result = await _result(LogReader(client, Keys()))
    finally:
        worker.terminate()
        assert worker.wait(30) == 0
        await client.aclose()
    assert result == "hello world"


def _start_worker(python: Path, folder: Path, redis_url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(python.with_name("millstream")), "worker", "--app", "jobs.py"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "MILLSTREAM_REDIS_URL": redis_url},
        stderr=subprocess.DEVNULL,
    )


async def _result(log: LogReader) -> object:
    with anyio.fail_after(60):
        while True:
            for record in await log.range("default"):
                event = decode(record)
                if isinstance(event, JobSucceeded):
                    return event.result.decode()
            await anyio.sleep(0.05)


def _wheel(dist: Path) -> Path:
    [wheel] = dist.glob("*.whl")
    return wheel


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
