"""Whether a handler takes the payload of a job: asked of what live workers said, before it is
accepted.

What was read is believed for about a second. Before a payload is refused it is read again: a worker
that takes it may have started a moment ago.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..core.shapes import read_document, read_told, type_of
from ..core.workers import SILENT_AFTER, Seen, Workers
from .misfits import fault_of
from .problems import INVALID_PAYLOAD, MAX_FAULTS, Fault, faulty
from .submission import Submission, path_of
from .submitter import insist

FRESH = 1.0
"""Seconds for which what was read is believed, unless a payload is to be refused by it."""

HEARD_WITHIN = 600.0
"""Seconds since its last report for which a worker's word can still make a payload acceptable.
Long: after an outage of Redis all reports are old, and not all workers are back at once."""


class Taker:
    """A payload type as workers declared it: `text` is its shape (JSON)."""

    __slots__ = ("_decode", "_kind", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._kind: Any = msgspec.Raw
        self._decode: Callable[[msgspec.Raw], Any] | None = None

    def error(self, payload: msgspec.Raw) -> msgspec.ValidationError | None:
        """Why it does not take a payload."""
        try:
            (self._decode or self._made())(payload)
        except msgspec.ValidationError as error:
            return error
        except Exception:  # no refusal, but something nobody foresaw: that is for the worker to say
            return None
        return None

    def fault(self, payload: msgspec.Raw, under: str) -> Fault | None:
        """The same, for a payload that stands at the path `under`."""
        error = self.error(payload)
        return None if error is None else fault_of(error, bytes(payload), self._kind, under=under)

    def _made(self) -> Callable[[msgspec.Raw], Any]:
        """Made when it is first asked: a worker may know many types that are never submitted."""
        try:
            self._kind = type_of(read_told(self._text))
        except msgspec.MsgspecError:  # of a later release, in a form not known here
            self._kind = msgspec.Raw
        self._decode = msgspec.json.Decoder(self._kind).decode
        return self._decode


class Payloads:
    """What payloads the workers take."""

    def __init__(self, workers: Workers, enabled: bool) -> None:
        self._workers = workers
        self._enabled = enabled
        self._documents: dict[str, Mapping[str, bytes]] = {}
        self._takers: dict[str, list[Taker]] = {}
        self._made: dict[bytes, Taker] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def check(self, jobs: Sequence[Submission], paths: Sequence[str] = ()) -> None:
        """Refuse jobs whose payloads no live worker takes.

        `paths`: where the request has each job; by default in a list `jobs`.
        Raises Problem that names them, and Unavailable.
        """
        if not self._enabled:
            return
        now = time.monotonic()
        if now - self._read_at > FRESH:
            await self._look(now - FRESH)
        if not self._takers:
            return
        if self._refused(jobs):
            await self._look(time.monotonic())
            faults = list(self._faults(jobs, paths, self._refused(jobs)))
            if faults:
                raise faulty(INVALID_PAYLOAD, faults)

    def _refused(self, jobs: Sequence[Submission]) -> list[int]:
        """The places of jobs that nobody takes, the first `MAX_FAULTS` of them."""
        takers, found = self._takers, list[int]()
        for index, job in enumerate(jobs):
            known = takers.get(job.type)
            if known is not None and all(one.error(job.payload) for one in known):
                found.append(index)
                if len(found) == MAX_FAULTS:
                    break
        return found

    def _faults(
        self, jobs: Sequence[Submission], paths: Sequence[str], refused: Iterable[int]
    ) -> Iterable[Fault]:
        """What the worker that started last has against each."""
        for index in refused:
            job, under = jobs[index], f"{path_of(paths, index)}.payload"
            fault = self._takers[job.type][0].fault(job.payload, under)
            if fault is not None:
                yield fault

    async def _look(self, since: float) -> None:
        """Read what workers say, unless that was begun since then; once, however many ask."""
        while self._read_at < since:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)

    async def _read(self) -> None:
        began = time.monotonic()
        seen = [one for one in await insist(self._workers.all) if one.age <= HEARD_WITHIN]
        wanted = {one.report.takes for one in seen if one.report.takes}
        found = {digest: kept for digest, kept in self._documents.items() if digest in wanted}
        missing = wanted - found.keys()
        for digest, text in (await insist(lambda: self._workers.takes(missing))).items():
            found[digest] = _read_document(text)
        self._documents = found
        self._takers = self._combined(seen)
        used = {id(one) for known in self._takers.values() for one in known}
        self._made = {text: one for text, one in self._made.items() if id(one) in used}
        self._read_at = began

    def _combined(self, seen: Iterable[Seen]) -> dict[str, list[Taker]]:
        """Job type → what workers declared for it, the one that started last first.

        Without types of which somebody takes any payload, and those that nobody serves now.
        """
        told: dict[str, dict[bytes, None]] = {}
        served, free = set[str](), set[str]()
        for one in sorted(seen, key=lambda one: one.report.started_at, reverse=True):
            report = one.report
            document = self._documents.get(report.takes, {})
            for type in report.types:
                text = document.get(type)
                if text is None:
                    free.add(type)
                else:
                    told.setdefault(type, {})[text] = None
            if one.age <= SILENT_AFTER and not report.draining:
                served.update(report.types)
        return {
            type: [self._taker(text) for text in texts]
            for type, texts in told.items()
            if type in served and type not in free
        }

    def _taker(self, text: bytes) -> Taker:
        return self._made.setdefault(text, Taker(text))


def _read_document(text: bytes) -> Mapping[str, bytes]:
    """What a worker takes; nothing is known of it if a later release wrote it in another form."""
    try:
        return {name: bytes(shape) for name, shape in read_document(text).items()}
    except msgspec.MsgspecError:
        return {}
