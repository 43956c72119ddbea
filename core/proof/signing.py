"""Keys for heads: Ed25519, in PEM files."""

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ConfigError, MillstreamError
from .heads import Head, SignedHead

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class KeyTrouble(MillstreamError):
    """A key file that cannot be used or written."""


class Signer:
    """Signs heads. Its repr shows which key it has, and nothing of the key itself."""

    def __init__(self, private: Any) -> None:
        self._private = private
        self.key = key_id(private.public_key())

    def __repr__(self) -> str:
        return f"Signer({self.key})"

    def sign(self, head: Head, leaves: bytes = b"") -> SignedHead:
        """Sign a head."""
        return SignedHead(head, self.key, self._private.sign(head.encoded()), leaves)


class PublicKeys(NamedTuple):
    """The keys whose signatures are believed, by their id."""

    keys: dict[str, Any]

    def verify(self, signed: SignedHead) -> str | None:
        """Why the signature is not to be believed; None: it is."""
        from cryptography.exceptions import InvalidSignature

        key = self.keys.get(signed.key)
        if key is None:
            return f"it is signed by key {signed.key}, expected {', '.join(self.keys)}"
        try:
            key.verify(signed.signature, signed.head.encoded())
        except InvalidSignature:
            return f"its signature is not one of key {signed.key}"
        return None


def key_id(public: "Ed25519PublicKey") -> str:
    """What a key is called: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes."""
    return sha256(public.public_bytes_raw()).hexdigest()[:16]


def make_key(path: Path) -> str:
    """Write a new key to `path`, for its owner alone, and its public half to `path`.pub; its id.

    Raises KeyTrouble; a file that is there already is never written over.
    """
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    secret = private.private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()
    )  # fmt: skip
    public = private.public_key()
    shown = public.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_name(path.name + ".pub")
    if beside.exists():
        raise KeyTrouble(f"expected a name that is not taken, got: {beside}")
    _write(path, secret, 0o600)
    _write(beside, shown, 0o644)
    return key_id(public)


def read_signer(path: Path) -> Signer:
    """The private key of a file. Raises ConfigError; the key itself is in no message."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    setting = "MILLSTREAM_PROOF_KEY"
    try:
        mode, text = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise ConfigError(setting, f"a readable key file ({error.strerror})", str(path)) from None
    if mode & 0o077:
        raise ConfigError(
            setting, "a file that its owner alone can read (chmod 600)", f"{path}, {mode & 0o777:o}"
        )
    try:
        private = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(setting, "an Ed25519 private key in PEM", str(path)) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(setting, "an Ed25519 private key in PEM", str(path))
    return Signer(private)


def read_public(paths: "list[Path]") -> PublicKeys:
    """The public keys of some files. Raises KeyTrouble."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found: dict[str, Any] = {}
    for path in paths:
        try:
            key = load_pem_public_key(path.read_bytes())
        except OSError as error:
            raise KeyTrouble(f"{path}: {error.strerror}") from None
        except (ValueError, UnsupportedAlgorithm):
            raise KeyTrouble(f"expected an Ed25519 public key in PEM, got: {path}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyTrouble(f"expected an Ed25519 public key in PEM, got: {path}")
        found[key_id(key)] = key
    return PublicKeys(found)


def _write(path: Path, text: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise KeyTrouble(f"expected a name that is not taken, got: {path}") from None
    except OSError as error:
        raise KeyTrouble(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
