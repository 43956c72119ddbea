from hypothesis import given
from hypothesis import strategies as st

from .plan import KINDS, plan

seeds = st.integers(0, 2**32)


@given(seeds)
def test_a_seed_decides_everything(seed: int) -> None:
    assert plan(seed, 60) == plan(seed, 60)
    assert plan(seed, 60) != plan(seed + 1, 60)


@given(seeds)
def test_every_kind_comes_and_all_is_mended_in_time(seed: int) -> None:
    faults = plan(seed, 32)
    assert {fault.kind for fault in faults} == set(KINDS)
    assert all(fault.target in KINDS[fault.kind].targets for fault in faults)
    assert all(fault.at + fault.seconds <= 31 for fault in faults)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)


@given(seeds)
def test_no_target_has_two_at_once(seed: int) -> None:
    until: dict[str, float] = {}
    for fault in plan(seed, 300):
        assert until.get(fault.target, 0) <= fault.at
        until[fault.target] = fault.at + fault.seconds
