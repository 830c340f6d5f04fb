import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from mtl_model.evaluation import metrics
from mtl_model.evaluation.metrics import Floats


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


ONES = np.ones(4)
Judge = Callable[[Floats, Floats, Floats], float]


@pytest.mark.parametrize(
    ("labels", "predictions", "expected"),
    [
        pytest.param((0, 0, 1, 1), (0.1, 0.2, 0.3, 0.4), 1.0, id="perfect"),
        pytest.param((1, 1, 0, 0), (0.1, 0.2, 0.3, 0.4), 0.0, id="upside down"),
        pytest.param((0, 1, 0, 1), (0.1, 0.2, 0.3, 0.4), 0.75, id="three of four pairs"),
        pytest.param((0, 1, 0, 1), (0.5, 0.5, 0.5, 0.5), 0.5, id="all tied"),
        pytest.param((0, 1, 0, 1), (0.1, 0.2, 0.2, 0.3), 0.875, id="one pair tied"),
    ],
)
def test_auc_counts_the_pairs_in_order(
    labels: tuple[float, ...], predictions: tuple[float, ...], expected: float
) -> None:
    assert metrics.auc(floats(*labels), floats(*predictions), ONES) == pytest.approx(expected)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_auc_of_one_class_has_no_meaning(label: float) -> None:
    assert math.isnan(metrics.auc(np.full(3, label), floats(0.1, 0.2, 0.3), np.ones(3)))


def test_a_weight_of_two_is_the_row_twice() -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 2, 50).astype(float), rng.random(50).round(1)
    users, weights = rng.integers(0, 5, 50), rng.integers(1, 4, 50)
    rows = np.repeat(np.arange(50), weights)
    values = labels * rng.random(50)

    def all_metrics(rows: npt.NDArray[np.int64], weights: Floats) -> list[float]:
        columns = labels[rows], predictions[rows]
        return [
            metrics.auc(*columns, weights),
            metrics.gauc(*columns, users[rows], weights),
            metrics.log_loss(*columns, weights),
            metrics.normalised_entropy(*columns, weights),
            metrics.calibration(*columns, weights),
            metrics.pr_auc(*columns, weights),
            metrics.f1(*columns, weights),
            metrics.normalised_gini(values[rows], predictions[rows], weights),
        ]

    weighted = all_metrics(np.arange(50), weights.astype(float))

    assert weighted == pytest.approx(all_metrics(rows, np.ones(len(rows))))


def test_gauc_weighs_users_by_rows_and_leaves_out_those_with_one_label() -> None:
    users = np.array([0, 0, 1, 1, 1, 2, 2])
    labels = floats(0, 1, 0, 1, 0, 1, 1)
    predictions = floats(0.1, 0.2, 0.9, 0.5, 0.1, 0.3, 0.4)  # user 0: AUC 1, user 1: AUC 0.5, user 2: none

    assert metrics.gauc(labels, predictions, users, np.ones(7)) == pytest.approx((2 * 1.0 + 3 * 0.5) / 5)


def test_log_loss_of_a_certain_and_wrong_prediction_is_finite() -> None:
    assert metrics.log_loss(floats(1, 0), floats(0.5, 0.5), np.ones(2)) == pytest.approx(math.log(2))
    assert metrics.log_loss(floats(1), floats(0.0), np.ones(1)) == pytest.approx(-math.log(1e-7))


def test_normalised_entropy_of_the_base_rate_is_one() -> None:
    labels = floats(0, 0, 0, 1)

    assert metrics.normalised_entropy(labels, np.full(4, 0.25), ONES) == pytest.approx(1.0)
    assert metrics.normalised_entropy(labels, floats(0.1, 0.1, 0.1, 0.7), ONES) < 1
    assert math.isnan(metrics.normalised_entropy(np.zeros(4), np.full(4, 0.25), ONES))


def test_calibration_is_predicted_over_observed() -> None:
    assert metrics.calibration(floats(0, 1, 0, 1), floats(0.5, 1.0, 0.5, 1.0), ONES) == pytest.approx(1.5)
    assert math.isnan(metrics.calibration(np.zeros(4), ONES, ONES))


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        pytest.param((4, 3, 2, 1), 1.0, id="perfect"),
        pytest.param((1, 2, 3, 4), -1.0, id="upside down"),
        pytest.param((1, 1, 1, 1), 0.0, id="all tied"),
        # Curve of value: (0, 0), (1/4, 1/4), (1/2, 1), (1, 1): Gini 3/8. The best one: 5/8.
        pytest.param((3, 4, 2, 1), 0.6, id="second first"),
    ],
)
def test_normalised_gini_is_the_area_won(predictions: tuple[float, ...], expected: float) -> None:
    values = floats(3, 1, 0, 0)

    assert metrics.normalised_gini(values, floats(*predictions), ONES) == pytest.approx(expected)


def test_the_calibration_curve_has_bins_of_equal_weight() -> None:
    labels, predictions = floats(0, 0, 1, 1), floats(0.2, 0.1, 0.9, 0.7)

    curve = metrics.calibration_curve(labels, predictions, ONES, num_bins=2)

    np.testing.assert_allclose(curve, [[0.15, 0.0, 2.0], [0.8, 1.0, 2.0]])


@pytest.mark.parametrize(
    ("auc", "positives", "negatives", "low", "high"),
    [
        pytest.param(0.75, 10, 20, 0.5515, 0.9485, id="by hand"),
        pytest.param(0.75, 1000, 2000, 0.7305, 0.7695, id="more rows, a narrower interval"),
        pytest.param(0.95, 3, 3, 0.7444, 1.0, id="no further than 1"),
        pytest.param(1.0, 5, 5, 1.0, 1.0, id="all in order"),
    ],
)
def test_the_interval_of_an_auc(auc: float, positives: int, negatives: int, low: float, high: float) -> None:
    assert metrics.auc_interval(auc, positives, negatives) == pytest.approx((low, high), abs=1e-3)


def test_an_auc_of_one_class_has_no_interval() -> None:
    assert np.isnan(metrics.auc_interval(float("nan"), 0, 5)).all()


@st.composite
def rounded_rows(draw: st.DrawFn) -> tuple[Floats, Floats, Floats]:
    """Labels, one of them 1, predictions with ties, and weights."""
    row = st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 10), st.integers(1, 3))
    rows = [(1.0, draw(st.integers(0, 10)), 1), *draw(st.lists(row, max_size=80))]
    labels, tenths, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return labels, tenths / 10, weights


@given(rows=rounded_rows())
def test_precision_and_recall_are_those_of_scikit_learn(rows: tuple[Floats, Floats, Floats]) -> None:
    labels, predictions, weights = rows
    precision, recall, _ = precision_recall_curve(labels, predictions, sample_weight=weights)

    expected = average_precision_score(labels, predictions, sample_weight=weights)
    assert metrics.pr_auc(labels, predictions, weights) == pytest.approx(expected)
    best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    assert metrics.f1(labels, predictions, weights) == pytest.approx(best)


@given(rows=rounded_rows(), data=st.data())
def test_no_metric_depends_on_the_order_of_the_rows(
    rows: tuple[Floats, Floats, Floats], data: st.DataObject
) -> None:
    order = np.array(data.draw(st.permutations(range(len(rows[0])))))
    judges = (
        metrics.auc,
        metrics.pr_auc,
        metrics.f1,
        metrics.log_loss,
        metrics.expected_calibration_error,
        metrics.decile_bias,
        metrics.normalised_gini,
        metrics.root_mean_squared_error,
    )

    there = [judge(*rows) for judge in judges]

    found = [judge(*(column[order] for column in rows)) for judge in judges]
    assert found == pytest.approx(there, nan_ok=True)


@pytest.mark.parametrize("judge", [metrics.pr_auc, metrics.f1, metrics.decile_bias])
@pytest.mark.parametrize("num_rows", [0, 3])
def test_without_a_positive_some_metrics_have_no_meaning(judge: Judge, num_rows: int) -> None:
    assert math.isnan(judge(np.zeros(num_rows), np.full(num_rows, 0.5), np.ones(num_rows)))


def test_the_expected_calibration_error_is_the_mean_distance_over_tenths() -> None:
    predictions = np.repeat(np.arange(10) / 10, 2)
    labels = np.tile([0.0, 1.0], 10)  # the mean label of each tenth is a half

    error = metrics.expected_calibration_error(labels, predictions, np.ones(20))

    assert error == pytest.approx(np.mean(np.abs(np.arange(10) / 10 - 0.5)))
    assert metrics.decile_bias(labels * 4, predictions * 4, np.ones(20)) == pytest.approx(error / 0.5)


def test_equal_predictions_are_one_bin() -> None:
    curve = metrics.calibration_curve(floats(1, 0, 1, 0), np.full(4, 0.3), ONES, num_bins=2)

    np.testing.assert_allclose(curve, [[0.3, 0.5, 4.0]])
