"""Predictions against labels, per task: streams over files and keeps only what the metrics need.

Shapes: R = labelled rows of a task, L = labels of a multilabel task, K = classes of a multiclass task,
S = slices.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl_model.config import HeadName, WeightsName
from mtl_model.data.arrow_reader import read_shard
from mtl_model.data.check_files import check_files
from mtl_model.data.column_rules import GROUP_COLUMN, RATE_COLUMN
from mtl_model.data.encode import cut_rows
from mtl_model.evaluation.task_metrics import TASK_METRICS, TaskMetrics
from mtl_model.predict import Predictor, load_predictor

logger = logging.getLogger(__name__)


class Judged(NamedTuple):
    """One task's labelled rows: `labels` (R,) or (R, L), `predictions` also (R, K), `in_slices` (R, S).

    The rest is (R,). "purchase|click" has the rows where the click happened.
    """

    labels: npt.NDArray[np.float32]
    predictions: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float64]
    users: pa.Array
    in_slices: npt.NDArray[np.bool_]

    def take(self, rows: npt.NDArray[np.int64]) -> "Judged":
        labels, predictions, weights, users, in_slices = self
        return Judged(
            labels[rows], predictions[rows], weights[rows], users.take(pa.array(rows)), in_slices[rows]
        )


def evaluate(
    model_dir: Path, files: Sequence[Path], weights: WeightsName = "model"
) -> dict[str, TaskMetrics]:
    """The metrics of a finished model on files that it need not have seen, per task.

    `weights="judged"` takes the weights of before the final pass, which have not seen its examples.

    Raises:
        ValueError: if a file holds what the model cannot be judged on.
    """
    predictor = load_predictor(model_dir, weights=weights)
    check_files(files, list(predictor.encoder.rules.values()))
    return measure(predictor, [judge_files(predictor, files, rank=0, num_ranks=1)])


def judge_files(predictor: Predictor, files: Sequence[Path], rank: int, num_ranks: int) -> dict[str, Judged]:
    """Predicts this rank's share of the files' row groups."""
    columns = dict.fromkeys([*predictor.encoder.training_columns, GROUP_COLUMN, RATE_COLUMN])
    return judge_tables(
        predictor, read_shard(files, list(columns), seed=0, epoch=0, rank=rank, num_ranks=num_ranks)
    )


def judge_tables(predictor: Predictor, tables: Iterable[pa.Table]) -> dict[str, Judged]:
    parts: dict[str, list[Judged]] = {name: [] for name in _judged_heads(predictor)}
    for table in tables:
        for name, judged in _judge_table(predictor, table).items():
            parts[name].append(judged)
    return {name: concat_judged(judged) for name, judged in parts.items() if judged}


def measure(predictor: Predictor, shares: Sequence[dict[str, Judged]]) -> dict[str, TaskMetrics]:
    """The metrics over all ranks' shares together; ranks may hold unequal numbers of rows, or none."""
    metrics = {}
    for name, head in _judged_heads(predictor).items():
        parts = [share[name] for share in shares if name in share]
        if not parts or not sum(len(part.labels) for part in parts):
            logger.warning("no labelled row of task %s to judge it on", name)
            metrics[name] = TaskMetrics(rows=0)
            continue
        judged, label_names = concat_judged(parts), predictor.label_names.get(name, ())
        metrics[name] = _measure_rows(judged, head, label_names)
        if predictor.encoder.slices:
            metrics[name]["slices"] = {
                part.name: _measure_rows(judged.take(np.flatnonzero(inside)), head, label_names)
                for part, inside in zip(predictor.encoder.slices, judged.in_slices.T, strict=True)
            }
    return metrics


def _judged_heads(predictor: Predictor) -> dict[str, HeadName]:
    """What is judged, by name: the tasks, then those that depend on another, where that one happened."""
    heads = {task.name: task.head for task in predictor.tasks}
    return heads | {
        f"{task.name}|{task.depends_on}": task.head for task in predictor.tasks if task.depends_on
    }


def _measure_rows(judged: Judged, head: HeadName, label_names: Sequence[str]) -> TaskMetrics:
    if not len(judged.labels):
        return TaskMetrics(rows=0)
    return TASK_METRICS[head](
        judged.labels.astype(np.float64),
        judged.predictions.astype(np.float64),
        judged.weights,
        judged.users.dictionary_encode().indices.to_numpy().astype(np.int64),
        label_names,
    )


def _judge_table(predictor: Predictor, table: pa.Table) -> dict[str, Judged]:
    encoder = predictor.encoder
    batch = encoder.encode(table)
    predictions = predictor.predict_features(batch.ids, batch.numbers)
    weights = 1 / table.column(RATE_COLUMN).cast(pa.float64()).to_numpy()
    users = table.column(GROUP_COLUMN).cast(pa.string()).combine_chunks()
    in_slices = cut_rows(table, encoder.slices)
    judged = {}
    for position, task in enumerate(predictor.tasks):
        labels = batch.labels[:, encoder.label_slices[task.name]].numpy()
        labels = labels if task.head == "multilabel" else labels[:, 0]
        observed = batch.masks[:, position].numpy() > 0
        all_rows = Judged(labels, predictions[task.name], weights, users, in_slices)
        judged[task.name] = all_rows.take(np.flatnonzero(observed))
        if task.depends_on is not None:
            name = f"{task.name}|{task.depends_on}"
            happened = batch.labels[:, encoder.label_slices[task.depends_on]].numpy()[:, 0] > 0
            given = all_rows._replace(predictions=predictions[name])
            judged[name] = given.take(np.flatnonzero(observed & happened))
    return judged


def concat_judged(parts: Sequence[Judged]) -> Judged:
    labels, predictions, weights, users, in_slices = zip(*parts, strict=True)
    return Judged(
        np.concatenate(labels),
        np.concatenate(predictions),
        np.concatenate(weights),
        pa.concat_arrays(users),
        np.concatenate(in_slices),
    )
