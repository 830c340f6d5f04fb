from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from jobs.config import load_scenario
from jobs.learn.leaks import area_under_curve, find_leaks, refuse_leaks
from mtl_model.config import ModelConfig

NUM_ROWS = 3_000
HONEST, PLANTED = "user_item_due", "user_item_share"


@pytest.fixture(scope="module")
def model() -> ModelConfig:
    return load_scenario("grocery").model


def make_rows(model: ModelConfig, planted: NDArray[np.float64] | None = None) -> pa.Table:
    """Random numbers and labels; `HONEST` helps, and the column `PLANTED` is as given."""
    rng = np.random.default_rng(5)
    bought = rng.random(NUM_ROWS) < 0.2
    columns = {field.name: rng.random(NUM_ROWS) for field in model.numeric_fields}
    columns[HONEST] = np.where(rng.random(NUM_ROWS) < 0.5, bought, columns[HONEST])
    if planted is not None:
        columns[PLANTED] = np.where(bought, planted, columns[PLANTED])
    labels: dict[str, pa.Array] = {
        task.label: pa.nulls(NUM_ROWS, pa.int32()) for task in model.tasks if task.head == "binary"
    }
    labels["label_purchase"] = pa.array(bought.astype(np.int32), mask=rng.random(NUM_ROWS) < 0.1)
    missing = {PLANTED: np.isnan(columns[PLANTED])}
    arrays = {name: pa.array(values, mask=missing.get(name)) for name, values in columns.items()}
    return pa.table({**arrays, **labels})


@pytest.mark.parametrize("value", [2.0, -1.0, np.nan], ids=["above", "below", "missing"])
def test_a_column_made_from_the_label_is_caught_by_name(
    model: ModelConfig, value: float, tmp_path: Path
) -> None:
    pq.write_table(make_rows(model, planted=np.full(NUM_ROWS, value)), tmp_path / "rows.parquet")

    with pytest.raises(ValueError, match=rf"know the label: {PLANTED} for purchase \(AUC 1\.0000\);"):
        refuse_leaks([str(tmp_path / "rows.parquet")], model, 0.99)


def test_features_that_only_help_pass(model: ModelConfig, tmp_path: Path) -> None:
    rows = make_rows(model)
    pq.write_table(rows, tmp_path / "rows.parquet")

    refuse_leaks([str(tmp_path / "rows.parquet")], model, 0.99)

    found = {leak.field: leak.auc for leak in find_leaks(rows, model)}
    assert set(found) == {field.name for field in model.numeric_fields}
    assert found[HONEST] == pytest.approx(7 / 8, abs=0.02)


def test_a_task_with_few_labels_is_not_judged(model: ModelConfig) -> None:
    rows = make_rows(model, planted=np.full(NUM_ROWS, 2.0))
    bought = rows["label_purchase"].to_numpy(zero_copy_only=False) == 1

    few = rows.filter(pa.array(~bought | (np.cumsum(bought) <= 49)))

    assert list(find_leaks(few, model)) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=30))
def test_the_area_under_the_curve_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    values, positive = np.array([value for value, _ in pairs], float), np.array([label for _, label in pairs])
    if positive.all() or not positive.any():
        return

    expected = np.mean(
        [(high > low) + (high == low) / 2 for high in values[positive] for low in values[~positive]]
    )

    assert area_under_curve(values, positive) == pytest.approx(expected)
