from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_model.data.petastorm_dataset import Dataset


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """One row per day; hidden files beside."""
    for day in ("1", "10", "2"):
        (tmp_path / f"day={day}").mkdir()
        pq.write_table(pa.table({"value": [int(day) * 5]}), tmp_path / f"day={day}" / "a.parquet")
    (tmp_path / "day=1" / ".a.parquet.crc").write_bytes(b"0")
    (tmp_path / "_SUCCESS").write_bytes(b"")
    pq.write_metadata(pa.schema({"value": pa.int64()}), tmp_path / "_common_metadata")
    return str(tmp_path)


def test_a_folder_has_its_partition_values_as_columns(folder: str) -> None:
    dataset = Dataset(folder)

    assert dataset.partitions is not None
    assert dataset.partitions.partition_names == {"day"}
    rows = [row for piece in dataset.pieces for row in piece.read(partitions=dataset.partitions).to_pylist()]
    assert rows == [{"value": 5, "day": 1}, {"value": 50, "day": 10}, {"value": 10, "day": 2}]
    assert dataset.common_metadata is not None
    assert dataset.common_metadata.schema.names == ["value"]


def test_a_partition_column_that_is_stored_too_is_an_ordinary_one(folder: str) -> None:
    for path in Path(folder).rglob("a.parquet"):
        pq.write_table(pa.table({"value": [1], "day": [7]}), path)

    dataset = Dataset(folder)

    assert dataset.partitions is None
    assert dataset.pieces[0].read().to_pylist() == [{"value": 1, "day": 7}]


@pytest.mark.parametrize(
    ("filters", "days"),
    [
        ([("day", ">", "1")], ["10", "2"]),
        ([("day", "in", ["2", "1"]), ("day", "!=", 1)], ["2"]),
        ([[("day", "=", 1)], [("day", "=", 10)]], ["1", "10"]),
    ],
)
def test_filters_choose_partitions(folder: str, filters: object, days: list[str]) -> None:
    pieces = Dataset(folder, filters=filters).pieces

    assert [Path(piece.path).parent.name for piece in pieces] == [f"day={day}" for day in days]


def test_what_cannot_be_filtered_or_found_is_named(folder: str) -> None:
    with pytest.raises(ValueError, match=r"these are \['day'\]: {'value'}"):
        Dataset(folder, filters=[("value", "=", 5)])
    with pytest.raises(FileNotFoundError, match=r"no such Parquet file or folder: .*nowhere"):
        Dataset([f"{folder}/nowhere"])
