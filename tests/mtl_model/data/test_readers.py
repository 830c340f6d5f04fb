"""Rules that hold for the arrow and the petastorm reader alike."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_model.data.batches import Reader, load_reader
from mtl_model.training.config import ReaderName

COLUMNS = ["example_id", "item_id", "days_since", "label_interest"]
WriteExamples = Callable[..., list[Path]]


@pytest.fixture(params=["arrow", "petastorm"])
def reader(request: pytest.FixtureRequest) -> Reader:
    name: ReaderName = request.param
    return load_reader(name)


def read_all(reader: Reader, files: list[Path], num_ranks: int, epoch: int = 0) -> list[pa.Table]:
    """One table per rank."""
    shares = []
    for rank in range(num_ranks):
        tables = list(reader.read_shard(files, COLUMNS, seed=3, epoch=epoch, rank=rank, num_ranks=num_ranks))
        shares.append(_plain(pa.concat_tables(tables).select(COLUMNS)) if tables else None)
    return [
        share if share is not None else pq.read_table(files[0], columns=COLUMNS).slice(0, 0)
        for share in shares
    ]


def _plain(table: pa.Table) -> pa.Table:
    """Texts may come as dictionaries."""
    return table.set_column(1, "item_id", table["item_id"].cast(pa.string()))


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_every_row_is_read_exactly_once(
    reader: Reader, write_examples: WriteExamples, num_ranks: int
) -> None:
    files = write_examples("rows", num_rows=1000, seed=1, num_files=3)

    shares = read_all(reader, files, num_ranks)

    assert (
        pa.concat_tables(shares)
        .sort_by("example_id")
        .equals(
            pa.concat_tables([pq.read_table(path, columns=COLUMNS) for path in files]).sort_by("example_id")
        )
    )
    assert [share.num_rows for share in shares] == reader.shard_rows(
        files, seed=3, epoch=0, num_ranks=num_ranks
    )


def test_fewer_row_groups_than_ranks_lose_no_row(reader: Reader, write_examples: WriteExamples) -> None:
    files = write_examples("rows", num_rows=100, seed=1, num_files=1, row_group_size=60)

    shares = read_all(reader, files, num_ranks=4)

    assert sum(share.num_rows for share in shares) == 100
    assert [share.num_rows for share in shares] == reader.shard_rows(files, seed=3, epoch=0, num_ranks=4)


def test_the_order_is_the_same_again_and_another_in_the_next_epoch(
    reader: Reader, write_examples: WriteExamples
) -> None:
    files = write_examples("rows", num_rows=2000, seed=1, num_files=2, row_group_size=100)

    first, again, next_epoch = (read_all(reader, files, num_ranks=1, epoch=epoch)[0] for epoch in (0, 0, 1))

    assert first.equals(again)
    assert not first.equals(next_epoch)


def test_the_names_of_the_files_do_not_matter(
    reader: Reader, write_examples: WriteExamples, tmp_path: Path
) -> None:
    files = write_examples("rows", num_rows=1000, seed=1, num_files=4, row_group_size=100)
    renamed = [tmp_path / f"{name}.parquet" for name in ("e0", "00", "9f", "10")]
    for path, new in zip(files, renamed, strict=True):
        new.write_bytes(path.read_bytes())

    shares, shares_of_renamed = (read_all(reader, names, num_ranks=2) for names in (files, renamed))

    assert all(share.equals(same) for share, same in zip(shares, shares_of_renamed, strict=True))
    counts = reader.shard_rows(renamed, seed=3, epoch=0, num_ranks=2)
    assert counts == [share.num_rows for share in shares_of_renamed]


def test_ranks_get_nearly_equal_shares(write_examples: WriteExamples) -> None:
    files = write_examples("rows", num_rows=1000, seed=1, num_files=3, row_group_size=70)

    first, second = load_reader("arrow").shard_rows(files, seed=3, epoch=0, num_ranks=2)

    assert abs(first - second) <= 70
