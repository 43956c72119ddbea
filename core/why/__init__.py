"""Why a job waits, ran more than once, was delayed, replaced, cancelled or given up: plain
sentences, each with the positions of the events that say so.

Pure: made of the job's history, of what happened to its queue meanwhile, and of how things stand.
"""

from .explaining import conclude, explain, take
from .facts import Awaited, Facts, Gate, Halt, Server
from .schedule import explain_schedule
from .sentences import Sentence
from .story import Story

__all__ = [
    "Awaited",
    "Facts",
    "Gate",
    "Halt",
    "Sentence",
    "Server",
    "Story",
    "conclude",
    "explain",
    "explain_schedule",
    "take",
]
