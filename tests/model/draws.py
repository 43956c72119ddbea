"""What is drawn for the rules of the state machine: mostly what happens in life."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from millstream.core.jobs import WAITING
from millstream.core.memory.gates import Rate
from millstream.core.queue import Verdict

from .clients import Spec
from .planners import Firing
from .world import LANES, MINUTE, PLANS

LONG = 24 * 3_600_000
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

workers = st.sampled_from(("w1", "w2", "w3"))
priorities = st.sampled_from(LANES)
few = st.integers(1, 5)
delays = st.integers(0, 3)
numbers = st.integers(0, 99)
picks = st.lists(numbers, min_size=1, max_size=3)
ends = st.sampled_from((None, None, None, 0, 1, 3))
never = st.none()
kinds = st.sampled_from(("noop", "noop", "other"))
keys = st.sampled_from((None, "a", "a", "b"))
digests = st.sampled_from((None, "a1", "a2", "b1", "b2", "c1", "c2"))
policies = st.sampled_from(("keep", "replace"))
requests = st.sampled_from((None, None, "d1", "d2"))
times = st.sampled_from(((None, None), (None, None), (0, None), (1, None), (3, None))) | st.tuples(
    never, st.integers(-1, 3)
)


def spec(
    priority: int,
    expires: int | None,
    time: tuple[int | None, int | None],
    kind: str,
    key: str | None,
    rate_key: str | None,
    *lock: Any,
) -> Spec:
    return Spec(priority, *time, expires, kind, key, rate_key, *lock)


plain = st.builds(spec, priorities, ends, times, kinds, never, never)
limited = st.builds(spec, priorities, ends, times, kinds, keys, keys)
unique = st.builds(spec, priorities, ends, times, kinds, keys, keys, digests, policies, requests)
specs = st.one_of(plain, limited, limited, unique)
edges = st.lists(numbers, max_size=3)
failures = st.sampled_from(("fail", "cancel", "run", "wait"))
rarely = st.sampled_from((False, False, False, True))


def relative(
    one: Spec, after: list[int], on_failure: str, *, opened: bool, late: bool, before: int | None
) -> Spec:
    """One that waits for others replaces none: callers are refused that."""
    one = one._replace(after=after, on_failure=on_failure, open=opened, before=before, late=late)
    one = one._replace(policy="keep") if one.waits else one
    return one._replace(run_at=None, expires=None) if late else one


relatives = st.builds(
    relative, specs, edges, failures, opened=rarely, late=rarely, before=st.none() | numbers
)
counts = st.sampled_from((1, 1, 2, 3))
intervals = st.sampled_from((1, 3, 60)).map(lambda minutes: minutes * MINUTE * 1000)
rates = st.builds(Rate, intervals, st.sampled_from((1, 1, 2)))
concurrency = st.tuples(
    st.sampled_from(("c", "ck", "ck", "c:noop", "c:noop", "ck:noop", "ck:other", "c:other")), counts
)
rate = st.tuples(st.sampled_from(("r", "rk", "rk:noop", "r:noop", "r:other")), rates)
none = st.tuples(st.sampled_from(("c", "ck", "c:noop", "r", "rk", "r:noop", "aging")), never)
limits = st.one_of(concurrency, concurrency, rate, none, st.just(("aging", LONG)))
bounds = st.lists(limits, min_size=1, max_size=3).map(dict)
from_the_start = st.lists(st.one_of(concurrency, concurrency, rate), max_size=3).map(dict)
waiting = st.sampled_from((WAITING, WAITING, *({state} for state in WAITING)))
batches = st.lists(specs, min_size=1, max_size=5)
families = st.lists(relatives, min_size=1, max_size=4)
plans = st.sampled_from(PLANS)
plan_acts = st.sampled_from(("put", "put", "put", "keep", "da", "db", "pause", "resume", "delete"))
moments = st.sampled_from((None, -1, 0, 1, 3))
firings = st.builds(
    Firing,
    st.sampled_from(("allow", "skip", "skip", "cancel_running")),
    st.sampled_from((None, 1, 1, 3)),
    st.sampled_from((False, False, True)),
    st.sampled_from((False, False, False, True)),
    st.sampled_from((0, 1, 1, 2)),
)
verdicts = st.tuples(
    numbers, st.sampled_from(VERDICTS), delays, st.sampled_from((0,) * 8 + (1, -1))
)
