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
from .states import ASK_BODY, MOVES, Move, move_of, state_after, state_before

__all__ = [
    "ALLOWED",
    "ASK_BODY",
    "JOBS",
    "LIVE",
    "MOVES",
    "TERMINAL",
    "WAITING",
    "Job",
    "JobState",
    "Move",
    "Progress",
    "advance",
    "begin",
    "evolve",
    "fold",
    "move_of",
    "state_after",
    "state_before",
]
