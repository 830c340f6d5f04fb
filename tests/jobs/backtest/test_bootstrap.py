from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.backtest.bootstrap import difference_intervals, poisson_weights

_ROWS = "method string, date string, segment string, user_id string, difference double"


def test_weights_are_those_of_a_poisson_with_mean_1() -> None:
    weights = poisson_weights(np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 500), replicates=400)

    assert weights.shape == (500, 400)
    assert weights.mean() == pytest.approx(1.0, abs=0.01)
    assert weights.var() == pytest.approx(1.0, abs=0.02)
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.01)
    assert np.corrcoef(weights[0], weights[1])[0, 1] == pytest.approx(0.0, abs=0.2)  # users are independent
    assert np.corrcoef(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(0.0, abs=0.2)  # and replicates


def test_a_user_has_the_same_weights_in_every_row_and_batch() -> None:
    user, other = 17, -3

    weights = poisson_weights(np.array([user, other, user], dtype=np.int64), replicates=50)

    assert (weights[0] == weights[2]).all()
    assert (weights[0] == poisson_weights(np.array([user]), replicates=50)[0]).all()
    assert (weights[0] != weights[1]).any()


def differences(spark: SparkSession, method: str, values: list[float], segment: str = "all") -> list[Any]:
    return [(method, "all", segment, f"u{number % 200}", value) for number, value in enumerate(values)]


def intervals(rows: DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    found = difference_intervals(rows).collect()
    return {(row.method, row.segment): (row.ci_low, row.ci_high) for row in found}


def test_the_interval_holds_the_mean_and_is_as_wide_as_its_standard_error(spark: SparkSession) -> None:
    values = np.random.default_rng(2).normal(0.05, 0.2, 400)
    rows = [
        *differences(spark, "joint", values.tolist()),
        *differences(spark, "constant", [0.3] * 20),
        *differences(spark, "one user", [0.5], "department"),
    ]
    frame = spark.createDataFrame(rows, _ROWS)

    found = intervals(frame)

    low, high = found["joint", "all"]
    assert low < values.mean() < high
    per_user = values.reshape(2, 200).mean(axis=0)  # users are resampled whole
    assert high - low == pytest.approx(2 * 1.96 * per_user.std() / np.sqrt(200), rel=0.15)
    assert found["constant", "all"] == pytest.approx((0.3, 0.3))
    assert found["one user", "department"] == pytest.approx((0.5, 0.5))  # also where most weights are 0
    assert intervals(frame.repartition(3)) == {key: pytest.approx(value) for key, value in found.items()}
