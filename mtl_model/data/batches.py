"""A reader's tables -> shuffled batches of one rank, the same number of them on every rank."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import torch

from mtl_model.data import arrow_reader
from mtl_model.data.encode import Batch, Encoder, concat_batches
from mtl_model.training.config import ReaderName

POOL_ROWS = 131_072  # rows mixed with one another; bounds the memory


class Reader(Protocol):
    """What a reader module offers: `shard_rows` says how many rows each rank will get from `read_shard`."""

    def shard_rows(self, files: Sequence[Path], seed: int, epoch: int, num_ranks: int) -> list[int]: ...

    def read_shard(
        self, files: Sequence[Path], columns: Sequence[str], seed: int, epoch: int, rank: int, num_ranks: int
    ) -> Iterator[pa.Table]: ...


def load_reader(name: ReaderName) -> Reader:
    if name == "petastorm":
        from mtl_model.data import petastorm_reader  # petastorm imports pyspark: only where it is asked for

        return petastorm_reader
    return arrow_reader


def batches_per_pool(batch_size: int) -> int:
    """How many to prefetch: views of one pool, so that the next is encoded while these are trained on."""
    return -(-POOL_ROWS // batch_size)


def count_steps(num_rows: Sequence[int], batch_size: int) -> int:
    """Steps until the rank with the most rows has read them all; `batch_size` is that of one rank."""
    return -(-max(num_rows) // batch_size)


def shuffled_batches(
    tables: Iterable[pa.Table], encoder: Encoder, batch_size: int, num_steps: int, seed: int
) -> Iterator[Batch]:
    """Exactly `num_steps` batches: all rows once, then empty batches.

    Rows are mixed inside a pool of several row groups; what does not fill a batch goes into the next pool.
    """
    generator = torch.Generator().manual_seed(seed)
    empty = encoder.encode(_empty_table(encoder))
    left_over, steps = empty, 0
    for pool in _pools(tables):
        rows = concat_batches([left_over, encoder.encode(pool)])
        rows = rows.shuffle(torch.randperm(rows.num_rows, generator=generator))
        full = rows.num_rows // batch_size
        for start in range(0, full * batch_size, batch_size):
            yield rows.take(slice(start, start + batch_size))
        left_over, steps = rows.take(slice(full * batch_size, None)), steps + full
    if left_over.num_rows:
        yield left_over
        steps += 1
    for _ in range(steps, num_steps):
        yield empty


def _pools(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Row groups are encoded together: a vocabulary's hash table is made once for them all."""
    pool: list[pa.Table] = []
    for table in tables:
        pool.append(table)
        if sum(part.num_rows for part in pool) >= POOL_ROWS:
            yield pa.concat_tables(pool, promote_options="permissive")
            pool = []
    if pool:
        yield pa.concat_tables(pool, promote_options="permissive")


def _empty_table(encoder: Encoder) -> pa.Table:
    types = dict.fromkeys(encoder.training_columns, pa.null())
    types |= {task.label: pa.list_(pa.int8()) for task in encoder.tasks if task.head == "multilabel"}
    return pa.schema(types.items()).empty_table()
