from math import log1p
from pathlib import Path
from statistics import fmean, pstdev

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.learn.model_inputs import measure_numbers, sample_rows, write_vocabularies
from mtl_model.config import IdField, NumericField


def test_numbers_are_measured_as_the_model_sees_them_and_without_nulls() -> None:
    rows = pa.table({"count": [0, None, 3, 1, -2], "price": [1.0, 2.0, None, 3.0, 6.0]})
    fields = [
        NumericField(kind="numeric", name="count", log1p=True, num_buckets=2),
        NumericField(kind="numeric", name="price", num_buckets=4),
    ]

    measured = measure_numbers(rows, fields)

    logs = [0.0, log1p(3), log1p(1), -log1p(2)]
    assert measured["count"].mean == pytest.approx(fmean(logs))
    assert measured["count"].std == pytest.approx(pstdev(logs))
    assert measured["count"].boundaries == (0.0,)  # of raw values
    assert measured["price"].mean == 3.0
    assert measured["price"].std == pytest.approx(pstdev([1, 2, 3, 6]))
    assert measured["price"].boundaries == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("values", "num_buckets", "expected"),
    [
        pytest.param([None, None], 4, (0.0, 0.0, ()), id="all missing"),
        pytest.param([], 4, (0.0, 0.0, ()), id="no rows"),
        pytest.param([5, 5, 5], 4, (5.0, 0.0, (5.0,)), id="a constant has one boundary"),
        pytest.param([1, 2], 0, (1.5, 0.5, ()), id="no buckets"),
        pytest.param([1, 0, None, 0, 0], 4, (0.0, 1.0, (0.0,)), id="a flag stays as it is"),
        pytest.param([1, 0, 2], 0, (1.0, pstdev([0, 1, 2]), ()), id="two is no flag"),
    ],
)
def test_numbers_that_hardly_vary(
    values: list[int | None], num_buckets: int, expected: tuple[float, float, tuple[float, ...]]
) -> None:
    field = NumericField(kind="numeric", name="count", num_buckets=num_buckets)

    measured = measure_numbers(pa.table({"count": pa.array(values, pa.int64())}), [field])["count"]

    assert (measured.mean, measured.std, measured.boundaries) == expected


def test_a_sample_has_rows_of_every_file(tmp_path: Path) -> None:
    for name, count in (("a", 1_500), ("b", 3), ("empty", 0)):
        pq.write_table(
            pa.table({"x": pa.array([name] * count, pa.string()), "y": range(count)}), tmp_path / name
        )

    rows = sample_rows([str(tmp_path / name) for name in ("a", "b", "empty")], ["x"])

    assert rows.column_names == ["x"]
    assert rows["x"].to_pylist() == ["a"] * 1_000 + ["b"] * 3


def test_vocabularies_are_written_in_the_order_of_their_rows(tmp_path: Path) -> None:
    rows = pa.table(
        {"field": ["brand", "type", "brand"], "value": ["second", "t", "first"], "row": [3, 2, 2]}
    )
    fields = [IdField(kind="id", name=name) for name in ("brand", "type", "unseen")]

    paths = write_vocabularies(rows, fields, tmp_path)

    assert {name: pq.read_table(path).to_pydict() for name, path in paths.items()} == {
        "brand": {"value": ["first", "second"]}, "type": {"value": ["t"]}, "unseen": {"value": []}
    }  # fmt: skip
