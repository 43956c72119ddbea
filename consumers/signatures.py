"""Reading what a handler takes and returns from its annotations."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from .context import Context
from .errors import HandlerError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Signature(NamedTuple):
    """Types of payload and result; Any where nothing is said."""

    payload: Any
    result: Any


def read_signature(name: str, function: Callable[..., Any], scope: Mapping[str, Any]) -> Signature:
    """The types in the signature of the handler `name`. Raises HandlerError.

    `scope` holds the names that are local where the handler is defined.
    """
    if not callable(function):
        raise HandlerError(name, "a function", repr(function))
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise HandlerError(name, "a function that returns its result", "one that yields")
    try:
        found = inspect.signature(function, eval_str=True, locals=dict(scope))
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise HandlerError(
            name, "annotations that can be resolved where it is defined", error
        ) from error
    context, payload = _two(name, found)
    if context.annotation not in (inspect.Parameter.empty, Any, Context):
        raise HandlerError(
            name,
            "a first parameter that takes the Context",
            f"{context.name}: {context.annotation!r}",
        )
    return Signature(
        _known(name, f"payload ({payload.name})", payload.annotation),
        _known(name, "result", found.return_annotation),
    )


def _two(name: str, found: inspect.Signature) -> list[inspect.Parameter]:
    parameters = list(found.parameters.values())
    needed = [p for p in parameters if p.kind in _POSITIONAL and p.default is p.empty]
    others = [p for p in parameters if p not in needed and p.default is p.empty]
    if len(needed) != 2 or any(p.kind is p.KEYWORD_ONLY for p in others):
        raise HandlerError(name, "parameters (ctx, payload)", str(found))
    return needed


def _known(name: str, what: str, kind: Any) -> Any:
    """`kind` if msgspec can read and write it as JSON, Any if nothing is said."""
    if kind in (inspect.Parameter.empty, object):
        return Any
    try:
        msgspec.json.Decoder(kind)
        msgspec.json.schema(kind)
    except Exception as error:
        raise HandlerError(
            name, f"a {what} of a type msgspec knows", f"{kind!r} ({error})"
        ) from error
    return kind
