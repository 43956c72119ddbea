"""What docs/retries.md and docs/dead-letters.md show is what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream.api.actions import Action
from millstream.api.submission import Submission
from millstream.api.views import AttemptView
from millstream.consumers import Context, Registry
from millstream.core.events import Fault
from millstream.core.fingerprint import fingerprint_of
from millstream.core.retry import MAX_DELAYS, Backoff, delay_after
from tests.consumers.rig import Rig, body, end

DOCS = Path(__file__).parents[2] / "docs"
RETRIES, DEAD = ((DOCS / name).read_text() for name in ("retries.md", "dead-letters.md"))


def shown() -> Registry:
    """The registry that the page's handler is in."""
    [code] = re.findall(r"```python\n(.*?)```", RETRIES, re.DOTALL)
    registry = Registry()
    names: dict[str, Any] = {"__name__": "page", "registry": registry}
    code = code.replace("Context, job", "Context").replace("@job", "@registry.job")
    exec(code, names)
    return registry


async def test_its_handler_is_retried_as_it_says() -> None:
    registry = shown()
    handler = registry.get("charge")
    assert handler is not None
    assert handler.backoff is not None
    assert [delay_after(n, handler.backoff, 0) for n in range(1, 6)] == [1, 10, 60, 600, 600]
    rig = Rig(registry)
    done = await rig.run("charge", 5, attempt=2)
    assert body(done)["result"]["data"] == "charged 5 at attempt 2 of 5"
    declined = await rig.run("charge", 1001)
    assert end(declined) == {"reason": "non_retryable"}
    assert body(declined)["error"]["type"] == "page.Declined"


def test_its_submission_is_one() -> None:
    [text] = re.findall(r"```json\n(.*?)```", RETRIES, re.DOTALL)
    given = msgspec.json.decode(text, type=Submission)
    assert given.backoff == Backoff("list", delays=(5, 30, 300))


@pytest.mark.parametrize("kind", ["exponential", "linear", "fixed", "list"])
def test_its_kinds_and_defaults_are_true(kind: str) -> None:
    assert f"| `{kind}`" in RETRIES
    default = Backoff()
    assert (default.kind, default.jitter) == ("exponential", 0.1)
    assert (default.delay, default.factor, default.max) == (1, 2, 3600)
    assert f"At most {MAX_DELAYS}, taken as they are" in RETRIES


def test_its_attempt_is_as_the_api_tells_it() -> None:
    [line] = re.findall(r"^    (\{.*\})$", RETRIES, re.MULTILINE)
    assert msgspec.json.decode(line, type=AttemptView).outcome == "failed"
    assert list(msgspec.json.decode(line)) == list(AttemptView.__struct_fields__)


def test_its_action_is_one() -> None:
    [text] = re.findall(r"```json\n(.*?)```", DEAD, re.DOTALL)
    assert msgspec.json.decode(text, type=Action).rate == 20


def test_its_error_is_told_as_it_says() -> None:
    kind, message = re.findall(r"^`(\w+): (.*)` in `charge`", DEAD, re.MULTILINE)[0]
    told = fingerprint_of("exhausted", Fault(kind, message, 'File "/a/jobs.py", line 1, in charge'))
    assert f"    {told.label}\n" in DEAD


def test_the_context_is_what_the_page_imports() -> None:
    assert {"attempt", "max_attempts", "fence"} <= set(dir(Context))
