"""The SQL of a page of jobs: newest first, from where the page before ended.

Ids are in order of creation, so the page's order, its cursor and the range of creation are all one
index. A statement is built of the conditions that are asked for only: one that fits all filters
would fit no index.
"""

import base64
import binascii
from typing import Any

import msgspec

from ..core.errors import InvalidCursor
from ..core.ids import is_id
from ..core.jobs import JobState

_COLUMNS = """id, queue, type, state, priority, attempt, max_attempts, crashes, payload,
 payload_codec, result, result_codec, error, failure, submitted_at, run_at, ready_at, started_at,
 finished_at, expires_at, worker, cancel_requested, tags, metadata, blocked_on, concurrency_key,
 rate_key, schedule, occurrence, flow, on_parent_failure, fingerprint, discarded, command, progress,
 version, epoch, seq"""

MAX_MS = (1 << 48) - 1


class JobFilter(msgspec.Struct, frozen=True):
    """What jobs are asked for; conditions left out let all through.

    error           part of "type: message" of the last error, in any case
    created_after   ms since 1970, of the clock that gave the id; included
    created_before  the same; excluded
    fingerprint     of failed jobs
    discarded       whether they are to have been discarded
    command         of the action on many jobs that ran them again
    flow            they are part of
    """

    states: tuple[JobState, ...] = ()
    type: str | None = None
    queue: str | None = None
    tag: str | None = None
    error: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    fingerprint: str | None = None
    discarded: bool | None = None
    command: str | None = None
    flow: str | None = None


def listing(
    wanted: JobFilter, before: str | None, limit: int, columns: str = _COLUMNS
) -> tuple[str, list[Any]]:
    """The statement and its arguments; `before`: the last id of the page before.

    `columns` must include the id.
    """
    args: list[Any] = [limit]
    found = conditions(wanted, before, args)
    # One branch per state: each reads its own index in the order of the page, which a list of
    # states could not. Literals, since a plan for any state cannot use an index for some.
    branches = [
        _page([*found, f"state = '{JobState(state).value}'"], columns) for state in wanted.states
    ] or [_page(found, columns)]
    if len(branches) == 1:
        return branches[0], args
    union = " UNION ALL ".join(f"({branch})" for branch in branches)
    return f"{union} ORDER BY id DESC LIMIT $1", args


def _page(conditions: list[str], columns: str) -> str:
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns} FROM jobs{where} ORDER BY id DESC LIMIT $1"  # noqa: S608


def conditions(wanted: JobFilter, before: str | None, args: list[Any]) -> list[str]:
    """What `wanted` says but for the states, as SQL; appends to `args` what it refers to."""
    found: list[str] = []

    def add(condition: str, value: object) -> None:
        args.append(value)
        found.append(condition.format(f"${len(args)}"))

    if before is not None:
        add("id < {}::uuid", before)
    if wanted.created_after is not None:
        add("id >= {}::uuid", _least_id(wanted.created_after))
    if wanted.created_before is not None:
        add("id < {}::uuid", _least_id(wanted.created_before))
    if wanted.queue is not None:
        add("queue = {}", wanted.queue)
    if wanted.type is not None:
        add("type = {}", wanted.type)
    if wanted.tag is not None:
        add("tags IS NOT NULL AND tags @> ARRAY[{}::text]", wanted.tag)
    if wanted.error is not None:
        add("error_text IS NOT NULL AND error_text ILIKE {}", _containing(wanted.error))
    if wanted.fingerprint is not None:
        add("fingerprint = {}", wanted.fingerprint)
    if wanted.discarded is not None:
        found.append("discarded" if wanted.discarded else "NOT discarded")
    if wanted.command is not None:
        add("command = {}", wanted.command)
    if wanted.flow is not None:
        add("flow = {}::uuid", wanted.flow)
    return found


def _least_id(ms: int) -> str:
    digits = f"{min(max(ms, 0), MAX_MS):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def _containing(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def next_cursor(last: str) -> str:
    """The cursor of the page after the job `last`."""
    return (
        base64.urlsafe_b64encode(b"1" + bytes.fromhex(last.replace("-", ""))).decode().rstrip("=")
    )


def read_cursor(cursor: str | None) -> str | None:
    """The last job of the page before; raises InvalidCursor."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidCursor(cursor) from None
    digits = raw[1:].hex()
    last = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    if raw[:1] != b"1" or not is_id(last) or next_cursor(last) != cursor:
        raise InvalidCursor(cursor)
    return last
