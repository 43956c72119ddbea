"""Encrypts what comes in for a subject, and opens it for those who read. See core.encryption."""

from collections.abc import Sequence

import msgspec

from ..core.codec import Data
from ..core.encryption import CODEC, NAMES, Secret, Secrets, SubjectKey, Undecryptable, box_of
from ..core.events import Fault as JobFault
from ..core.jobs import Job
from ..core.subjects import SubjectKeys, Wrapped
from .orders import Order
from .problems import UNPROCESSABLE, Fault, Problem
from .submission import Submission
from .tables import Tables

SHUT = Data(codec="erased")
"""Stands for a payload whose key was erased, or is not to be had here."""

_replace = msgspec.structs.replace


class Encryption:
    """The keys of subjects, found in Redis, made and looked up in PostgreSQL."""

    def __init__(self, secrets: Secrets | None, keys: SubjectKeys, tables: Tables) -> None:
        self._secrets = secrets
        self._naming: Secret | None = None
        self._keys = keys
        self._tables = tables

    def secrets(self) -> Secrets:
        """The operator's secret, and the one before. Raises Problem if there is none."""
        if self._secrets is None:
            message = "expected MILLSTREAM_ERASURE_SECRET to be set where the API runs"
            raise Problem(UNPROCESSABLE, f"{message}.", [Fault("$.subject", message)])
        return self._secrets

    async def naming(self) -> Secret:
        """The secret that names subjects: asked for once, since it never changes."""
        secrets = self.secrets()
        if self._naming is None:
            self._naming = secrets.naming(await self._kept())
        return self._naming

    async def _kept(self) -> bytes | None:
        row = (await self._tables.subjects_by_id({NAMES})).get(NAMES)
        return None if row is None else row.wrapped

    async def encrypt(self, jobs: Sequence[Submission], orders: list[Order]) -> list[Order]:
        """The orders, with the payloads of jobs that have a subject encrypted.

        Raises Problem, Unavailable.
        """
        subjects = {job.subject for job in jobs if job.subject is not None}
        if not subjects:
            return orders
        naming = await self.naming()
        keys = await self._keys_of([naming.digest(one) for one in subjects])
        return [
            order if job.subject is None else _encrypted(order, keys[naming.digest(job.subject)])
            for job, order in zip(jobs, orders, strict=True)
        ]

    async def opened(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs as those may see them who may read: opened, or without what was erased."""
        found = await self._find({id for job in jobs for id in _keys_in(job)})
        return [_opened(job, found) if any(_keys_in(job)) else job for job in jobs]

    async def encrypt_for(self, subject: str, payload: bytes) -> Data:
        """A payload (JSON) encrypted for a subject. Raises Problem, Unavailable."""
        digest = (await self.naming()).digest(subject)
        return (await self._keys_of([digest]))[digest].encrypt("payload", payload)

    async def encrypt_like(self, old: Data, payload: bytes) -> Data | None:
        """A payload encrypted with the key of another; None: that is not to be had any more.

        Raises Problem.
        """
        self.secrets()
        id = box_of(old).key
        key = (await self._find({id})).get(id)
        return None if key is None else key.encrypt("payload", payload)

    async def is_erased(self, payload: Data) -> bool:
        """Whether the key of an encrypted payload was erased. Raises Unavailable."""
        id = box_of(payload).key
        return (await self._keys.get([id]))[id] == "erased"

    async def open(self, payload: Data) -> Data:
        """A payload as those may see it who may read; `SHUT` if it cannot be opened."""
        return (await self.open_all([payload]))[0]

    async def open_all(self, payloads: Sequence[Data]) -> list[Data]:
        """The same for many, in their order."""
        found = await self._find({box_of(one).key for one in payloads if one.codec == CODEC})
        return [_open("payload", one, found) or SHUT for one in payloads]

    async def erase(self, subject: str, actor: str, reason: str) -> list[str]:
        """Erase the key of a subject; returns the ids of what was erased.

        First where it is for good, and if Redis does not answer then it is to be asked again: the
        key is gone then, and Redis only has to be told.
        """
        digest = (await self.naming()).digest(subject)
        cached = await self._keys.of([digest])
        erased = await self._tables.erase_subject(digest, actor, reason)
        ids = {*erased, *(key.id for key in cached.values())}
        await self._keys.erase(digest, ids)
        return sorted(ids)

    async def _keys_of(self, digests: list[str]) -> dict[str, SubjectKey]:
        secrets = self.secrets()
        known = await self._keys.of(digests)
        missing = [digest for digest in digests if digest not in known]
        if missing:
            maker = secrets.maker(await self._kept())
            made = await self._tables.add_subjects(
                [Wrapped(digest, *maker.make()) for digest in missing]
            )
            await self._keys.publish(made)
            known |= {key.subject: key for key in made}
        return {digest: secrets.open(key.id, key.wrapped) for digest, key in known.items()}

    async def _find(self, ids: set[str]) -> dict[str, SubjectKey]:
        if not ids or self._secrets is None:
            return {}
        rows = await self._tables.subjects_by_id(ids)
        return {
            id: self._secrets.open(id, row.wrapped)
            for id, row in rows.items()
            if row.wrapped is not None
        }


def _encrypted(order: Order, key: SubjectKey) -> Order:
    spec = order.spec
    return order._replace(
        spec=_replace(spec, payload=key.encrypt("payload", bytes(spec.payload.data)))
    )


def _keys_in(job: Job) -> set[str]:
    """Ids of the keys a job's data is encrypted with."""
    parts = (job.payload, job.result, job.error.encrypted if job.error else None)
    return {box_of(part).key for part in parts if part is not None and part.codec == CODEC}


def _opened(job: Job, keys: dict[str, SubjectKey]) -> Job:
    return _replace(
        job,
        payload=_open("payload", job.payload, keys) or SHUT,
        result=None if job.result is None else _open("result", job.result, keys),
        error=None if job.error is None else _open_fault(job.error, keys),
    )


def _open_fault(fault: JobFault, keys: dict[str, SubjectKey]) -> JobFault:
    if fault.encrypted is None:
        return fault
    told = _open("error", fault.encrypted, keys)
    if told is None:
        return _replace(fault, message="(erased)", encrypted=None)
    message, traceback = told.decode(tuple[str, str])
    return _replace(fault, message=message, traceback=traceback, encrypted=None)


def _open(what: str, data: Data, keys: dict[str, SubjectKey]) -> Data | None:
    if data.codec != CODEC:
        return data
    key = keys.get(box_of(data).key)
    if key is None:
        return None
    try:
        return Data(msgspec.Raw(key.decrypt(what, data)))
    except Undecryptable:
        return None
