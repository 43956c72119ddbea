"""Progress of a job over HTTP."""

from __future__ import annotations

from millstream.core.config import Settings
from millstream.core.events import JobProgressed
from millstream.core.progressing import new_told
from tests.invariants import check

from .conftest import Api, Core, until


async def test_a_job_shows_how_far_it_is(
    api: Api, core: Core, projector: None, settings: Settings
) -> None:
    id = api.submit()
    assert api.job(id)["progress"] is None
    (lease,) = await core.claim()
    report = new_told(id, lease.fence, JobProgressed(0.4, "page 2 of 5"))
    assert await core.directory.queue("default").progress([report]) == [1]
    shown = until(lambda: api.job(id)["progress"])
    assert (shown["value"], shown["message"]) == (0.4, "page 2 of 5")
    assert shown["at"] == api.get(f"/jobs/{id}/events")["items"][-1]["time"]
    (listed,) = api.get("/jobs", state="running")["items"]
    assert listed["progress"] == shown
    await core.succeed(lease, 6)
    ended = api.job(id, wait=60)
    assert ended["progress"] == {"value": 1.0, "message": "", "at": ended["finished_at"]}
    (await check(settings.redis_url, ["default"], dsn=settings.postgres_dsn)).require()
