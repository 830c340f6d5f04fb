"""Example rows -> tensors; the same code for training, judging and scoring.

Shapes: B = rows, S = scalar slots (id fields, hashed ones, then bucketed numbers), P = lengths of all lists
together, N = numeric fields, T = tasks,
L = label columns of all tasks side by side (one per task, `num_labels` for a multilabel task).
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from mtl_model.config import DataSpec, ModelConfig, TaskConfig
from mtl_model.data.column_rules import check_types, judging_rules
from mtl_model.data.id_rows import FIRST_KNOWN_ROW, Rows, look_up, look_up_lists
from mtl_model.data.vocabulary import HashedVocabulary, Vocabulary
from mtl_model.evaluation.config import SliceConfig

MAX_STANDARDISED = 10.0  # an outlier must not throw the model off

FloatMatrix = npt.NDArray[np.float64]


class Features(NamedTuple):
    """What the model reads: `ids` (B, S + P), rows of each slot's own table, and `numbers` (B, N)."""

    ids: Tensor
    numbers: Tensor


class Batch(NamedTuple):
    """Features with `labels` (B, L) and `masks` (B, T): 1 where the label was observed, else 0.

    `is_target` (B,): of the domain that the model is for; `weights` (B,) of the rows in the loss.
    """

    example_ids: Tensor
    ids: Tensor
    numbers: Tensor
    labels: Tensor
    masks: Tensor
    is_target: Tensor
    weights: Tensor

    @property
    def num_rows(self) -> int:
        return len(self.example_ids)

    def take(self, rows: slice | Tensor) -> "Batch":
        return Batch(*(tensor[rows] for tensor in self))

    def shuffle(self, order: Tensor) -> "Batch":
        """Copies the rows in this order; by numpy, which takes rows several times faster than torch."""
        rows = order.numpy()
        return Batch(*(torch.from_numpy(tensor.numpy().take(rows, axis=0)) for tensor in self))

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


def concat_batches(batches: Sequence[Batch]) -> Batch:
    return Batch(*(torch.cat(tensors) for tensors in zip(*batches, strict=True)))


def label_slices(tasks: Sequence[TaskConfig], label_names: Mapping[str, Sequence[str]]) -> dict[str, slice]:
    """Where each task's labels stand among the L label columns."""
    slices, start = {}, 0
    for task in tasks:
        width = len(label_names.get(task.name, ("",)))
        slices[task.name] = slice(start, start + width)
        start += width
    return slices


class Encoder:
    """Holds the vocabularies and statistics of one model."""

    def __init__(self, model: ModelConfig, data: DataSpec, vocabularies: Mapping[str, Vocabulary]) -> None:
        self.rules = {rule.column: rule for rule in judging_rules(model, data.label_names)}
        self.feature_columns = list(model.columns)
        self.label_columns = [task.label for task in model.tasks]
        self.tasks, self.slices, self.target_slice = model.tasks, model.slices, model.target_slice
        self.label_slices = label_slices(model.tasks, data.label_names)
        self.num_label_columns = max(columns.stop for columns in self.label_slices.values())
        self.vocabularies = {field.name: vocabularies[field.name] for field in model.vocabulary_fields}
        self.of_fields = _by_field(model, self.vocabularies)
        self.id_columns = [field.name for field in model.id_fields]
        self.id_columns += [field.name for field in model.hashed_fields]
        numeric = model.numeric_fields
        statistics = [data.numeric_statistics[field.name] for field in numeric]
        self.numeric_columns = [field.name for field in numeric]
        self.log_rows = np.array([field.log1p for field in numeric], dtype=bool)
        self.means = np.array([statistic.mean for statistic in statistics])[:, None]
        self.stds = np.array([statistic.std or 1.0 for statistic in statistics])[:, None]
        self.boundaries = {
            row: np.array(statistic.boundaries)
            for row, (field, statistic) in enumerate(zip(numeric, statistics, strict=True))
            if field.num_buckets
        }
        self.slot_dims = [model.embedding_dim_of(field) for field in model.embedded_fields]
        self.slot_rows = [len(self.of_fields[name]) + FIRST_KNOWN_ROW for name in self.id_columns]
        self.slot_rows += [len(boundaries) + 2 for boundaries in self.boundaries.values()]
        self.num_scalar_slots = len(self.slot_rows)
        self.scalar_columns = {field.name: [column] for column, field in enumerate(model.scalar_slot_fields)}
        lists = model.list_fields
        self.slot_rows += [
            len(self.of_fields[field.name]) + FIRST_KNOWN_ROW for field in lists if field.shares is None
        ]
        ends = accumulate((field.max_length for field in lists), initial=self.num_scalar_slots)
        self.list_columns = {
            field.name: slice(start, stop) for field, (start, stop) in zip(lists, pairwise(ends), strict=True)
        }
        self.num_id_columns = self.num_scalar_slots + sum(field.max_length for field in lists)

    @property
    def training_columns(self) -> list[str]:
        return ["example_id", *self.feature_columns, *self.label_columns]

    def encode(self, table: pa.Table) -> Batch:
        """Rows with labels; a null label is masked."""
        check_types(table.schema, [self.rules[name] for name in self.training_columns])
        table = table.combine_chunks()
        ids, numbers = self._encode_features(table)
        labels, masks = self._encode_labels(table)
        example_ids = torch.from_numpy(_to_numpy(table.column("example_id")).astype(np.int64))
        is_target = torch.zeros(table.num_rows, dtype=torch.bool)
        if self.target_slice is not None:
            is_target = torch.from_numpy(cut_rows(table, [self.target_slice])[:, 0])
        weights = torch.ones(table.num_rows)
        return Batch(example_ids, ids, numbers, labels, masks, is_target, weights)

    def encode_features(self, table: pa.Table) -> Features:
        """Rows without labels, for scoring."""
        check_types(table.schema, [self.rules[name] for name in self.feature_columns])
        return self._encode_features(table.combine_chunks())

    def _encode_features(self, table: pa.Table) -> Features:
        values = np.empty((len(self.numeric_columns), table.num_rows))
        for row, name in enumerate(self.numeric_columns):
            values[row] = _to_numpy(table.column(name).cast(pa.float64(), safe=False))
        ids = torch.from_numpy(self._encode_ids(table, values))
        return Features(ids, torch.from_numpy(self._standardise(values)))

    def _encode_ids(self, table: pa.Table, values: FloatMatrix) -> Rows:
        ids = np.empty((table.num_rows, self.num_id_columns), dtype=np.int64)
        for slot, name in enumerate(self.id_columns):
            ids[:, slot] = look_up(table.column(name), self.of_fields[name])
        first_bucketed = self.num_scalar_slots - len(self.boundaries)
        for slot, (row, boundaries) in enumerate(self.boundaries.items(), start=first_bucketed):
            buckets = np.searchsorted(boundaries, values[row], side="left") + 1
            ids[:, slot] = np.where(np.isnan(values[row]), 0, buckets)
        for name, columns in self.list_columns.items():
            length = columns.stop - columns.start
            ids[:, columns] = look_up_lists(table.column(name), self.of_fields[name], length)
        return ids

    def _standardise(self, values: FloatMatrix) -> npt.NDArray[np.float32]:
        """Maps raw values (N, B) to inputs (B, N) around 0; a missing value becomes 0, the mean."""
        logged = values[self.log_rows]
        values[self.log_rows] = np.copysign(np.log1p(np.abs(logged)), logged)
        values -= self.means
        values /= self.stds
        np.clip(values, -MAX_STANDARDISED, MAX_STANDARDISED, out=values)
        np.nan_to_num(values, copy=False, nan=0.0)
        return np.ascontiguousarray(values.T, dtype=np.float32)

    def _encode_labels(self, table: pa.Table) -> tuple[Tensor, Tensor]:
        labels = np.zeros((table.num_rows, self.num_label_columns), dtype=np.float32)
        masks = np.empty((table.num_rows, len(self.tasks)), dtype=np.float32)
        for position, task in enumerate(self.tasks):
            column = table.column(task.label)
            observed = _to_numpy(column.is_valid())
            columns = self.label_slices[task.name]
            masks[:, position] = observed
            values = self.rules[task.label].read_numbers(column)
            labels[observed, columns] = values.reshape(-1, columns.stop - columns.start)
            if task.depends_on is not None:
                impossible = labels[:, columns] > labels[:, self.label_slices[task.depends_on]]
                _refuse_impossible(table, task, impossible[:, 0] & observed)
        return torch.from_numpy(labels), torch.from_numpy(masks)


def _by_field(
    model: ModelConfig, known: Mapping[str, Vocabulary]
) -> dict[str, Vocabulary | HashedVocabulary]:
    """What gives each field of ids, single or listed, the places of its values."""
    lists = model.list_fields
    hash_rows = {field.name: field.num_hash_rows for field in model.hashed_fields}
    hash_rows |= {field.name: field.num_hash_rows for field in lists if field.num_hash_rows}
    by_field: dict[str, Vocabulary | HashedVocabulary] = dict(known)
    by_field |= {name: HashedVocabulary(num_rows) for name, num_rows in hash_rows.items()}
    return by_field | {field.name: by_field[field.shares] for field in lists if field.shares}


def cut_rows(table: pa.Table, slices: Sequence[SliceConfig]) -> npt.NDArray[np.bool_]:
    """Which of the table's rows each slice has: (rows, S)."""
    in_slices = np.empty((table.num_rows, len(slices)), dtype=bool)
    for position, part in enumerate(slices):
        values = table.column(part.column).cast(pa.float64()).to_numpy()  # null is nan, which is in no bounds
        at_least = -np.inf if part.at_least is None else part.at_least
        at_most = np.inf if part.at_most is None else part.at_most
        within = (values >= at_least) & (values <= at_most)
        in_slices[:, position] = within | np.isnan(values) if part.or_null else within
    return in_slices


def _refuse_impossible(table: pa.Table, task: TaskConfig, impossible: npt.NDArray[np.bool_]) -> None:
    if impossible.any():
        examples = table.column("example_id").filter(pa.array(impossible))[:5].to_pylist()
        raise ValueError(
            f"label {task.label} is 1 in {int(impossible.sum())} rows where task {task.depends_on}, which "
            f"{task.name} depends on, did not happen or is unknown, among them example_id {examples}"
        )


def _to_numpy(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.to_numpy()
    return values
