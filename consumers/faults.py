"""What went wrong, in the size and form an event can carry."""

import traceback
from pathlib import Path
from types import TracebackType

from ..core.events import Fault

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 8_000
MAX_FRAMES = 20

OWN_NAME = "millstream_app_"
"""Before the name of a module that is loaded from a file; errors are told without it."""

_OURS = str(Path(__file__).parent)


def fault_of(error: BaseException) -> Fault:
    """The fault an exception is: message and traceback bounded, our own frames cut off."""
    trace = _below_ours(error.__traceback__)
    told = traceback.TracebackException(type(error), error, trace, limit=-MAX_FRAMES, compact=True)
    return Fault(
        type=_name(type(error)),
        message=bounded(_message(error), MAX_MESSAGE),
        # The end of a traceback says where it happened, so the beginning is what goes.
        # A long message at its end would leave nothing else, so each part is bounded as well.
        traceback=bounded("".join(map(_part, told.format())), MAX_TRACEBACK, keep_end=True),
    )


def bounded(text: str, limit: int, *, keep_end: bool = False) -> str:
    """`text` as valid Unicode, at most `limit` characters long."""
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= limit:
        return text
    return "…" + text[1 - limit :] if keep_end else text[: limit - 1] + "…"


def _part(text: str) -> str:
    return bounded(text.rstrip("\n"), MAX_MESSAGE) + "\n"


def _below_ours(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace


def _name(kind: type[BaseException]) -> str:
    name = kind.__qualname__.replace("<locals>.", "")
    module = kind.__module__.removeprefix(OWN_NAME)
    return bounded(name if module == "builtins" else f"{module}.{name}", 200)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:
        return f"<its text could not be made: {type(failure).__name__}>"
