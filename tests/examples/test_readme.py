"""What the README shows is what there is."""

import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from millstream.consumers import Registry
from millstream.core.config import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


CODE, TEST = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


async def test_its_handler_greets() -> None:
    registry = Registry()
    shown = {"__name__": "readme"}
    # The same decorator, on a registry of the test's own.
    exec(CODE.replace("import Context, job", "import Context").replace("@job", "@registry.job"),
         shown | {"registry": registry}, shown)  # fmt: skip
    handler = registry.get("greet")
    assert handler is not None
    payload = handler.decode(msgspec.Raw(b'{"name": "world"}'))
    assert await handler.function(None, payload) == "hello world"
    tested: dict[str, Any] = {"registry": registry}
    exec(TEST.replace('"jobs.py"', "registry"), tested)
    await tested["test_a_greeting"]()


def test_its_commands_are_targets_of_the_makefile() -> None:
    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True)
    for target in set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE)):
        assert f"make {target}" in listed.stdout


def test_its_settings_exist() -> None:
    for name in re.findall(r"`(MILLSTREAM_[A-Z_]+)`", README):
        if name != "MILLSTREAM_CONFIG":
            load({name: _sample(name)})


SAMPLES = {
    "MILLSTREAM_MAX_MEMORY": "1GiB",
    "MILLSTREAM_RETENTION": "*:90,emails:7",
    "MILLSTREAM_RETENTION_STATISTICS": "365",
    "MILLSTREAM_ERASURE_SECRET": "07" * 32,
    "MILLSTREAM_ERASURE_OLD_SECRET": "08" * 32,
}


def _sample(name: str) -> str:
    if name in SAMPLES:
        return SAMPLES[name]
    default = getattr(load({}), name.removeprefix("MILLSTREAM_").lower())
    if isinstance(default, tuple):
        return "default"
    return "somewhere" if default is None else str(default)
