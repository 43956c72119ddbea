"""A job's life as a pure state machine: which events may follow which, and what each changes.

    submitted ──▶ scheduled ──▶ queued ◀──▶ blocked (over a limit)
         └──────────────────────▶ │ ◀────────────────┐ released, crashed, lease expired, due
                                  ▼                  │
                               running ──▶ retrying ─┘
                                  │  └───▶ scheduled (snoozed)
                                  ▼
                  succeeded / failed / cancelled ──(redriven)──▶ queued, or scheduled

A job that waits for others is blocked from its submission on, until it is joined: then it is
queued, or scheduled. A failed job that was discarded stays failed.

The same function folds live batches, rebuilds tables and checks histories.
"""

from .evolve import ALLOWED, advance, begin, evolve, fold
from .state import JOBS, LIVE, TERMINAL, WAITING, Job, JobState, Progress
from .states import state_after, state_before

__all__ = [
    "ALLOWED",
    "JOBS",
    "LIVE",
    "TERMINAL",
    "WAITING",
    "Job",
    "JobState",
    "Progress",
    "advance",
    "begin",
    "evolve",
    "fold",
    "state_after",
    "state_before",
]
