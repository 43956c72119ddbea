"""A testing kit: run handlers in a test, step time forward, and look at what happened.

from millstream.consumers.testing import Sandbox

async with Sandbox(registry) as box:
    job = await box.submit("greet", {"name": "Ada"})
    await box.run()
    assert box.job(job).result == "Hello Ada"

See docs/testing.md.
"""

from .calling import Outcome, call
from .errors import Leftover, NeverQuiet, SandboxError, StillRunning
from .sandbox import Sandbox
from .seen import Happened, Snapshot

__all__ = [
    "Happened",
    "Leftover",
    "NeverQuiet",
    "Outcome",
    "Sandbox",
    "SandboxError",
    "Snapshot",
    "StillRunning",
    "call",
]
