"""The verbs of schedules.

They take the arguments of the scripts and give their replies: what stands between, the reckoning of
times and the bodies of events, is that of `schedule_store` for both.
"""

from __future__ import annotations

from typing import Any

from ..jobs import JobState
from .clock import Clock
from .firing import Firing, FiringJob, read_firings
from .jobs import Live
from .log import said
from .operating import Operating

MOST_RUNNING = 100

Fields = dict[str, bytes]
"""Of a schedule, as lua/includes/planned.lua names them."""


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


class Planning(Operating):
    """Schedules, and what they submit."""

    def __init__(self, name: str, clock: Clock) -> None:
        super().__init__(name, clock)
        self.schedules: dict[str, Fields] = {}
        self.planned: dict[str, int] = {}

    def schedule_put(
        self, name: str, expected: int | str, digest: str, spec: bytes, *more: Any
    ) -> tuple[bytes, int]:
        """Make a schedule, or change it: see schedule_put.lua."""
        next_at, due, body = more
        old = self.schedules.get(name, {})
        version, known = int(old.get("version", b"0")), old.get("digest", b"").decode()
        if digest and digest == known:
            return b"same", version
        if digest and version and not known:
            return b"foreign", version
        if not digest and expected != "" and int(expected) != version:
            return b"conflict" if version else b"missing", version
        if next_at == "=":
            next_at, due = old.get("next", b""), old.get("due", b"")
        self.tell("schedule.updated" if version else "schedule.created", body)
        self.schedules[name] = old | {
            "spec": spec,
            "version": _bytes(version + 1),
            "next": _bytes(next_at),
            "due": _bytes(due),
            "digest": (digest or known).encode(),
            "paused": old.get("paused", b""),
            "buffered": old.get("buffered", b""),
        }
        self._arrange(name)
        return b"updated" if version else b"created", version + 1

    def schedule_pause(self, name: str, how: str, *more: Any) -> tuple[bytes, int]:
        """Pause a schedule, or let it go on: see schedule_pause.lua."""
        expected, next_at, due, body = more
        old, pause = self.schedules.get(name, {}), how == "pause"
        version = int(old.get("version", b"0"))
        if not version:
            return b"missing", 0
        if bool(old["paused"]) == pause:
            return b"same", version
        if expected != "" and int(expected) != version:
            return b"conflict", version
        self.tell("schedule.paused" if pause else "schedule.resumed", body)
        old["version"], old["paused_at"] = _bytes(version + 1), _bytes(self.now)
        old["paused"] = body if pause else b""
        if not pause:
            old["next"], old["due"] = _bytes(next_at), _bytes(due)
        self._arrange(name)
        return b"paused" if pause else b"resumed", version + 1

    def schedule_delete(self, name: str, body: bytes) -> int:
        """Take a schedule away; of one that was declared its digest stays."""
        old = self.schedules.get(name, {})
        if "version" not in old:
            return 0
        self.tell("schedule.deleted", body)
        del self.schedules[name]
        self.planned.pop(name, None)
        if old["digest"]:
            self.schedules[name] = {"digest": old["digest"]}
        return 1

    def schedules_due(self, offset: int, limit: int) -> tuple[int, int, list[bytes], list[Any]]:
        """What is to be looked at now: see schedules_due.lua."""
        if self.mode == "draining":
            return self.now, 0, [], []
        order = sorted(self.planned, key=lambda name: (self.planned[name], name))
        due = [name for name in order if self.planned[name] <= self.now][offset : offset + limit]
        later = min((at for at in self.planned.values() if at > self.now), default=0)
        return self.now, later, [_bytes(name) for name in due], [self.flat(name) for name in due]

    def flat(self, name: str) -> list[bytes]:
        """Fields and values of a schedule, in turns."""
        fields = self.schedules.get(name, {})
        return [part for key, value in fields.items() for part in (key.encode(), value)]

    def _arrange(self, name: str) -> None:
        """Say when it is to be looked at: each second while an occurrence waits for a job."""
        fields = self.schedules[name]
        self.planned.pop(name, None)
        if fields["paused"] or not (fields["next"] or fields["buffered"]):
            return
        times = [int(fields["due"])] if fields["due"] else []
        if fields["buffered"]:
            times.append(self.now + 1000)
        self.planned[name] = min(times)

    # -- fire ---------------------------------------------------------------------

    def fire(self, command: str, kept_ms: int, *args: Any) -> list[tuple[bytes, bytes]]:
        """Turn occurrences into jobs, and move each schedule on: see fire.lua."""
        if command and (seen := self.answered(command)) is not None:
            assert isinstance(seen, bytes)
            return [(b"fired", seen)]
        firings = read_firings(args)
        self.check_ids([job.id for firing in firings for job in firing.jobs])
        draining = self.mode == "draining"
        replies = [(b"draining", b"") if draining else self._fire(firing) for firing in firings]
        if command and replies and replies[0][0] == b"fired":
            self.answer(command, replies[0][1], kept_ms)
        return replies

    def _fire(self, firing: Firing) -> tuple[bytes, bytes]:
        fields = self.schedules.get(firing.name, {})
        if refused := _refusal(firing, fields):
            return refused, b""
        running: list[str] = []
        if firing.overlap != "allow":
            named = fields.get("running") or fields.get("last_job") or b""
            running = [id for id in named.decode().split() if id in self.jobs.live]
        if firing.skipped:
            self.tell("schedule.skipped", firing.skipped)
        submitted: list[str] = []
        for job in firing.jobs:
            if self._admits(firing, job, fields, running):
                self._submit(firing, job, fields, running)
                submitted.append(job.id)
        tracked = "" if firing.overlap == "allow" else " ".join(running[-MOST_RUNNING:])
        fields["running"] = tracked.encode()
        if firing.moves:
            fields["next"], fields["due"] = _bytes(firing.next), _bytes(firing.due)
            self._arrange(firing.name)
        return b"fired", " ".join(submitted).encode()

    def _admits(self, firing: Firing, job: FiringJob, fields: Fields, running: list[str]) -> bool:
        """Whether an occurrence may become a job now; else it is skipped, or waits."""
        if firing.overlap == "allow" or not firing.moves or not running:
            return True
        if firing.overlap == "cancel_running":
            for id in running:
                self.cancel_one(id, said(actor=f"schedule {firing.name}", reason="overlap"))
            return True
        if firing.overlap == "skip":
            self._skip(firing.name, job.occurrence, "overlap")
        elif not fields["buffered"]:
            fields["buffered"] = _bytes(job.occurrence)
        elif int(fields["buffered"]) != job.occurrence:
            self._skip(firing.name, job.occurrence, "buffered")
        return False

    def _skip(self, name: str, occurrence: int, reason: str) -> None:
        self.tell("schedule.skipped", said(schedule=name, occurrence=occurrence, reason=reason))

    def _submit(self, firing: Firing, given: FiringJob, fields: Fields, running: list[str]) -> None:
        expires = given.expires or None
        job = Live(given.id, given.priority, given.body, JobState.QUEUED, expires=expires)
        self.accept(job)
        self.enter(job)
        self.bell = True
        body = said(
            schedule=firing.name, occurrence=given.occurrence, job_id=given.id, cause=given.cause
        )
        self.tell("schedule.fired", body[:-1] + firing.by + b"}")
        if firing.moves and fields["buffered"] == _bytes(given.occurrence):
            fields["buffered"] = b""
        if given.cause != "backfill":
            running.append(given.id)
            fields["last_job"] = given.id.encode()
            fields["last_occurrence"] = _bytes(given.occurrence)
            fields["last_at"] = _bytes(self.now)


def _refusal(firing: Firing, fields: Fields) -> bytes | None:
    """Why a schedule cannot be fired as was thought."""
    if "version" not in fields:
        return b"missing"
    if int(fields["version"]) != firing.version:
        return b"changed"
    stands = fields["next"], fields["buffered"], fields["paused"]
    if firing.moves and stands != (_bytes(firing.position), _bytes(firing.buffered), b""):
        return b"lost"
    return None
