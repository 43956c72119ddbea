"""What each feature costs when unused: a tiny run of it, and how its figures are judged."""

import pytest

from benchmarks.features import NOTHING, PLAIN
from benchmarks.unused import WHAT, measured, medians_of, noise


async def test_a_feature_is_held_against_the_noise_of_this_machine():
    feature = PLAIN[0]

    figures = await measured(NOTHING[0], [feature], rounds=1, turns=1, jobs=125)

    costs = [WHAT[cost] for cost in ("worker", "claimed", "submitted", "clock")]
    assert [figure.name for figure in figures] == [
        f"unused, {feature.name}: {cost}" for cost in costs
    ]
    assert all(figure.value > 0 for figure in figures)
    assert all(figure.floor is not None and figure.floor > 1 for figure in figures)


def test_noise_is_three_errors_of_a_median_of_so_many_rounds():
    bare = [{"worker": ratio} for ratio in (0.98, 1.00, 1.02)]  # standard deviation 0.02

    assert noise(bare, rounds=1)["worker"] == pytest.approx(3 * 1.25 * 0.02)
    assert noise(bare, rounds=4)["worker"] == pytest.approx(3 * 1.25 * 0.01)


def test_a_round_that_was_disturbed_moves_no_median():
    quiet = [{"worker": 1.01}, {"worker": 1.0}, {"worker": 1.02}]

    assert medians_of([*quiet[:2], {"worker": 9.0}]) == {"worker": 1.01}
