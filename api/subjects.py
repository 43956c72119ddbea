"""POST /subjects/erase: throw away the key of a person that jobs are about."""

from typing import Any

from litestar import Request, post
from litestar.response.base import ASGIResponse
from msgspec import Struct

from .answers import answer
from .commands import By, read_command
from .fields import Subject
from .origins import refuse_others
from .parameters import NoParameters, read
from .problems import NOT_FOUND, Fault, Problem
from .resources import resources_of


class Erase(By, forbid_unknown_fields=True, kw_only=True):
    """Whose key is to be erased; in the body, so that no log of addresses tells of it."""

    subject: Subject


class Erased(Struct):
    """What was erased: the ids of the keys, as encrypted data in the history names them."""

    keys: list[str]


@post("/subjects/erase", status_code=200, guards=[refuse_others])
async def erase(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Make unreadable, for good, what was encrypted for a subject."""
    read(request, NoParameters)
    given = await read_command(request, Erase, optional=False)
    ids = await resources_of(request).encryption.erase(given.subject, given.actor, given.reason)
    if not ids:
        detail = "There is no key of this subject, or it was erased before."
        fault = Fault("$.subject", "expected a subject that jobs were submitted for")
        raise Problem(NOT_FOUND, detail, [fault])
    return answer(Erased(ids))
