"""A client as the documentation advises one to be: who got no answer asks again under its key."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import anyio
import httpx2

from tests.audits.operations import Operation

from .diary import Diary
from .kinds import Body

TIMEOUT = 4.0
GIVES_UP_AFTER = 120.0
CONFLICT = 409


class Answer(NamedTuple):
    """status 0: there was no answer."""

    status: int
    body: Any = None


class Wish(NamedTuple):
    """One request that submits jobs.

    jobs  of which each is told, in their order; a lone one is told alone
    body  what is sent, which holds them
    more  the flow is open: these are added to it, and then it is closed
    """

    path: str
    jobs: Sequence[Body]
    body: Any
    more: Sequence[Body] = ()


def lone(body: Body, ack: str = "memory") -> Wish:
    """A job in a request of its own."""
    return Wish("/jobs", [body], _sure(body, ack))


def batch(bodies: Sequence[Body], ack: str = "memory") -> Wish:
    """Some that have nothing to do with each other."""
    return Wish("/jobs/batch", bodies, _sure({"jobs": list(bodies)}, ack))


def _sure(body: Body, ack: str) -> Body:
    """With the level at which it is to be acknowledged; the body is still that of the jobs."""
    if ack != "memory":
        body["ack"] = ack
    return body


class Client:
    """Asks over HTTP, and writes down what it asked and was told."""

    def __init__(self, url: str, diary: Diary, seed: int) -> None:
        self.diary = diary
        self.random = Random(f"client {seed}")
        self.accepted: list[str] = []
        self._http = httpx2.AsyncClient(base_url=f"{url}/api/v1", timeout=TIMEOUT)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; no answer in time is one of its outcomes."""
        try:
            answer = await self._http.request(method, path, json=body, headers=headers)
        except (httpx2.TransportError, AttributeError):
            # AttributeError: anyio's, of a connection that was reset as it was made.
            return Answer(0)
        if answer.status_code >= 500 and answer.status_code != 503:
            self.diary.unexpected.append(f"{method} {path}: {answer.status_code} {answer.text}")
        try:
            return Answer(answer.status_code, answer.json())
        except ValueError:
            return Answer(answer.status_code)

    async def submit(self, wish: Wish, *, keyed: bool) -> None:
        """Submit jobs in one request; with a key until it is known that they are submitted.

        A part of the requests that were answered is sent again all the same. A flow that is open
        is added to and closed, by requests of their own.
        """
        if not wish.more:
            await self._submit(wish, keyed=keyed)
            return
        flow = await self._submit(wish, keyed=True)
        if flow is not None:
            path = f"/flows/{flow['id']}"
            await self._submit(Wish(f"{path}/jobs", wish.more, {"jobs": wish.more}), keyed=True)
            while (await self.ask("POST", f"{path}/close")).status in (0, 503):
                await anyio.sleep(0.3)

    async def _submit(self, wish: Wish, *, keyed: bool) -> Any:
        """What it was answered, if it was accepted."""
        told: Any = None
        operation = self.diary.begin("submit", keyed=keyed)
        for place, body in enumerate(wish.jobs):
            body["metadata"] |= {"op": str(operation.op), "place": str(place)}
        more = {"Idempotency-Key": f"key-{operation.op}"} if keyed else {}
        with anyio.move_on_after(GIVES_UP_AFTER):
            while (told := await self._sent(operation, wish, more)) is None and keyed:
                await anyio.sleep(self.random.uniform(0.1, 0.5))
            if keyed and self.random.random() < 0.05:
                await self._sent(operation, wish, more)
        return told or None

    async def _sent(self, operation: Operation, wish: Wish, more: dict[str, str]) -> Any:
        """What it was answered if it was accepted, nothing if it was refused; None: not known."""
        status, told = await self.ask("POST", wish.path, wish.body, **more)
        if status in (200, 201):
            jobs = [one["id"] for one in told.get("items", [told])]
            self.diary.told(operation, "ok", jobs)
            self.accepted += jobs
            return told
        if status == CONFLICT and wish.path.startswith("/flows/"):
            # The flow that they are added to was ended by an operator; they may have been accepted.
            self.diary.told(operation, "unknown", detail=_kind(told))
            return {}
        if status not in (0, 503):
            self.diary.told(operation, "failed", detail=str(told))
            if not _too_late(told):
                self.diary.unexpected.append(f"a submission: {status} {told}")
            return {}
        self.diary.told(operation, "unknown", detail=_kind(told))
        return None


def _too_late(told: Any) -> bool:
    """A job that expires may have done so before it could be submitted."""
    faults = told.get("errors", ()) if isinstance(told, dict) else ()
    return bool(faults) and all(fault["path"].endswith(".expires_at") for fault in faults)


def _kind(told: Any) -> str:
    return str(told.get("type", "")) if isinstance(told, dict) else "no answer"
