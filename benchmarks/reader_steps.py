"""Steps that read: training on batches of either reader or on one that stays; and reading alone.

A step of reading alone is one batch of tensors. Files hold ids as text, as the pipeline's do.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import count, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch
from torch import Tensor

from benchmarks.nightshelf_steps import to_batch, write_spec
from benchmarks.workload import TASKS, Workload, make_batches
from mtl_model.config import TrainSpec
from mtl_model.data.batches import batches_per_pool, count_steps, load_reader, shuffled_batches
from mtl_model.data.encode import Batch, Encoder
from mtl_model.data.prefetch import prefetch
from mtl_model.model_folder import read_vocabularies
from mtl_model.seeds import derive_seed
from mtl_model.training.config import ReaderName
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import Trainer

NUM_FILES = 4
FILE_STEPS = 16  # batches in a file
ROW_GROUP_ROWS = 32_768  # full batches, so that the scan has as many rows in a step
SCANNED_ROWS = 65_536

TakeSteps = Callable[[int], None]
Prepare = Callable[..., AbstractContextManager[TakeSteps]]


@contextmanager
def train_frozen(workload: Workload, num_threads: int) -> Iterator[TakeSteps]:
    (rows,) = make_batches(workload, num_batches=1, seed=0)
    batch = to_batch(rows)
    with _trainer(workload, num_threads) as (trainer, _):
        yield _train_on(trainer, iter(lambda: batch, None))


@contextmanager
def train_by_arrow(workload: Workload, num_threads: int) -> Iterator[TakeSteps]:
    with _trainer(workload, num_threads) as (trainer, spec):
        yield _train_on(trainer, read_batches(spec, trainer.encoder, "arrow"))


@contextmanager
def train_by_petastorm(workload: Workload, num_threads: int) -> Iterator[TakeSteps]:
    with _trainer(workload, num_threads) as (trainer, spec):
        yield _train_on(trainer, read_batches(spec, trainer.encoder, "petastorm"))


@contextmanager
def read_by_arrow(workload: Workload, num_threads: int) -> Iterator[TakeSteps]:
    with write_files(workload) as spec:
        encoder = Encoder(spec.model, spec, read_vocabularies(spec.vocabularies))
        yield _consume(read_batches(spec, encoder, "arrow"))


@contextmanager
def scan(workload: Workload, num_threads: int) -> Iterator[TakeSteps]:
    with write_files(workload) as spec:
        yield _consume(scan_tensors(workload, spec))


@contextmanager
def _trainer(workload: Workload, num_threads: int) -> Iterator[tuple[Trainer, TrainSpec]]:
    with join_process_group() as group, write_files(workload) as spec:
        torch.set_num_threads(num_threads)
        with closing(Trainer(spec, group)) as trainer:
            trainer.model.train()
            yield trainer, spec


@contextmanager
def write_files(workload: Workload) -> Iterator[TrainSpec]:
    """A spec over files of several pools of the shuffling."""
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as folder:
        spec = write_spec(workload, 1, Path(folder))
        rows_per_file = FILE_STEPS * workload.batch_size
        files = [Path(folder) / f"examples-{index}.parquet" for index in range(NUM_FILES)]
        for index, path in enumerate(files):
            table = make_examples(workload._replace(batch_size=rows_per_file), seed=index)
            pq.write_table(table, path, row_group_size=ROW_GROUP_ROWS, compression="zstd")
        yield spec.model_copy(update={"train_files": tuple(files)})


def make_examples(workload: Workload, seed: int, ids_as_text: bool = True) -> pa.Table:
    (rows,) = make_batches(workload, num_batches=1, seed=seed)
    columns = {"example_id": np.arange(len(rows.labels)) + seed * len(rows.labels)}
    columns |= dict(zip(workload.id_fields, rows.ids.T, strict=True))
    columns |= dict(zip(workload.number_fields, rows.numbers.T, strict=True))
    columns |= dict(zip([f"label_{task}" for task in TASKS], rows.labels.T, strict=True))
    table = pa.table(columns)
    if not ids_as_text:
        return table
    texts = [
        pa.field(field.name, pa.string()) if field.name in workload.id_fields else field
        for field in table.schema
    ]
    return table.cast(pa.schema(texts))


def read_batches(spec: TrainSpec, encoder: Encoder, name: ReaderName) -> Iterator[Batch]:
    """Batches of pass after pass, as `Trainer` reads them."""
    reader, seed, batch_size = (
        load_reader(name),
        spec.model.training.seed,
        spec.model.training.global_batch_size,
    )
    for epoch in count():
        num_steps = count_steps(reader.shard_rows(spec.train_files, seed, epoch, 1), batch_size)
        tables = reader.read_shard(spec.train_files, encoder.training_columns, seed, epoch, 0, 1)
        yield from shuffled_batches(tables, encoder, batch_size, num_steps, derive_seed(seed, epoch))


def scan_tensors(workload: Workload, spec: TrainSpec) -> Iterator[list[Tensor]]:
    """The same tensors by nothing but pyarrow: in the order of the files, not standardised."""
    known = {name: vocabulary.values for name, vocabulary in read_vocabularies(spec.vocabularies).items()}
    labels = [f"label_{task}" for task in TASKS]
    columns = ["example_id", *workload.id_fields, *workload.number_fields, *labels]
    while True:
        scanner = ds.dataset(list(spec.train_files)).scanner(
            columns=columns, batch_size=SCANNED_ROWS, use_threads=False
        )
        for rows in scanner.to_batches():
            ids = [pc.index_in(rows[name], value_set=known[name]) for name in workload.id_fields]
            id_matrix = np.stack([pc.fill_null(column, -1).to_numpy() for column in ids], axis=1).astype(
                np.int64
            )
            numbers, targets = (
                np.stack([rows[name].to_numpy().astype(np.float32) for name in names], axis=1)
                for names in (workload.number_fields, labels)
            )
            tensors = [torch.from_numpy(part) for part in (id_matrix + 2, numbers, targets)]
            for start in range(0, rows.num_rows, workload.batch_size):
                yield [tensor[start : start + workload.batch_size] for tensor in tensors]


def _train_on(trainer: Trainer, batches: Iterator[Batch]) -> TakeSteps:
    depth = batches_per_pool(trainer.training.global_batch_size // trainer.training.num_processes)
    steps, prefetched = count(1), prefetch(batches, depth)

    def take_steps(num_steps: int) -> None:
        for batch in islice(prefetched, num_steps):
            trainer.train_step(batch, next(steps))

    return take_steps


def _consume(batches: Iterator[object]) -> TakeSteps:
    def take_steps(num_steps: int) -> None:
        for _ in islice(batches, num_steps):
            pass

    return take_steps
