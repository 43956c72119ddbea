"""Apps: modules by dotted name or by file, and clear errors for the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.consumers import AppError, HandlerError
from millstream.consumers.loading import load_apps

APP = """
from millstream.consumers import Context, Registry, job
own = Registry()

@own.job("{name}")
def handle(ctx: Context, payload: int) -> int:
    return payload
"""

TELL = """
import sys
from millstream.consumers.faults import fault_of
from millstream.consumers.loading import load_module
print(fault_of(load_module(sys.argv[1]).Declined()).type)
"""


def test_a_file_with_a_registry_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "json.py"  # a name that must not hide the module of that name
    file.write_text(APP.format(name="from.file"))
    registry = load_apps([f"{file}:own"])
    assert "from.file" in registry
    import json

    assert json.dumps([1]) == "[1]"
    assert "from.file" not in load_apps([])


def test_a_dotted_module_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop_a").mkdir()
    (tmp_path / "shop_a" / "__init__.py").touch()
    (tmp_path / "shop_a" / "jobs.py").write_text(APP.format(name="from.module"))
    assert "from.module" in load_apps(["shop_a.jobs:own"])
    assert "from.module" in load_apps(["shop_a/jobs.py:own"])


def test_a_file_in_a_package_may_import_relatively(tmp_path: Path) -> None:
    package = tmp_path / "shop_b"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "names.py").write_text("NAME = 'from.package'")
    (package / "jobs.py").write_text(
        "from .names import NAME\n" + APP.replace('"{name}"', "NAME").format()
    )
    assert "from.package" in load_apps([f"{package / 'jobs.py'}:own"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 / 0", "runs without errors, got: ZeroDivisionError: division by zero"),
        ("import nowhere_at_all", "runs without errors, got: ModuleNotFoundError"),
        ("own = 3", "a Registry named 'own' in it, got: 3"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, source: str, expected: str) -> None:
    file = tmp_path / "app.py"
    file.write_text(source)
    with pytest.raises(AppError, match=expected):
        load_apps([f"{file}:own"])


def test_apps_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"a file that exists, got: .*missing\.py"):
        load_apps([str(tmp_path / "missing.py")])
    with pytest.raises(AppError, match=r"a module that can be found from here.*no_such_module"):
        load_apps(["no_such_module.jobs"])
    with pytest.raises(AppError, match="a dotted module name or a path"):
        load_apps(["what is this"])


def test_two_apps_with_one_type(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(APP.format(name="same"))
    with pytest.raises(HandlerError, match="one handler per job type"):
        load_apps([f"{tmp_path / 'one.py'}:own", f"{tmp_path / 'two.py'}:own"])


def test_an_error_of_a_file_is_told_alike_by_every_process_and_folder(tmp_path: Path) -> None:
    told = set[str]()
    for number in ("1", "2"):
        file = tmp_path / number / "shop.py"
        file.parent.mkdir()
        file.write_text("class Declined(Exception): ...")
        told.add(
            subprocess.run(
                [sys.executable, "-c", TELL, str(file)],
                env={**os.environ, "PYTHONHASHSEED": number},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
    assert told == {"shop.Declined\n"}


def test_two_files_of_one_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "twins.py").write_text(APP.format(name=f"of.{name}"))
    apps = [f"{tmp_path / name / 'twins.py'}:own" for name in ("a", "b")]
    for _ in range(2):
        registry = load_apps(apps)
        assert {"of.a", "of.b"} <= {handler.type for handler in registry}
