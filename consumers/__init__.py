"""Workers and the handlers they run.

from millstream.consumers import Context, job

@job("greet")
async def greet(ctx: Context, name: str) -> str:
    return f"Hello {name}"
"""

from ..core.retry import Backoff
from .context import Context
from .errors import AppError, HandlerError, LeaseLost, ProgressError, StepError
from .handlers import Handler, Registry, job
from .verdicts import Fail, Retry, Snooze

__all__ = [
    "AppError",
    "Backoff",
    "Context",
    "Fail",
    "Handler",
    "HandlerError",
    "LeaseLost",
    "ProgressError",
    "Registry",
    "Retry",
    "Snooze",
    "StepError",
    "job",
]
