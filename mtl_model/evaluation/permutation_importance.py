"""Which fields a model goes by: what a task's metric loses when the values of a field are dealt out anew.

Permutation importance (Breiman, 2001, doi.org/10.1023/A:1010933404324) on rows that the model has not seen.
A field is permuted among the labelled rows of the task, its number and the embedding of its quantile alike.
Fields that tell the same share what they are worth: the model has the other one left.

Shapes: R = labelled rows of a task, F = columns of a field.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from mtl_model.config import TaskConfig
from mtl_model.data.column_rules import GROUP_COLUMN, RATE_COLUMN
from mtl_model.data.encode import Batch, Encoder
from mtl_model.evaluation.evaluate import Judged
from mtl_model.evaluation.user_influence import LESS_IS_BETTER, Measured, measure_by_user
from mtl_model.predict import Predictions, Predictor


class FieldImportance(NamedTuple):
    """`loss` is by how much the metric is worse without the field; `value` is the metric with it."""

    task: str
    field: str
    metric: str
    value: float
    loss: float
    num_rows: int


class FieldColumns(NamedTuple):
    """Where a field stands in the encoded rows: columns of `ids` and of `numbers`."""

    ids: list[int]
    numbers: list[int]


def permutation_importance(predictor: Predictor, rows: pa.Table, seed: int) -> Iterator[FieldImportance]:
    """Judges the model on `rows` once as they are and once per field; tasks without a metric are left out."""
    batch = predictor.encoder.encode(rows)
    weights = 1 / rows.column(RATE_COLUMN).cast(pa.float64()).to_numpy()
    users = rows.column(GROUP_COLUMN).cast(pa.string()).combine_chunks()
    columns = field_columns(predictor.encoder)
    for labelled, tasks in _tasks_by_rows(predictor.tasks, batch).items():
        chosen = np.flatnonzero(np.frombuffer(labelled, dtype=bool))
        part = _Part(batch.take(torch.from_numpy(chosen)), weights[chosen], users.take(pa.array(chosen)))
        yield from _judge_fields(predictor, part, tasks, columns, seed)


class _Part(NamedTuple):
    """The rows that some tasks have labels of."""

    batch: Batch
    weights: npt.NDArray[np.float64]
    users: pa.Array


def _judge_fields(
    predictor: Predictor,
    part: _Part,
    tasks: list[TaskConfig],
    columns: Mapping[str, FieldColumns],
    seed: int,
) -> Iterator[FieldImportance]:
    ids, numbers = part.batch.ids, part.batch.numbers
    as_they_are = _measure(predictor, part, tasks, predictor.predict_features(ids, numbers))
    for place, (field, of_field) in enumerate(columns.items() if as_they_are else ()):
        order = torch.from_numpy(np.random.default_rng([seed, place]).permutation(len(ids)))
        predictions = predictor.predict_features(
            _permute(ids, of_field.ids, order), _permute(numbers, of_field.numbers, order)
        )
        permuted = _measure(predictor, part, tasks, predictions)
        for task, before in as_they_are.items():
            sign = 1 if before.metric in LESS_IS_BETTER else -1
            loss = sign * (permuted[task].value - before.value)
            yield FieldImportance(task, field, before.metric, before.value, loss, len(ids))


def field_columns(encoder: Encoder) -> dict[str, FieldColumns]:
    """The columns of each field, in the order of the model's fields."""
    scalar = encoder.scalar_columns
    numbers = {name: [place] for place, name in enumerate(encoder.numeric_columns)}
    lists = {name: list(range(part.start, part.stop)) for name, part in encoder.list_columns.items()}
    return {
        name: FieldColumns(lists.get(name, scalar.get(name, [])), numbers.get(name, []))
        for name in encoder.feature_columns
    }


def _tasks_by_rows(tasks: tuple[TaskConfig, ...], batch: Batch) -> dict[bytes, list[TaskConfig]]:
    """Tasks that have labels of the same rows are judged together; the key tells which rows."""
    by_rows: dict[bytes, list[TaskConfig]] = {}
    for place, task in enumerate(tasks):
        labelled = batch.masks[:, place].numpy() > 0
        if labelled.any():
            by_rows.setdefault(labelled.tobytes(), []).append(task)
    return by_rows


def _permute(rows: Tensor, columns: list[int], order: Tensor) -> Tensor:
    if not columns:
        return rows
    permuted = rows.clone()
    permuted[:, columns] = rows[order][:, columns]
    return permuted


def _measure(
    predictor: Predictor, part: _Part, tasks: list[TaskConfig], predictions: Predictions
) -> dict[str, Measured]:
    """One metric per task, where it has a meaning."""
    no_slices = np.empty((len(part.weights), 0), dtype=bool)
    measured = {}
    for task in tasks:
        labels = part.batch.labels[:, predictor.encoder.label_slices[task.name]].numpy()
        labels = labels if task.head == "multilabel" else labels[:, 0]
        judged = Judged(labels, predictions[task.name], part.weights, part.users, no_slices)
        found = measure_by_user(judged, task.head)
        if found is not None:
            measured[task.name] = found
    return measured
