"""What a restore makes of the events of a job, a queue and its schedules."""

from __future__ import annotations

import msgspec
from hypothesis import given

from millstream.core import events as ev
from millstream.core.jobs import TERMINAL, JobState, fold
from millstream.core.reviving.jobs import LOCKED, NONE, QUEUED, STEPS, released, revive
from millstream.core.reviving.schedules import Standings, fields
from millstream.core.reviving.settings import Settings
from millstream.core.upcast import decode
from tests.strategies import START_MS, Pair, histories, job_id, record_of

HOUR = 3_600_000


def life(*events: ev.Event) -> list[ev.Record]:
    return [
        record_of(event, job=job_id(1), version=n, seq=n, time=START_MS + n)
        for n, event in enumerate(events, 1)
    ]


def own(*events: ev.Event, step_ms: int = 1000) -> list[ev.Record]:
    return [
        record_of(event, job="", version=0, seq=n, time=START_MS + n * step_ms)
        for n, event in enumerate(events, 1)
    ]


@given(histories(max_size=14))
def test_what_is_appended_follows_legally_and_leaves_nothing_running(history: list[Pair]) -> None:
    records = [record for record, _ in history]
    before = fold(history)
    assert before is not None
    revived = revive(records)
    assert revived.version == before.version
    appended = [
        record_of(
            decode(msgspec.structs.replace(records[-1], type=kind, body=body)),
            job=before.id, version=before.version + n, seq=len(records) + n, time=START_MS * 2,
        )
        for n, (kind, body) in enumerate(revived.events, 1)
    ]  # fmt: skip
    after = fold([*history, *((record, decode(record)) for record in appended)])
    assert after is not None
    assert (revived.code == NONE) == (after.state in TERMINAL)
    assert after.state not in (JobState.RUNNING, JobState.BLOCKED)
    assert (revived.code == QUEUED) == (after.state is JobState.QUEUED)
    assert released(revived) == any(kind == "job.released" for kind, _ in revived.events)
    if before.state in TERMINAL:
        assert revived.events == []


@given(histories(max_size=10))
def test_events_that_are_salvaged_are_as_if_they_had_been_archived(history: list[Pair]) -> None:
    records = [record for record, _ in history]
    whole = revive(records)
    for cut in range(1, len(records)):
        again = revive(records[:cut], records[cut:])
        salvaged = [(record.type, record.body) for record in records[cut:]]
        assert again.events == salvaged + whole.events
        assert again._replace(events=[], version=0) == whole._replace(events=[], version=0)


def test_the_archive_may_end_between_two_events_of_one_script() -> None:
    submitted = ev.JobSubmitted("t", max_attempts=1)
    failed = ev.JobAttemptFailed(ev.Fault("E", "no"))
    ended = revive(life(submitted, ev.JobStarted(1, "w"), failed))
    assert ended.events == [("job.failed", b'{"reason":"exhausted"}')]
    asked = life(submitted, ev.JobStarted(1, "w"), ev.JobCancelRequested(), ev.JobSnoozed(5))
    assert revive(asked).events == [("job.cancelled", b"{}")]


def test_tries_steps_and_locks() -> None:
    locked = ev.JobSubmitted("t", lock="ab", lock_scope="unfinished")
    records = life(
        locked, ev.JobStarted(1, "w"), ev.JobCheckpointed("a"),
        ev.JobAttemptFailed(ev.Fault("E", "no"), 5), ev.JobQueued("retry"),
        ev.JobStarted(2, "w"), ev.JobLeaseExpired("w", 1),
    )  # fmt: skip
    revived = revive(records)
    assert (revived.tries, revived.job.crashes, revived.flags) == (1, 1, LOCKED | STEPS)
    assert revived.lock == ("ab", records[0])
    assert revived.steps == {"a": records[2].body}
    again = revive([*records, *life(*[ev.JobStarted(2, "w")] * 8)[7:]])
    assert again.events == [("job.released", b'{"reason":"restored"}')]


def test_a_schedule_stands_where_its_last_firing_left_it() -> None:
    spec = {"name": "s", "type": "t", "every": 3600.0}
    first = START_MS // HOUR * HOUR + HOUR
    standings = Standings()
    job = job_id(1)
    for record in own(
        ev.ScheduleCreated(schedule="s", spec=spec), ev.ScheduleFired("s", first, job),
        ev.ScheduleSkipped("s", first + HOUR, "overlap"), ev.SchedulePaused(schedule="s"),
        ev.ScheduleCreated(schedule="other", spec={**spec, "name": "other"}, digest="d"),
        ev.ScheduleDeleted(schedule="other"),
    ):  # fmt: skip
        standings.take(record, decode(record))
    told = fields(standings.found["s"], {job})
    assert (told["version"], told["next"], told["paused"]) == (
        2,
        first + 2 * HOUR,
        b'{"schedule":"s"}',
    )
    assert (told["last_job"], told["last_occurrence"]) == (job, first)
    assert fields(standings.found["other"], set()) == {"digest": "d"}


def test_an_occurrence_that_waits_is_found_again() -> None:
    spec = {"name": "s", "type": "t", "every": 3600.0, "overlap": "buffer_one"}
    first = START_MS // HOUR * HOUR + HOUR
    standings = Standings()
    for record in own(
        ev.ScheduleCreated(schedule="s", spec=spec), ev.ScheduleFired("s", first, job_id(1)),
        ev.ScheduleSkipped("s", first + 2 * HOUR, "buffered"),
    ):  # fmt: skip
        standings.take(record, decode(record))
    told = fields(standings.found["s"], {job_id(1)})
    assert (told["buffered"], told["next"]) == (first + HOUR, first + 3 * HOUR)
    assert told["running"] == job_id(1)


def test_settings_are_those_of_the_last_commands() -> None:
    settings = Settings()
    for event in (
        ev.QueuePaused(), ev.QueueConfigured(settings={"concurrency": 5, "aging": 2.0}),
        ev.WorkerStarted("w", ["a", "b"]), ev.QueueDraining(),
        ev.QueueConfigured(settings={"types": {"a": {"concurrency": 1}}}),
        ev.QueueConfigured(settings={"concurrency": None, "types": {"a": {"concurrency": None}}}),
    ):  # fmt: skip
        settings.take(event)
    assert (settings.mode, settings.types) == ("draining", {"a", "b"})
    assert settings.bounds == {"aging": "2000", "c:a": "-"}
