"""Why a job that has not ended is where it is."""

from collections.abc import Callable, Sequence

from .. import events as ev
from ..events import Record
from ..jobs import JOBS, Job, JobState
from .facts import Awaited, Facts, Halt, Server
from .sentences import Sentence, at, by, count, fault, short, span
from .story import Story


def stand(story: Story, facts: Facts | None) -> list[Sentence]:
    """The reasons, the nearest one first; of a job that has ended only that its queue is halted."""
    if facts is not None and facts.halt is not None:
        return [_halted(facts.halt), *stand(story, None)]
    job = story.job
    if job is None or job.terminal:
        return []
    found = _STATES[job.state](story, job, facts)
    if job.state is JobState.RUNNING or facts is None:
        return found
    held_up = _held_up(story, job, facts)
    return held_up + found if job.state is JobState.QUEUED else found + held_up


def _halted(halt: Halt) -> Sentence:
    since = "" if halt.since is None else f" since {at(halt.since)}"
    text = f"Its queue is halted{since}, for its log in Redis was lost ({short(halt.reason)}):"
    text += " nothing is accepted and nothing runs there until `millstream restore`."
    if halt.until is not None:
        text += f" What follows is as it stood at {at(halt.until)}, with the last event that is"
        text += " archived of it."
    return Sentence("halted", text, [] if halt.end is None else [halt.end])


def _running(story: Story, job: Job, facts: Facts | None) -> list[Sentence]:
    begun = story.started
    since = "" if begun is None else f" since {at(begun.time)}"
    text = f"It runs{since}: attempt {job.attempt}, on worker {short(job.worker or '?')}."
    found = [_sentence("running", text, begun)]
    if facts is None:
        return found
    known = {server.name: server for server in facts.servers}
    server = known.get(job.worker or "")
    if server is None or server.condition == "silent":
        text = "Its worker has not reported for a while: if it is gone, another is given the job"
        found.append(_sentence("running.silent", f"{text} when the lease expires.", begun))
    return found


def _queued(story: Story, job: Job, facts: Facts | None) -> list[Sentence]:
    ready = story.ready
    since = "" if ready is None else f" since {at(ready.time)}"
    found = [_sentence("waits.turn", f"It may run{since} and waits for a worker.", ready)]
    if facts is not None and facts.mode != "paused":
        found += _not_taken(job, facts)
    return found


def _not_taken(job: Job, facts: Facts) -> list[Sentence]:
    """What keeps jobs of the queue from being started."""
    if facts.concurrency is not None and facts.running >= facts.concurrency:
        text = f"As many jobs of its queue run as may at once: {facts.running} of "
        return [_sentence("waits.queue_limit", f"{text}{facts.concurrency}.")]
    found: list[Sentence] = []
    able = [s for s in facts.servers if s.condition == "serving" and job.type in s.types]
    if able and all(server.busy for server in able):
        text = "All workers that could run it are busy; jobs of its queue that wait, with it"
        found.append(_sentence("waits.busy", f"{text}: {facts.queued}."))
    if facts.rated:
        text = "Starts of its queue are limited to a rate, which spaces them."
        found.append(_sentence("waits.queue_rate", text))
    return found


def _held_up(story: Story, job: Job, facts: Facts) -> list[Sentence]:
    """What will keep it from running even when its turn has come."""
    found: list[Sentence] = []
    if facts.mode == "paused":
        pause = story.pauses.lasting
        who = "" if pause is None else f", since {at(pause.begun.time)}{by(pause.by)}"
        text = f"Its queue is paused{who}: nothing of it is started."
        found.append(_sentence("waits.paused", text, None if pause is None else pause.begun))
    serving = [server for server in facts.servers if server.condition in ("serving", "stalled")]
    if not serving:
        found.append(_sentence("waits.no_worker", f"No worker serves its queue{_gone(facts)}."))
    elif not any(job.type in server.types for server in serving):
        text = f"No worker of its queue ({_names(serving)}) has a handler for {job.type}."
        found.append(_sentence("waits.no_handler", text))
    elif all(server.condition == "stalled" for server in serving):
        text = "The workers of its queue have free slots and do not look for jobs."
        found.append(_sentence("waits.stalled", text))
    return found


def _gone(facts: Facts) -> str:
    others = [server for server in facts.servers if server.condition in ("silent", "draining")]
    return f" ({_names(others)} is silent or shutting down)" if others else ""


def _names(servers: Sequence[Server]) -> str:
    return ", ".join(short(server.name) for server in servers[:3])


def _timed(story: Story, job: Job, facts: Facts | None) -> list[Sentence]:
    due = "a time" if job.run_at is None else at(job.run_at)
    code, why = _reason_of_time(story, job)
    text = f"It waits for {due}{why}."
    if facts is not None and job.run_at is not None and facts.now > job.run_at:
        text += f" That was {span(facts.now - job.run_at)} ago: a worker will look at it."
    return [_sentence(code, text, story.timed)]


def _reason_of_time(story: Story, job: Job) -> tuple[str, str]:
    match story.last:
        case ev.JobAttemptFailed(error=error):
            return (
                "waits.retry",
                f", its next attempt: attempt {job.attempt} failed ({fault(error)})",
            )
        case ev.JobSnoozed():
            return "waits.snoozed", ", since its handler asked to be called again then"
        case ev.JobReleased(reason=reason):
            return "waits.released", f", since a worker handed it back ({short(reason)})"
        case ev.JobRescheduled() | ev.JobRedriven() as command:
            return "waits.due", f", which it was given{by(command)}"
        case ev.JobReplaced():
            return "waits.due", ", the time the submission asked for that took its place"
        case _:
            return "waits.due", ", the time it was submitted for"


def _blocked(story: Story, job: Job, facts: Facts | None) -> list[Sentence]:
    """A blocked job waits for what its last event names: `_BLOCKED_BY` says for what."""
    if job.blocked_on == JOBS:
        return _by_jobs(story, facts)
    tell = _BLOCKED_BY.get(type(story.last), _blocked_somehow)
    return [tell(story, story.last, facts)]


def _by_limit(story: Story, event: ev.Event | None, facts: Facts | None) -> Sentence:
    on = short(event.on) if isinstance(event, ev.JobBlocked) else "a limit"
    since = "" if story.blocked is None else f" since {at(story.blocked.time)}"
    text = f"It waits{since} for a limit, {on}"
    gate = None if facts is None else facts.gate
    if gate is not None and gate.bound is not None:
        holders = ", ".join(gate.holders)
        text += f": {gate.running} of {gate.bound} have passed it" + (holders and f" ({holders})")
    if gate is not None and gate.opens_at is not None:
        text += f"; the next is let in at {at(gate.opens_at)}"
    if gate is not None and gate.ahead is not None:
        text += f"; {count(gate.ahead, 'job')} before it" if gate.ahead else "; it is next"
    return _sentence("waits.limit", f"{text}.", story.blocked)


def _by_jobs(story: Story, facts: Facts | None) -> list[Sentence]:
    since = "" if story.blocked is None else f" since {at(story.blocked.time)}"
    awaited = None if facts is None else facts.awaited
    others = "other jobs" if awaited is None else _others(awaited)
    found = [_sentence("waits.jobs", f"It waits{since} for {others} to end.", story.blocked)]
    for parent, outcome in () if awaited is None else awaited.unhappy:
        how = "was cancelled" if outcome == "cancelled" else "failed"
        text = f"Job {parent}, which it depends on, {how}: it goes on once that is run again and"
        found.append(_sentence("waits.parent", f"{text} succeeds.", story.blocked))
    return found


def _others(awaited: Awaited) -> str:
    others = count(awaited.count, "other job")
    return f"{others}, and for its flow to be closed," if awaited.open else others


def _blocked_somehow(story: Story, event: ev.Event | None, facts: Facts | None) -> Sentence:
    return _sentence("waits.blocked", "It is blocked.", story.blocked)


_BLOCKED_BY: dict[type, Callable[[Story, ev.Event | None, Facts | None], Sentence]] = {
    ev.JobBlocked: _by_limit,
}
"""The event that blocked a job → what it waits for."""

_STATES: dict[JobState, Callable[[Story, Job, Facts | None], list[Sentence]]] = {
    JobState.RUNNING: _running,
    JobState.QUEUED: _queued,
    JobState.SCHEDULED: _timed,
    JobState.RETRYING: _timed,
    JobState.BLOCKED: _blocked,
}


def _sentence(code: str, text: str, *records: Record | None) -> Sentence:
    return Sentence(code, text, [record.position for record in records if record is not None])
