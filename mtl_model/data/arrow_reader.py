"""Parquet row groups, shuffled and shared out by rank: the default reader.

Nothing but a row group is ever held in memory. Each rank works out all shares from the file footers alone,
so that ranks agree on them without talking.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mtl_model.seeds import derive_seed


class RowGroup(NamedTuple):
    file_index: int
    group_index: int
    num_rows: int


def list_row_groups(files: Sequence[Path]) -> list[RowGroup]:
    row_groups: list[RowGroup] = []
    for file_index, path in enumerate(files):
        metadata = pq.read_metadata(path)
        row_groups += [
            RowGroup(file_index, group_index, metadata.row_group(group_index).num_rows)
            for group_index in range(metadata.num_row_groups)
        ]
    return row_groups


def share_out(row_groups: Sequence[RowGroup], seed: int, epoch: int, num_ranks: int) -> list[list[RowGroup]]:
    """Each rank's row groups in reading order: the next one goes to the rank with the fewest rows so far."""
    shares: list[list[RowGroup]] = [[] for _ in range(num_ranks)]
    num_rows = [0] * num_ranks
    for row_group in sorted(row_groups, key=lambda group: derive_seed(seed, epoch, *group[:2])):
        rank = num_rows.index(min(num_rows))
        shares[rank].append(row_group)
        num_rows[rank] += row_group.num_rows
    return shares


def shard_rows(files: Sequence[Path], seed: int, epoch: int, num_ranks: int) -> list[int]:
    """The number of rows that each rank reads in this epoch."""
    shares = share_out(list_row_groups(files), seed, epoch, num_ranks)
    return [sum(row_group.num_rows for row_group in share) for share in shares]


def read_shard(
    files: Sequence[Path], columns: Sequence[str], seed: int, epoch: int, rank: int, num_ranks: int
) -> Iterator[pa.Table]:
    """This rank's row groups, one table each; texts come as dictionaries, as they stand in the files."""
    share = share_out(list_row_groups(files), seed, epoch, num_ranks)[rank]
    texts = _text_columns(files[0], columns) if share else []
    for row_group in share:
        with pq.ParquetFile(files[row_group.file_index], read_dictionary=texts) as parquet_file:
            yield parquet_file.read_row_group(row_group.group_index, columns=list(columns), use_threads=False)


def _text_columns(path: Path, columns: Sequence[str]) -> list[str]:
    schema = pq.read_schema(path)
    known = (schema.field(name) for name in columns if name in schema.names)
    return [field.name for field in known if field.type in {pa.string(), pa.large_string()}]
