import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.simulator.random_numbers import (
    child_keys,
    exponential,
    geometric,
    normal,
    root_keys,
    uniform,
    zipf,
)

MANY = np.arange(200_000)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=30), st.data())
def test_a_number_depends_on_its_key_alone(numbers: list[int], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(numbers) - 1), min_size=1))

    together = uniform(root_keys(1, "user", np.array(numbers)), "activity")
    alone = uniform(root_keys(1, "user", np.array(numbers)[chosen]), "activity")

    assert together[chosen].tolist() == alone.tolist()


def test_seeds_kinds_numbers_and_purposes_give_unrelated_numbers() -> None:
    keys = root_keys(1, "user", MANY)
    others = (
        uniform(keys, "signup"),
        uniform(root_keys(2, "user", MANY), "activity"),
        uniform(root_keys(1, "item", MANY), "activity"),
        uniform(child_keys(keys, np.zeros(1, dtype=np.int64)), "activity"),
        np.roll(uniform(keys, "activity"), 1),
    )

    correlations = [np.corrcoef(uniform(keys, "activity"), other)[0, 1] for other in others]

    assert np.abs(correlations).max() < 5 / np.sqrt(len(MANY))


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    draws = uniform(root_keys(1, "user", MANY), "activity")

    counts = np.histogram(draws, bins=100, range=(0, 1))[0]

    assert counts.sum() == len(MANY)
    assert ((counts - 2000) ** 2 / 2000).sum() < 160  # chi-squared, 99 degrees of freedom: p = 0.0001


@pytest.mark.parametrize(
    ("drawn", "mean", "deviation"),
    [
        pytest.param(normal, 0.0, 1.0, id="normal"),
        pytest.param(exponential, 1.0, 1.0, id="exponential"),
        pytest.param(lambda keys, purpose: geometric(keys, purpose, 0.25), 0.25, 0.56, id="geometric"),
        pytest.param(lambda keys, purpose: geometric(keys, purpose, 40.0), 40.0, 40.5, id="frequent"),
    ],
)
def test_distributions_have_their_mean_and_deviation(drawn, mean, deviation) -> None:  # type: ignore[no-untyped-def]
    draws = drawn(root_keys(3, "user", MANY), "draw")

    assert draws.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(len(MANY)))
    assert draws.std() == pytest.approx(deviation, rel=0.02)


def test_nobody_comes_at_rate_zero() -> None:
    assert geometric(root_keys(1, "user", MANY), "sessions", np.zeros(1)).max() == 0


def test_zipf_ranks_stay_below_their_count_and_fall_as_one_over_rank() -> None:
    counts = np.full(len(MANY), 100)
    ranks = zipf(root_keys(1, "slot", MANY), "rank", counts)

    assert (ranks.min(), ranks.max()) == (0, 99)
    for rank in (0, 1, 9):
        expected = np.log((rank + 2) / (rank + 1)) / np.log(101)
        assert (ranks == rank).mean() == pytest.approx(expected, abs=0.005)
    assert zipf(root_keys(1, "slot", MANY[:9]), "rank", np.ones(9, dtype=np.int64)).max() == 0
