"""What a training reads, and when: passes over files in global batches that do not depend on the processes.

The rows of a pass are dealt to `training.num_processes` streams; global batch k is the k-th batch of each.
However many processes run, they take these batches: a training that is resumed on fewer or more of them
sees the rows that are left, each once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mtl_model.config import TrainSpec
from mtl_model.data.batches import Reader, count_steps, shuffled_batches
from mtl_model.data.encode import Batch, Encoder, concat_batches
from mtl_model.data.masking import mask_values
from mtl_model.seeds import derive_seed

MASKING_STREAM = 1  # tells the seeds of masks from those of the order


class Pass(NamedTuple):
    """One reading of some files, from step `first_step` on."""

    files: tuple[Path, ...]
    epoch: int
    first_step: int
    num_steps: int
    is_final: bool

    @property
    def last_step(self) -> int:
        return self.first_step + self.num_steps


class Share(NamedTuple):
    """What one rank reads: whole streams; with more ranks than streams, every n-th row of one."""

    streams: tuple[int, ...]
    rows: slice


def share_streams(num_streams: int, rank: int, world_size: int) -> Share:
    if world_size <= num_streams:
        return Share(tuple(range(rank, num_streams, world_size)), slice(None))
    stream = rank % num_streams
    readers = range(stream, world_size, num_streams)
    return Share((stream,), slice(readers.index(rank), None, len(readers)))


def plan_passes(spec: TrainSpec, reader: Reader) -> list[Pass]:
    """`epochs` passes over the train files, then one over the final files; equal on every rank.

    Raises:
        ValueError: if a pass has no rows.
    """
    training = spec.model.training
    epochs = training.epochs if spec.train_files else 0
    files = [spec.train_files] * epochs + [spec.final_files] * bool(spec.final_files)
    passes: list[Pass] = []
    for epoch, epoch_files in enumerate(files):
        num_rows = reader.shard_rows(epoch_files, training.seed, epoch, training.num_processes)
        num_steps = count_steps(num_rows, _stream_batch_size(spec))
        if not num_steps:
            raise ValueError(
                f"no rows to train on in {len(epoch_files)} files, the first is {epoch_files[0]}"
            )
        first_step = passes[-1].last_step if passes else 0
        passes.append(Pass(epoch_files, epoch, first_step, num_steps, is_final=epoch >= epochs))
    return passes


def read_pass(
    one_pass: Pass, spec: TrainSpec, encoder: Encoder, reader: Reader, share: Share
) -> Iterator[Batch]:
    """This rank's rows of each global batch of a pass, `num_steps` times; some may be empty."""
    streams = [_read_stream(one_pass, spec, encoder, reader, stream) for stream in share.streams]
    for parts in zip(*streams, strict=True):
        batch = parts[0] if len(parts) == 1 else concat_batches(parts)
        yield batch if share.rows == slice(None) else batch.take(share.rows)


def augment(batch: Batch, one_pass: Pass, spec: TrainSpec, encoder: Encoder) -> Batch:
    """The batch with some of its values hidden, others in each pass."""
    training = spec.model.training
    seed = derive_seed(training.seed, one_pass.epoch, 0, MASKING_STREAM)
    return mask_values(batch, encoder, training.field_masking, training.sequence_masking, seed)


def _read_stream(
    one_pass: Pass, spec: TrainSpec, encoder: Encoder, reader: Reader, stream: int
) -> Iterator[Batch]:
    training = spec.model.training
    tables = reader.read_shard(
        one_pass.files,
        encoder.training_columns,
        training.seed,
        one_pass.epoch,
        stream,
        training.num_processes,
    )
    row_seed = derive_seed(training.seed, one_pass.epoch, stream)
    return shuffled_batches(tables, encoder, _stream_batch_size(spec), one_pass.num_steps, row_seed)


def _stream_batch_size(spec: TrainSpec) -> int:
    return spec.model.training.global_batch_size // spec.model.training.num_processes
