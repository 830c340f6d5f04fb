import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from mtl_model.evaluation.metrics import Floats
from mtl_model.evaluation.ranking_metrics import top_metrics


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def test_the_users_lists_are_judged_apart_and_count_alike() -> None:
    users = np.array([0, 1, 0, 1, 0, 1, 2])
    labels = floats(1, 0, 1, 1, 0, 0, 0)  # user 2 has no positive and does not count
    predictions = floats(0.9, 0.8, 0.1, 0.7, 0.5, 0.1, 0.3)  # ranks of positives: user 0: 1, 3; user 1: 2

    recall, ndcg = top_metrics(labels, predictions, users, np.ones(7), k=2)

    assert recall == pytest.approx((1 / 2 + 1) / 2)
    best_of_two = 1 + 1 / math.log2(3)
    assert ndcg == pytest.approx((1 / best_of_two + 1 / math.log2(3)) / 2)


def test_a_sampled_negative_pushes_those_below_it_down_by_all_that_it_stands_for() -> None:
    labels, predictions, weights = floats(1, 0, 1), floats(0.9, 0.5, 0.1), floats(1, 10, 1)

    within_ten = top_metrics(labels, predictions, np.zeros(3, dtype=np.int64), weights, k=10)
    within_twelve = top_metrics(labels, predictions, np.zeros(3, dtype=np.int64), weights, k=12)

    assert within_ten.recall == 0.5
    assert within_twelve.recall == 1.0
    assert within_twelve.ndcg == pytest.approx((1 + 1 / math.log2(13)) / (1 + 1 / math.log2(3)))


def test_ties_count_against_the_model_but_not_among_positives() -> None:
    no_user = np.zeros(3, dtype=np.int64)

    tied = top_metrics(floats(1, 1, 0), floats(0.5, 0.5, 0.5), no_user, np.ones(3), k=1)
    alike = top_metrics(floats(1, 1, 0), floats(0.5, 0.5, 0.1), no_user, np.ones(3), k=2)

    assert tied == (0.0, 0.0)
    assert alike == (1.0, 1.0)


@pytest.mark.parametrize("labels", [(), (0.0, 0.0)], ids=["no rows", "no positive"])
def test_without_a_positive_there_is_nothing_to_find(labels: tuple[float, ...]) -> None:
    empty = np.zeros(len(labels))

    assert np.isnan(top_metrics(floats(*labels), empty, empty.astype(np.int64), np.ones(len(labels)))).all()


@given(
    lists=st.lists(st.lists(st.booleans(), min_size=2, max_size=20), min_size=1, max_size=6),
    k=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_ndcg_and_recall_are_those_of_the_books(lists: list[list[bool]], k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    labels = np.concatenate([np.array(one, dtype=np.float64) for one in lists])
    predictions = rng.permutation(len(labels)).astype(np.float64)  # no ties
    shuffled = rng.permutation(len(labels))

    found = top_metrics(labels[shuffled], predictions[shuffled], users[shuffled], np.ones(len(labels)), k)

    ndcgs, recalls = [], []
    for user in np.unique(users):
        mine = users == user
        if labels[mine].any():
            ndcgs.append(ndcg_score([labels[mine]], [predictions[mine]], k=k))
            top = np.argsort(-predictions[mine])[:k]
            recalls.append(labels[mine][top].sum() / labels[mine].sum())
    if ndcgs:
        assert found == pytest.approx((np.mean(recalls), np.mean(ndcgs)))
    else:
        assert np.isnan(found).all()
