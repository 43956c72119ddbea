"""Steps of a job over HTTP: in its history, with what they gave."""

from __future__ import annotations

from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.events import JobCheckpointed
from millstream.core.stepping import new_checkpoint
from tests.invariants import check

from .conftest import Api, Core


async def test_the_history_of_a_job_tells_its_steps(
    api: Api, core: Core, projector: None, settings: Settings
) -> None:
    id = api.submit()
    (lease,) = await core.claim()
    steps = [
        JobCheckpointed("charge", wrap({"receipt": 7})),
        JobCheckpointed("sleep-1", wake_at=1_750_000_000_000),
    ]
    made = [new_checkpoint(lease.id, lease.fence, step) for step in steps]
    assert await core.directory.queue("default").checkpoint(made) == [1, 1]
    await core.succeed(lease, 6)
    shown = api.job(id, wait=60)
    assert (shown["state"], shown["result"]) == ("succeeded", 6)
    events = api.get(f"/jobs/{id}/events")["items"]
    assert [event["type"] for event in events[2:4]] == ["job.checkpointed"] * 2
    assert [event["body"] for event in events[2:4]] == [
        {"step": "charge", "result": {"data": {"receipt": 7}, "codec": "json"}},
        {"step": "sleep-1", "wake_at": 1_750_000_000_000},
    ]
    (await check(settings.redis_url, ["default"], dsn=settings.postgres_dsn)).require()
