"""The petastorm reader: the same rows as the arrow reader, in petastorm's order, by a pool of threads.

Sharing out is petastorm's too: row group i goes to rank i modulo the number of ranks.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from mtl_model.data.arrow_reader import list_row_groups
from mtl_model.data.petastorm_compat import TableQueueReader, import_petastorm_reader
from mtl_model.seeds import derive_seed

NUM_THREADS = 1  # more would race: petastorm passes over a thread that has no work yet
MAX_SEED = 2**31 - 1


def shard_rows(files: Sequence[Path], seed: int, epoch: int, num_ranks: int) -> list[int]:
    """The number of rows that each rank reads; the same in every epoch."""
    row_groups = list_row_groups(files)
    num_ranks_reading = _count_reading_ranks(len(row_groups), num_ranks)
    num_rows = [0] * num_ranks
    for index, row_group in enumerate(row_groups):
        num_rows[index % num_ranks_reading] += row_group.num_rows
    return num_rows


def read_shard(
    files: Sequence[Path], columns: Sequence[str], seed: int, epoch: int, rank: int, num_ranks: int
) -> Iterator[pa.Table]:
    """This rank's row groups, one table each, rows shuffled; seed and epoch determine the order."""
    num_ranks_reading = _count_reading_ranks(len(list_row_groups(files)), num_ranks)
    if rank >= num_ranks_reading:
        return
    reader = import_petastorm_reader().make_batch_reader(
        [path.absolute().as_uri() for path in files],
        schema_fields=[f"^{re.escape(column)}$" for column in columns],
        workers_count=NUM_THREADS,
        shuffle_rows=True,
        seed=derive_seed(seed, epoch) % MAX_SEED + 1,  # to petastorm 0 is no seed
        cur_shard=rank,
        shard_count=num_ranks_reading,
    )
    reader._results_queue_reader = TableQueueReader()
    with reader:  # ends its threads, also when the consumer leaves early
        yield from reader


def _count_reading_ranks(num_row_groups: int, num_ranks: int) -> int:
    """With fewer row groups than ranks, petastorm refuses to share: then rank 0 reads them all."""
    return num_ranks if num_row_groups >= num_ranks else 1
