"""Opens what is encrypted for a subject before a handler sees it, encrypts what comes of it."""

from collections.abc import Callable

import msgspec

from ..core.codec import Data, encode
from ..core.encryption import Secrets, SubjectKey, Undecryptable, box_of
from ..core.events import Fault
from ..core.subjects import SubjectKeys
from .patience import patiently


class Shut(Exception):
    """The payload cannot be opened here. `for_good`: nor anywhere else."""

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


class Opener:
    """Opens payloads with keys from Redis, for a worker that knows the operator's secret
    (and the one before, while it is being changed)."""

    def __init__(self, secrets: Secrets | None, keys: Callable[[], SubjectKeys]) -> None:
        self._secrets = secrets
        self._keys = keys

    async def open(self, payload: Data) -> tuple[SubjectKey, Data]:
        """The key a payload is encrypted with, and the payload as it was. Raises Shut."""
        if self._secrets is None:
            raise Shut("MILLSTREAM_ERASURE_SECRET is not set on this worker")
        try:
            id = box_of(payload).key
        except Undecryptable as error:
            raise Shut(str(error), for_good=True) from error
        wrapped = (await patiently("subject key", lambda: self._keys().get([id])))[id]
        if wrapped == "erased":
            raise Shut("the key of its subject was erased", for_good=True)
        if isinstance(wrapped, str):
            raise Shut(f"Redis does not know key {id}")
        try:
            key = self._secrets.open(id, wrapped)
        except Undecryptable as error:
            raise Shut(str(error)) from error
        try:
            return key, Data(msgspec.Raw(key.decrypt("payload", payload)))
        except Undecryptable as error:
            raise Shut(str(error), for_good=True) from error


def encrypted(key: SubjectKey | None, what: str, raw: bytes) -> Data:
    """Some JSON as it goes into an event: encrypted, if the job has a subject."""
    return Data(msgspec.Raw(raw)) if key is None else key.encrypt(what, raw)


def encrypted_fault(key: SubjectKey | None, fault: Fault) -> Fault:
    """A fault as it goes into an event."""
    if key is None:
        return fault
    told = key.encrypt("error", encode((fault.message, fault.traceback)))
    return Fault(fault.type, "", "", told)


def opened(key: SubjectKey | None, what: str, data: Data) -> Data:
    """What stands in an event as it was before `encrypted`. Raises Undecryptable."""
    return data if key is None else Data(msgspec.Raw(key.decrypt(what, data)))
