"""Answers encoded once, by msgspec, into what goes over the wire."""

import msgspec
from litestar.response.base import ASGIResponse

_encode = msgspec.json.Encoder().encode


def answer(value: object, status: int = 200) -> ASGIResponse:
    """A JSON answer."""
    return ASGIResponse(
        body=_encode(value),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
