from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mtl_model.evaluation import metrics
from mtl_model.evaluation.evaluate import Judged
from mtl_model.evaluation.user_influence import NUM_GROUPS, group_users, measure_by_user

NUM_USERS, NUM_ROWS = 300, 6000
RNG = np.random.default_rng(0)
USERS = RNG.integers(0, NUM_USERS, NUM_ROWS)
WEIGHTS = RNG.choice([1.0, 5.0], NUM_ROWS)
SCORES = RNG.normal(0, 1, NUM_ROWS).round(1) + USERS % 5 / 5  # with ties, and users differ
HAPPENED = (RNG.random(NUM_ROWS) < 1 / (1 + np.exp(1.5 - SCORES))).astype(np.float64)
TOPICS = np.stack([HAPPENED, np.roll(HAPPENED, 1), np.zeros(NUM_ROWS)], axis=1)
TOPIC_SCORES = np.stack([SCORES, np.roll(SCORES, 1), SCORES], axis=1)
CLASSES = np.stack([np.full(NUM_ROWS, 0.2), 0.6 / (1 + np.exp(-SCORES)), np.full(NUM_ROWS, 0.1)], axis=1)
VALUES = HAPPENED * RNG.lognormal(0, 1, NUM_ROWS)

CASES = {
    "binary": (HAPPENED, SCORES),
    "multilabel": (TOPICS, TOPIC_SCORES),
    "zero_inflated_lognormal": (VALUES, SCORES),
    "regression": (VALUES, SCORES),
    "multiclass": (HAPPENED, CLASSES),
}


def judged(head: str, rows: Any = None) -> Judged:
    """The rows of a case, each with its user."""
    rows = np.arange(NUM_ROWS) if rows is None else rows
    labels, predictions = CASES[head]
    users = pa.array([f"u{user}" for user in USERS[rows]])
    no_slices = np.empty((len(rows), 0), dtype=bool)
    return Judged(
        labels[rows].astype(np.float32),
        predictions[rows].astype(np.float32),
        WEIGHTS[rows],
        users,
        no_slices,
    )


def test_the_values_are_those_of_the_metrics() -> None:
    scores = SCORES.astype(np.float32).astype(np.float64)
    values = VALUES.astype(np.float32).astype(np.float64)
    aucs = [
        metrics.auc(TOPICS[:, topic], TOPIC_SCORES[:, topic].astype(np.float32).astype(np.float64), WEIGHTS)
        for topic in (0, 1)
    ]
    expected = {
        "binary": ("auc", metrics.auc(HAPPENED, scores, WEIGHTS)),
        "multilabel": ("auc", np.mean(aucs)),
        "zero_inflated_lognormal": (
            "normalised_gini",
            metrics.normalised_gini(values, scores, WEIGHTS),
        ),
        "regression": (
            "root_mean_squared_error",
            metrics.root_mean_squared_error(values, scores, WEIGHTS),
        ),
        "multiclass": (
            "log_loss",
            np.average(-np.log(np.where(HAPPENED == 1, CLASSES[:, 1], 0.2)), weights=WEIGHTS),
        ),
    }

    for head in CASES:
        found = measure_by_user(judged(head), head)  # type: ignore[arg-type]
        assert found is not None
        assert found[0] == expected[head][0]
        assert found[1] == pytest.approx(expected[head][1], rel=1e-6), head


@pytest.mark.parametrize("head", CASES)
def test_the_influence_of_a_user_is_what_the_metric_changes_by_without_him(head: Any) -> None:
    whole = measure_by_user(judged(head), head)
    assert whole is not None
    assert whole.influence.sum() == pytest.approx(0.0, abs=1e-9)
    group_of = group_users(pa.array([f"u{user}" for user in range(NUM_USERS)]))
    changes, influences = [], []

    for user in range(12):
        alone_in_group = (group_of == group_of[user]).sum() == 1
        without = measure_by_user(judged(head, np.flatnonzero(user != USERS)), head)
        assert without is not None
        if alone_in_group:
            changes.append(whole.value - without.value)
            influences.append(whole.influence[group_of[user]])

    assert len(changes) > 6
    np.testing.assert_allclose(influences, changes, atol=0.05 * np.abs(changes).max())


def test_resampled_users_give_the_interval_of_the_slow_bootstrap() -> None:
    found = measure_by_user(judged("binary"), "binary")
    assert found is not None
    rng = np.random.default_rng(1)
    rows_of = [np.flatnonzero(user == USERS) for user in range(NUM_USERS)]
    slow = []
    for _ in range(200):
        rows = np.concatenate([rows_of[user] for user in rng.integers(0, NUM_USERS, NUM_USERS)])
        slow.append(metrics.auc(HAPPENED[rows], SCORES[rows], WEIGHTS[rows]))

    fast = found.value + (rng.poisson(1.0, (1000, NUM_GROUPS)) - 1) @ found.influence

    assert np.std(fast) == pytest.approx(np.std(slow), rel=0.2)


@pytest.mark.parametrize("head", ["binary", "zero_inflated_lognormal"])
def test_one_class_has_no_metric(head: Any) -> None:
    nothing = judged(head, np.flatnonzero(HAPPENED == 0)[:5])

    assert measure_by_user(nothing, head) is None
