"""How values are written in events: JSON, with the payload in an envelope that names its codec."""

from typing import Any

import msgspec

encode = msgspec.json.Encoder().encode
"""Encode any value msgspec knows to JSON bytes."""

NULL = msgspec.Raw(b"null")


class Data(msgspec.Struct, frozen=True, omit_defaults=False):
    """A payload or result as it stands in an event.

    `codec` says how `data` is to be read: ``json`` means that it is the value itself. Other codecs
    (encryption, compression) can come later without a new event format.
    """

    data: msgspec.Raw = NULL
    codec: str = "json"

    def decode(self, type: Any = Any) -> Any:
        """The value, as `type`; raises msgspec.ValidationError with the path of a fault."""
        if self.codec != "json":
            raise ValueError(f"expected a payload of codec 'json', got codec {self.codec!r}")
        return msgspec.json.decode(self.data, type=type, strict=True)


def wrap(value: Any) -> Data:
    """Wrap a value; raises TypeError if msgspec cannot encode it."""
    return Data(msgspec.Raw(encode(value)))
