"""The features whose presence is measured, each beside a system without it."""

import secrets

import msgspec

from millstream.core.limits import Rate

from . import presence
from .presence import ELSEWHERE, limits
from .sides import System


class Feature(msgspec.Struct, frozen=True):
    """A system in which it is present, and the one to compare it with."""

    name: str
    present: System
    bare: System = System()


SECRET = secrets.token_hex(32)
OTHERS = {"c:bench.other": "5", "r:bench.other": Rate(10).bound}
PER_KEY = {"ck": "5", "rk": Rate(10).bound}
TABLES = System(tables=True)

PLAIN = (
    Feature("limits of another queue", System(limits({"c": "5", "r": Rate(10).bound}, ELSEWHERE))),
    Feature("limits of another type", System(limits(OTHERS))),
    Feature("limits per key, jobs without one", System(limits(PER_KEY))),
    Feature("a limit of this type, taken away", System(presence.limits_taken_away)),
    Feature("10 000 delayed jobs", System(presence.delayed)),
    Feature("10 000 blocked jobs", System(presence.blocked)),
    Feature("10 000 unique jobs", System(presence.locked)),
    Feature("10 000 idempotency keys", System(presence.requests)),
    Feature("10 000 schedules", System(presence.schedules)),
    Feature("all priorities", System(presence.priorities)),
    Feature("1 000 other queues", System(presence.queues)),
    Feature("200 types of each executor", System(apps=("bare", "many"))),
    Feature(
        "a type that runs in processes", System(apps=("bare", "process"), settings={"processes": 2})
    ),
    Feature("steps, progress, sleep", System(apps=("bare", "steps"))),
    Feature("a timeout, not reached", System(apps=("armed",))),
    Feature("rules for retries", System(apps=("ruled",))),
    Feature(
        "bounds of memory and stalls",
        System(settings={"max_memory": 8 * 2**30, "stall_timeout": 60}),
        System(settings={"stall_timeout": 0}),
    ),
    Feature("a secret for subjects", System(settings={"erasure_secret": SECRET})),
)
"""Those that only Redis and the worker can pay for."""

PROJECTED = (
    Feature(
        "the audit",
        System(settings={"audit_rate": 500}, tables=True),
        System(settings={"audit_rate": 0}, tables=True),
    ),
    Feature("an own projection", System(beside=presence.own_projection, tables=True), TABLES),
    Feature(
        "retention and a legal hold",
        System(presence.hold, {"retention": f"{ELSEWHERE}:30"}, tables=True),
        TABLES,
    ),
    Feature("sealing", System(beside=presence.sealer, tables=True), TABLES),
    Feature("an open tail of events", System(beside=presence.tail, tables=True), TABLES),
)
"""Those that the projector can pay for, too."""

NOTHING = (Feature("nothing", System()), Feature("nothing, with tables", TABLES, TABLES))
"""What is compared with itself: the noise of this machine."""
