import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from benchmarks.implicit_als import ALSSettings, fit_als
from benchmarks.quality_taobao import hit_rate, hold_out
from benchmarks.taobao_features import DAY_SECONDS, make_features, multiply_factors, read_history

NUM_USERS, NUM_ITEMS = 200, 140


def make_events() -> pa.Table:
    """Users act on items of their own half."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(NUM_USERS), 12)
    items = rng.integers(0, NUM_ITEMS // 2, len(users)) * 2 + users % 2
    return pa.table(
        {
            "user_id": users,
            "item_id": items,
            "behavior": rng.choice(["buy", "cart", "fav"], len(users)),
            "timestamp": np.sort(rng.integers(0, 9 * DAY_SECONDS, len(users))),
        }
    )


def test_the_last_lone_event_of_each_behaviour_is_held_out() -> None:
    events = pa.table(
        {
            "user_id": [1, 1, 1, 1, 1, 2, 2, 2],
            "item_id": [5, 6, 7, 5, 8, 5, 6, 7],
            "behavior": ["buy", "buy", "buy", "cart", "fav", "buy", "buy", "buy"],
            "timestamp": [9, 2, 1, 4, 3, 1, 2, 3],
        }
    )

    held_out = hold_out(events)

    assert sorted(held_out.tolist()) == [1, 4]  # item 5 was put in the cart too; user 2 has too few events


@pytest.mark.parametrize(
    ("others", "rate"),
    [
        pytest.param([2.0] * 9 + [0.0] * 90, 1.0, id="tenth"),
        pytest.param([2.0] * 9 + [1.0] + [0.0] * 89, 0.0, id="an equal score counts against it"),
    ],
)
def test_a_hit_is_among_the_ten_best(others: list[float], rate: float) -> None:
    assert hit_rate(np.array([[1.0, *others]])) == rate


def test_features_tell_the_items_of_a_users_half_and_count_what_is_in_the_history_alone() -> None:
    history = read_history(make_events(), NUM_USERS, NUM_ITEMS, first_second=0)
    users = np.arange(NUM_USERS)
    candidates = np.stack([users % 2, 1 - users % 2], axis=1) + 2 * (users[:, None] % 50)

    features = make_features(history, users, candidates)

    assert (features["similar_score"][:, 0] > features["similar_score"][:, 1]).mean() > 0.95
    for name in ("svd_32_score", "svd_32_cosine"):  # small numbers of noise, but none in the other half
        assert np.abs(features[name][:, 1]).max() < 1e-3 < features[name][:, 0].mean(), name
    counts = np.bincount(history.by_behavior["cart"].indices, minlength=NUM_ITEMS)
    np.testing.assert_array_equal(features["item_cart_count"], counts[candidates])


def test_als_tells_the_items_of_a_users_half() -> None:
    acted = read_history(make_events(), NUM_USERS, NUM_ITEMS, first_second=0).of_any

    of_users, of_items = fit_als(sp.csr_matrix(acted), ALSSettings(num_factors=4, penalty=1.0))

    users = np.arange(NUM_USERS)
    candidates = np.stack([users % 2, 1 - users % 2], axis=1) + 2 * (users[:, None] % 50)
    scores = multiply_factors(of_users.numpy(), of_items.numpy(), users, candidates)
    assert (scores[:, 0] > scores[:, 1]).mean() > 0.95
