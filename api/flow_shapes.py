"""What a client may say about a flow, and the order its jobs are submitted in. Pure.

A flow is said in one of three ways: jobs that name each other by keys, a chain, or a batch with a
job that follows it. All of them become members with edges.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..core.ids import is_id
from .commands import By
from .problems import UNPROCESSABLE, Fault, Problem, faulty
from .submission import MAX_BATCH, Submission

NOT_UNIQUE = "expected none of a job that others wait for: another could stand for it"

Key = Annotated[
    str,
    Meta(
        pattern="^[a-zA-Z0-9._:/-]{1,64}$",
        description="Name of the job in this request, for `depends_on` of others.",
    ),
]


class FlowJob(Submission, forbid_unknown_fields=True, gc=False):
    """A job of a flow; it may depend on others of the request by key, or on any by its id."""

    key: Key | None = None


Members = Annotated[list[FlowJob], Meta(min_length=1, max_length=MAX_BATCH)]


class Flow(Struct, forbid_unknown_fields=True):
    """Jobs to be submitted as one: `jobs`, or a `chain`, or a `batch` and what comes `then`.

    open  more jobs may be added to the batch until it is closed; it may be empty here
    """

    jobs: Members | UnsetType = UNSET
    chain: Members | UnsetType = UNSET
    batch: Annotated[list[FlowJob], Meta(max_length=MAX_BATCH - 1)] | UnsetType = UNSET
    then: FlowJob | None = None
    open: bool = False


Additions = Annotated[list[Submission], Meta(max_length=MAX_BATCH)]


class FlowAddition(By, forbid_unknown_fields=True):
    """More jobs for an open batch; `close`: they are the last."""

    jobs: Annotated[list[Submission], Meta(max_length=MAX_BATCH)] = msgspec.field(
        default_factory=list
    )
    close: bool = False


class Member(NamedTuple):
    """A job of a flow: where the request has it, and which others it waits for.

    parents  places of members in the plan
    others   ids of jobs that were submitted before
    """

    job: FlowJob
    path: str
    parents: list[int]
    others: list[str]


class Plan(NamedTuple):
    """The members as the request has them, the order to submit them in, parents first, and the one
    that is left open."""

    members: list[Member]
    order: list[int]
    levels: list[int]
    open: int | None


decode = msgspec.json.Decoder(Flow).decode
decode_addition = msgspec.json.Decoder(FlowAddition).decode


def plan_of(flow: Flow) -> Plan:
    """The plan of a flow. Raises Problem that names what is wrong, a cycle by its jobs."""
    given = list(_given(flow))
    keys = _keys(given)
    faults: list[Fault] = []
    members: list[Member] = []
    for index, (job, path, implied) in enumerate(given):
        member = Member(job, path, list(implied), [])
        _link(member, index, keys, faults)
        members.append(member)
    faults += _refused(members)
    if faults:
        raise problem(faults)
    levels = _levels(members)
    order = sorted(range(len(members)), key=levels.__getitem__)
    return Plan(members, order, levels, len(members) - 1 if flow.open else None)


def problem(faults: Sequence[Fault]) -> Problem:
    """The problem of a flow that cannot be."""
    return faulty(UNPROCESSABLE, faults)


def _given(flow: Flow) -> Iterator[tuple[FlowJob, str, Sequence[int]]]:
    """Each job, its path, and the places of those it waits for without saying so."""
    said = [name for name in ("jobs", "chain", "batch") if getattr(flow, name) is not UNSET]
    if len(said) != 1:
        got = " and ".join(said) or "none"
        raise problem([Fault("$", f"expected one of jobs, chain and batch, got {got}")])
    if (flow.then is not None) != (said == ["batch"]):
        got = "none" if flow.then is None else f"one beside {said[0]}"
        raise problem([Fault("$.then", f"expected a job with a batch and only there, got {got}")])
    if flow.jobs is not UNSET:
        for index, job in enumerate(flow.jobs):
            yield job, f"$.jobs[{index}]", ()
    elif flow.chain is not UNSET:
        for index, job in enumerate(flow.chain):
            yield job, f"$.chain[{index}]", range(max(0, index - 1), index)
    if flow.open and said != ["batch"]:
        raise problem([Fault("$.open", f"expected a batch beside it, got {said[0]}")])
    if flow.batch is not UNSET and flow.then is not None:
        if not flow.batch and not flow.open:
            raise problem([Fault("$.batch", "expected at least one job, or open: true, got none")])
        for index, job in enumerate(flow.batch):
            yield job, f"$.batch[{index}]", ()
        yield flow.then, "$.then", range(len(flow.batch))


def _keys(given: Sequence[tuple[FlowJob, str, Sequence[int]]]) -> dict[str, int]:
    keys: dict[str, int] = {}
    faults: list[Fault] = []
    for index, (job, path, _) in enumerate(given):
        if job.key is None:
            continue
        if is_id(job.key):
            faults.append(Fault(f"{path}.key", f"expected a key that is no id, got {job.key}"))
        elif job.key in keys:
            message = f"expected a key of its own, got {job.key!r}, which another job has"
            faults.append(Fault(f"{path}.key", message))
        else:
            keys[job.key] = index
    if faults:
        raise problem(faults)
    return keys


def _link(member: Member, index: int, keys: dict[str, int], faults: list[Fault]) -> None:
    """Read what a job says it depends on."""
    job, path, parents, others = member
    known: set[str] = set()
    for place, name in enumerate([] if job.depends_on is UNSET else job.depends_on):
        at = f"{path}.depends_on[{place}]"
        parent = keys.get(name)
        if parent == index:
            faults.append(Fault(at, f"expected another job, got {name!r}, which is this one"))
        elif parent is None and not is_id(name):
            message = f"expected the key of a job in this request or the id of a job, got {name!r}"
            faults.append(Fault(at, message))
        elif name in known or parent in parents:
            faults.append(Fault(at, f"expected each job once, got {name!r} again"))
        elif parent is None:
            others.append(name)
        else:
            parents.append(parent)
        known.add(name)


def _refused(members: Sequence[Member]) -> Iterator[Fault]:
    """What cannot be said of a job because of others."""
    awaited = {parent for member in members for parent in member.parents}
    for index, (job, path, parents, others) in enumerate(members):
        if job.unique is not None and index in awaited:
            yield Fault(f"{path}.unique", NOT_UNIQUE)
        elif job.unique is not None and job.unique.policy == "replace":
            yield Fault(f"{path}.unique.policy", "expected keep for a job of a flow, got replace")
        if job.on_parent_failure is not None and not parents and not others:
            yield Fault(f"{path}.on_parent_failure", "expected depends_on beside it, got none")


def _levels(members: Sequence[Member]) -> list[int]:
    """How many jobs come one after the other before each, at most. Raises Problem for a cycle."""
    children: list[list[int]] = [[] for _ in members]
    waiting = [len(member.parents) for member in members]
    for index, member in enumerate(members):
        for parent in member.parents:
            children[parent].append(index)
    levels = [0] * len(members)
    free = [index for index, count in enumerate(waiting) if not count]
    for index in free:
        for child in children[index]:
            levels[child] = max(levels[child], levels[index] + 1)
            waiting[child] -= 1
            if not waiting[child]:
                free.append(child)
    if len(free) < len(members):
        raise problem([_cycle(members, {i for i, count in enumerate(waiting) if count})])
    return levels


def _cycle(members: Sequence[Member], stuck: set[int]) -> Fault:
    """The fault that names one cycle: each of `stuck` has a parent among them."""
    path: list[int] = []
    index = min(stuck)
    while index not in path:
        path.append(index)
        index = next(parent for parent in members[index].parents if parent in stuck)
    cycle = [*path[path.index(index) :], index]
    names = [members[i].job.key or members[i].path for i in cycle]
    shown = names if len(names) <= 12 else [*names[:6], "…", *names[-5:]]
    message = f"expected no cycle, got {' → '.join(shown)}"
    return Fault(f"{members[cycle[0]].path}.depends_on", message)
