from datetime import date
from math import log1p
from pathlib import Path
from statistics import fmean, pstdev

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.learn.model_inputs import measure_numbers, sample_rows, write_vocabularies
from mtl_model.config import IdField, NumericField
from mtl_model.data.config import IdListField
from mtl_model.data.id_rows import look_up
from mtl_model.model_folder import read_vocabularies


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


BRAND = IdField(kind="id", name="brand", min_count=2)
WORDS = IdListField(kind="id_list", name="title_words", max_length=2, min_count=2)
CODE = IdField(kind="id", name='the "code"')


def write_files(folder: Path, *tables: pa.Table) -> list[str]:
    """Under names that a pattern of files would misread."""
    paths = [folder / f"part[{number}] * 100%.parquet" for number in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path)
    return list(map(str, paths))


def read(paths: dict[str, Path]) -> dict[str, list[str]]:
    return {name: pq.read_table(path)["value"].to_pylist() for name, path in paths.items()}


def test_a_vocabulary_has_what_is_seen_often_enough_and_later_values_are_apart(tmp_path: Path) -> None:
    lists = pa.list_(pa.string())
    first, second, later, last = (
        pa.table({"brand": pa.array(brands, pa.string()), "title_words": pa.array(words, lists)})
        for brands, words in (
            (["z", "b", None], [["red", "red"], None, []]),
            (["z", "once"], [["mug"], ["hat", None, None]]),
            (["b", "new", "z"], [["mug", "pen"], ["pen"], ["red"]]),
            (["new", "other"], [["red"], ["cap"]]),
        )
    )
    files = write_files(tmp_path, first, second, later, last)

    known, new = write_vocabularies(files[:2], files[2:], [BRAND, WORDS], tmp_path)

    assert read(known) == {"brand": ["z"], "title_words": ["red"]}
    assert read(new) == {"brand": ["b", "new"], "title_words": ["mug", "pen"]}
    alone, nothing = write_vocabularies(files[:2], [], [BRAND, WORDS], tmp_path)
    assert (read(alone), nothing) == ({"brand": ["z"], "title_words": ["red"]}, {})


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array([3, 10, None]), id="whole numbers"),
        pytest.param(pa.array([1.0, 2.5, None]), id="numbers"),
        pytest.param(pa.array([True, False]), id="flags"),
        pytest.param(pa.array([date(2025, 1, 1)]), id="days"),
        pytest.param(pa.array(["x"]).dictionary_encode(), id="a dictionary"),
        pytest.param(pa.array([None, None], pa.string()), id="nothing"),
    ],
)
def test_a_value_is_found_by_the_text_that_the_vocabulary_has(tmp_path: Path, column: pa.Array) -> None:
    files = write_files(tmp_path, pa.table({CODE.name: column}))

    known, _ = write_vocabularies(files, [], [CODE], tmp_path)

    rows = look_up(column, read_vocabularies(known)[CODE.name])
    assert sorted(rows) == [0] * column.null_count + list(range(2, 2 + len(column) - column.null_count))
