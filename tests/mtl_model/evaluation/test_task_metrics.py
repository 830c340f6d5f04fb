import math

import numpy as np
import pytest

from mtl_model.evaluation.metrics import Floats
from mtl_model.evaluation.task_metrics import error_metrics, multiclass_metrics, value_metrics

USERS = np.zeros(3, dtype=np.int64)


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def test_errors_of_values_are_weighted_and_stand_beside_those_of_the_mean() -> None:
    metrics = error_metrics(floats(1, 2, 4), floats(1, 4, 3), floats(2, 1, 1), USERS, ())

    assert metrics["mean_label"] == 2.0
    assert metrics["mean_absolute_error"] == pytest.approx(3 / 4)
    assert metrics["root_mean_squared_error"] == pytest.approx(math.sqrt(5 / 4))
    assert metrics["calibration"] == pytest.approx(9 / 8)
    assert metrics["constant"]["mean_absolute_error"] == pytest.approx(1.0)
    assert metrics["constant"]["root_mean_squared_error"] == pytest.approx(math.sqrt(6 / 4))


def test_classes_are_judged_by_hits_and_by_the_probability_of_the_label() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.6, 0.4, 0.0], [0.1, 0.8, 0.1]])

    metrics = multiclass_metrics(floats(0, 1, 1), probabilities, floats(1, 1, 2), USERS, ())

    assert metrics["accuracy"] == pytest.approx(3 / 4)
    assert metrics["log_loss"] == pytest.approx(-(math.log(0.5) + math.log(0.4) + 2 * math.log(0.8)) / 4)
    constant_loss = -(math.log(0.25) + 3 * math.log(0.75)) / 4
    assert metrics["constant"]["accuracy"] == 0.75
    assert metrics["normalised_entropy"] == pytest.approx(metrics["log_loss"] / constant_loss)


def test_one_class_only_leaves_no_entropy_to_compare_with() -> None:
    metrics = multiclass_metrics(floats(1, 1, 1), np.full((3, 2), 0.5), floats(1, 1, 1), USERS, ())

    assert metrics["normalised_entropy"] is None


def test_values_are_judged_by_rank_by_tenth_and_by_distance() -> None:
    metrics = value_metrics(floats(0, 0, 6), floats(1, 1, 5), floats(1, 1, 1), USERS, ())

    assert metrics["normalised_gini"] == pytest.approx(1.0)
    assert metrics["root_mean_squared_error"] == pytest.approx(1.0)
    assert metrics["constant"]["root_mean_squared_error"] == pytest.approx(math.sqrt((4 + 4 + 16) / 3))
    assert metrics["decile_bias"] == pytest.approx(1 / 2)  # each third is wrong by 1, the mean value is 2
