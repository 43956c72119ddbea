"""Encryption: what a job is given and gives, encrypted with a key of the person it is about.

Each subject has a key of its own, and the key itself is kept wrapped by the operator's secret
(AES-256-GCM both). To erase a subject is to throw its key away: what was encrypted with it cannot
be read any more, wherever it was copied to, while every byte of the history stays as it was.
"""

import hashlib
import hmac
import os
import uuid
from typing import Any

import msgspec

from .codec import Data, encode
from .errors import MillstreamError

CODEC = "aes256gcm"
"""The codec of encrypted data: a JSON object of key id, nonce and ciphertext, the two in base64."""

NONCE_BYTES = 12
SECRET_BYTES = 32


class Undecryptable(MillstreamError):
    """Encrypted data that its key does not open: it was altered, or is no encrypted data."""


class Box(msgspec.Struct, frozen=True):
    """Encrypted data as it stands in an event."""

    key: str
    nonce: bytes
    text: bytes


_read_box = msgspec.json.Decoder(Box).decode


class SubjectKey:
    """The key of one subject. `what` (payload, result, …) is bound in: one cannot pass as another.

    Random nonces of 96 bits are safe for 2^32 values under one key.
    """

    __slots__ = ("_cipher", "id")

    def __init__(self, id: str, raw: bytes) -> None:
        self.id = id
        self._cipher = _cipher(raw)

    def encrypt(self, what: str, value: bytes) -> Data:
        """Encrypt `value`, some JSON."""
        nonce = os.urandom(NONCE_BYTES)
        text = self._cipher.encrypt(nonce, value, self._bound(what))
        return Data(msgspec.Raw(encode(Box(self.id, nonce, text))), CODEC)

    def decrypt(self, what: str, data: Data) -> bytes:
        """The JSON that was encrypted. Raises Undecryptable."""
        box = box_of(data)
        try:
            return self._cipher.decrypt(box.nonce, box.text, self._bound(what))
        except Exception as error:  # of the library, which has several for data that is not right
            raise Undecryptable(
                f"{what}: expected data encrypted with key {self.id}, got other"
            ) from error

    def _bound(self, what: str) -> bytes:
        return f"millstream:{what}:{self.id}".encode()


class Secret:
    """The operator's secret, 32 bytes: it wraps the keys of all subjects, and names subjects."""

    __slots__ = ("_cipher", "_raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != SECRET_BYTES:
            raise ValueError(f"expected a secret of {SECRET_BYTES} bytes, got {len(raw)}")
        self._raw = raw
        self._cipher = _cipher(raw)

    def digest(self, subject: str) -> str:
        """What stands for a subject where its name must not: HMAC-SHA256, in hex."""
        return hmac.new(self._raw, b"subject:" + subject.encode(), hashlib.sha256).hexdigest()

    def make(self) -> tuple[str, bytes]:
        """A new key: its id, and itself wrapped."""
        id = uuid.uuid4().hex
        return id, self.wrap(id, os.urandom(SECRET_BYTES))

    def wrap(self, id: str, raw: bytes) -> bytes:
        """A key, or an earlier secret, as it is kept."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, raw, id.encode())

    def unwrap(self, id: str, wrapped: bytes) -> bytes:
        """What was wrapped. Raises Undecryptable: by another secret, or altered."""
        nonce, text = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, text, id.encode())
        except Exception as error:
            raise Undecryptable(
                f"key {id}: expected one wrapped by this MILLSTREAM_ERASURE_SECRET, got another"
            ) from error

    def open(self, id: str, wrapped: bytes) -> SubjectKey:
        """The key that was wrapped. Raises Undecryptable."""
        return SubjectKey(id, self.unwrap(id, wrapped))

    def __repr__(self) -> str:
        return "Secret(***)"


NAMES = "names"
"""Id, and subject, under which the secret that names subjects is kept once it is the secret no
more: names must stay what they are, or nobody would find whom to erase."""


class Secrets:
    """The operator's secret and, while it is being changed, the one before, which is still known.

    Until `rotated`, the one before is in use, so that who knows only that one gets along.
    """

    def __init__(self, current: bytes, old: bytes | None = None) -> None:
        self.current = Secret(current)
        self._old = None if old is None else Secret(old)
        self._raw = current if old is None else old

    @classmethod
    def of(cls, current: bytes | None, old: bytes | None = None) -> "Secrets | None":
        """Those of the settings; None without any."""
        return None if current is None else cls(current, old)

    def unwrap(self, id: str, wrapped: bytes) -> bytes:
        """What either of them wrapped. Raises Undecryptable."""
        try:
            return self.current.unwrap(id, wrapped)
        except Undecryptable:
            if self._old is None:
                raise
            return self._old.unwrap(id, wrapped)

    def open(self, id: str, wrapped: bytes) -> SubjectKey:
        """The key that either of them wrapped. Raises Undecryptable."""
        return SubjectKey(id, self.unwrap(id, wrapped))

    def rewrapped(self, id: str, wrapped: bytes) -> bytes:
        """The same key wrapped by the current one. Raises Undecryptable."""
        if self.rotated(id, wrapped):
            return wrapped
        return self.current.wrap(id, self.unwrap(id, wrapped))

    def rotated(self, id: str, wrapped: bytes | None) -> bool:
        """Whether it was the current one that wrapped a key."""
        if wrapped is None:
            return self._old is None
        try:
            self.current.unwrap(id, wrapped)
        except Undecryptable:
            return False
        return True

    def naming(self, kept: bytes | None) -> Secret:
        """The secret that names subjects; `kept`: as it is kept wrapped, None: it never changed."""
        return Secret(self._raw if kept is None else self.unwrap(NAMES, kept))

    def names(self) -> bytes:
        """The one that names subjects before any change, wrapped to be kept."""
        return self.current.wrap(NAMES, self._raw)

    def maker(self, kept: bytes | None) -> Secret:
        """The one that is to wrap new keys, given the names as they are kept."""
        return self.current if self._old is None or self.rotated(NAMES, kept) else self._old


def box_of(data: Data) -> Box:
    """What encrypted data says of itself. Raises Undecryptable."""
    if data.codec != CODEC:
        raise Undecryptable(f"expected encrypted data, got codec {data.codec!r}")
    try:
        return _read_box(data.data)
    except msgspec.MsgspecError as error:
        raise Undecryptable(f"expected encrypted data, got other: {error}") from error


def _cipher(raw: bytes) -> Any:
    # Only who encrypts needs the library, which takes 20 MB and a tenth of a second to load.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(raw)
