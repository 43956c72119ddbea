"""The examples of docs/order.md are settings that mean what it says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from millstream.consumers.turns import Turns
from millstream.core import config

PAGE = (Path(__file__).parents[2] / "docs" / "order.md").read_text()


def test_weights_in_the_environment_and_in_a_file_are_the_same(tmp_path: Path) -> None:
    (line,) = re.findall(r"```sh\n(MILLSTREAM_.*?)\n```", PAGE)
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    name, value = line.split("=")
    file = tmp_path / "millstream.toml"
    file.write_text(text)
    weights = config.load({name: value}).weights
    assert weights == config.load({}, file).weights == {"emails": 3, "default": 1}


def test_three_of_every_four_jobs_are_emails() -> None:
    turns = Turns()
    for name, weight in config.load({"MILLSTREAM_QUEUES": "emails:3,default:1"}).weights.items():
        turns.add(name, weight)
        turns.enter(name)
    given = Counter[str]()
    for _ in range(400):
        name = turns.take()
        turns.charge(name, 1)
        turns.enter(name)
        given[name] += 1
    assert given == {"emails": 300, "default": 100}
