"""What the demo promises, each as a check of its own. Pure: takes what was found, tells faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from ...core.errors import MillstreamError
from ...core.jobs import fold
from ...core.upcast import decode
from .plan import DATA_DAYS, DELAY, ROUNDS
from .session import Outcome


class Evidence(NamedTuple):
    """What is judged: outcomes, `stats/summary` before and after, and Message-IDs received."""

    outcomes: Sequence[Outcome]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    mails: Mapping[str, int]


class Promise(NamedTuple):
    """A sentence, and the check that yields what speaks against it."""

    text: str
    faults: Callable[[Evidence], Iterator[str]]


def as_planned(evidence: Evidence) -> Iterator[str]:
    """Each job has the state and the number of attempts that were planned."""
    for planned, job, _ in map(_parts, evidence.outcomes):
        found = job["state"], job["attempt"]
        if found != (planned.state, planned.attempts):
            yield (
                f"{planned.kind} job {job['id']}: expected {planned.state} after"
                f" {planned.attempts} attempts, got {found[0]} after {found[1]}"
                f" ({(job['error'] or {}).get('message', 'no error')})"
            )


def counted(evidence: Evidence) -> Iterator[str]:
    """The counters of PostgreSQL grew by exactly what was submitted."""
    wanted = Counter(outcome.planned.state for outcome in evidence.outcomes)
    before, after = evidence.before["by_state"], evidence.after["by_state"]
    for state in after:
        grown = after[state] - before[state]
        if grown != wanted[state]:
            yield f"{state}: expected {wanted[state]} more, got {grown}"
    if evidence.after["wait_ms"]["p50"] is None or evidence.after["run_ms"]["p50"] is None:
        yield "expected percentiles of waiting and running, got none"


def legal(evidence: Evidence) -> Iterator[str]:
    """The history of each job folds, by the rules of the state machine, to the job as shown."""
    for _, job, history in map(_parts, evidence.outcomes):
        try:
            records = [event.record() for event in history]
            told = fold((record, decode(record)) for record in records)
        except MillstreamError as error:
            yield str(error)
            continue
        if told is None:
            yield f"job {job['id']} has no history"
        elif (told.state.value, told.version) != (job["state"], job["version"]):
            shown = f"{job['state']} at version {job['version']}"
            yield f"job {job['id']} is shown as {shown}, its events say {told.state.value}"


def delivered(evidence: Evidence) -> Iterator[str]:
    """Every mail that succeeded was received once, and no other."""
    wanted = {
        f"<{job['id']}@example.org>"
        for planned, job, _ in map(_parts, evidence.outcomes)
        if planned.body["type"] == "email.send" and planned.state == "succeeded"
    }
    for message in sorted(wanted | evidence.mails.keys()):
        expected, got = int(message in wanted), evidence.mails.get(message, 0)
        if expected != got:
            yield f"mail {message}: expected {expected}, got {got}"


def adds_up(evidence: Evidence) -> Iterator[str]:
    """The answers of the queries together count each day of the data once a round."""
    days = 0
    for planned, job, _ in map(_parts, evidence.outcomes):
        if planned.kind == "query" and job["result"] is not None:
            days += job["result"]["rows"][0][0]
    if days != ROUNDS * DATA_DAYS:
        yield f"expected {ROUNDS * DATA_DAYS} days, got {days}"


def not_early(evidence: Evidence) -> Iterator[str]:
    """The delayed job waited for its time."""
    for planned, job, _ in map(_parts, evidence.outcomes):
        if planned.kind == "delayed" and job["started_at"] is not None:
            waited = _time(job["started_at"]) - _time(job["submitted_at"])
            if waited.total_seconds() < DELAY:
                yield f"expected a wait of {DELAY:g} s, got {waited.total_seconds():g} s"


PROMISES = (
    Promise("every job ended as planned, after the planned number of attempts", as_planned),
    Promise("the counters in PostgreSQL agree exactly", counted),
    Promise("every history is legal and tells the state shown", legal),
    Promise("every mail arrived once, and none that was given up", delivered),
    Promise("the answers of the queries add up to the whole data set", adds_up),
    Promise("the delayed job did not start early", not_early),
)


def _parts(outcome: Outcome) -> tuple[Any, ...]:
    return msgspec.structs.astuple(outcome)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
