"""What docs/schedules.md shows is what there is."""

import re
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from millstream.cli.schedules import command
from millstream.consumers import Registry
from millstream.core.cron import MACROS, Cron
from millstream.core.firing import MAX_COUNTED, ON_TIME_MS
from millstream.core.schedules import MAX_CATCHUP_LIMIT, check_schedule_spec, read_schedule

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
ROWS = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `(\d[^`]+)` \| (.+) \|$", PAGE, re.MULTILINE)


async def test_its_handler_is_scheduled_and_knows_its_occurrence() -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    registry = Registry()
    shown = {"__name__": "page"}
    exec(code.replace("import Context, job", "import Context").replace("@job", "@registry.job"),
         shown | {"registry": registry}, shown)  # fmt: skip
    handler = registry.get("report")
    assert handler is not None
    assert handler.schedule is not None
    assert (handler.schedule.cron, handler.schedule.overlap) == ("0 3 * * MON-FRI", "skip")
    context = SimpleNamespace(occurrence=datetime(2026, 5, 4, 1, tzinfo=UTC))
    assert await handler.function(context, None) == "the report of 2026-05-04"


def test_its_schedule_can_be_made() -> None:
    [body] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    check_schedule_spec(read_schedule(body))


def test_its_table_of_clocks_has_rows() -> None:
    assert len(ROWS) == 5


@pytest.mark.parametrize(("cron", "zone", "begin", "told"), ROWS)
def test_clocks_change_as_its_table_says(cron: str, zone: str, begin: str, told: str) -> None:
    wanted, after = told.split(" · "), int(datetime.fromisoformat(begin).timestamp())
    found = islice(Cron(cron, zone).after(after), len(wanted))
    assert [f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M}" for at in found] == wanted


def test_its_macros_and_bounds_are_true() -> None:
    (macros,) = re.findall(r"or `(@hourly[^`]*)`", PAGE)
    assert macros.split() == list(MACROS)
    assert f"up to {ON_TIME_MS // 1000} seconds late is on time" in PAGE
    assert f"at most {MAX_CATCHUP_LIMIT})" in PAGE
    assert f"no more than {MAX_COUNTED:,} are counted" in PAGE


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"millstream schedules (\w+)", PAGE))))
def test_its_commands_exist(verb: str) -> None:
    assert CliRunner().invoke(command, [verb, "--help"]).exit_code == 0
