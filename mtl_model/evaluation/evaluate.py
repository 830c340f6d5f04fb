"""Predictions against labels, per task: streams over files and keeps only what the metrics need.

Shapes: R = labelled rows of a task, L = labels of a multilabel task, K = classes of a multiclass task.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl_model.config import TaskConfig, WeightsName
from mtl_model.data.arrow_reader import read_shard
from mtl_model.evaluation.task_metrics import TASK_METRICS, TaskMetrics
from mtl_model.predict import Predictor, load_predictor

logger = logging.getLogger(__name__)

GROUP_COLUMN = "user_id"
RATE_COLUMN = "sampling_rate"


class Judged(NamedTuple):
    """One task's labelled rows: `labels` (R,) or (R, L), `predictions` also (R, K), the rest (R,)."""

    labels: npt.NDArray[np.float32]
    predictions: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float64]
    users: pa.Array


def evaluate(
    model_dir: Path, files: Sequence[Path], weights: WeightsName = "model"
) -> dict[str, TaskMetrics]:
    """The metrics of a finished model on files that it need not have seen, per task.

    `weights="judged"` takes the weights of before the final pass, which have not seen its examples.
    """
    predictor = load_predictor(model_dir, weights=weights)
    return measure(predictor, [judge_files(predictor, files, rank=0, num_ranks=1)])


def judge_files(predictor: Predictor, files: Sequence[Path], rank: int, num_ranks: int) -> dict[str, Judged]:
    """Predicts this rank's share of the files' row groups."""
    columns = dict.fromkeys([*predictor.encoder.training_columns, GROUP_COLUMN, RATE_COLUMN])
    return judge_tables(
        predictor, read_shard(files, list(columns), seed=0, epoch=0, rank=rank, num_ranks=num_ranks)
    )


def judge_tables(predictor: Predictor, tables: Iterable[pa.Table]) -> dict[str, Judged]:
    parts: dict[str, list[Judged]] = {task.name: [] for task in predictor.tasks}
    for table in tables:
        for task, judged in _judge_table(predictor, table).items():
            parts[task].append(judged)
    return {task: _concat(judged) for task, judged in parts.items() if judged}


def measure(predictor: Predictor, shares: Sequence[dict[str, Judged]]) -> dict[str, TaskMetrics]:
    """The metrics over all ranks' shares together; ranks may hold unequal numbers of rows, or none."""
    metrics = {}
    for task in predictor.tasks:
        parts = [share[task.name] for share in shares if task.name in share]
        if not parts or not sum(len(part.labels) for part in parts):
            logger.warning("no labelled row of task %s to judge it on", task.name)
            metrics[task.name] = TaskMetrics(rows=0)
            continue
        metrics[task.name] = _measure_task(predictor, task, _concat(parts))
    return metrics


def _measure_task(predictor: Predictor, task: TaskConfig, judged: Judged) -> TaskMetrics:
    users = judged.users.dictionary_encode().indices.to_numpy().astype(np.int64)
    return TASK_METRICS[task.head](
        judged.labels.astype(np.float64),
        judged.predictions.astype(np.float64),
        judged.weights,
        users,
        predictor.label_names.get(task.name, ()),
    )


def _judge_table(predictor: Predictor, table: pa.Table) -> dict[str, Judged]:
    encoder = predictor.encoder
    batch = encoder.encode(table)
    predictions = predictor.predict_features(batch.ids, batch.numbers)
    weights = 1 / table.column(RATE_COLUMN).cast(pa.float64()).to_numpy()
    users = table.column(GROUP_COLUMN).cast(pa.string()).combine_chunks()
    judged = {}
    for position, task in enumerate(predictor.tasks):
        rows = np.flatnonzero(batch.masks[:, position].numpy())
        labels = batch.labels[:, encoder.label_slices[task.name]].numpy()[rows]
        labels = labels if task.head == "multilabel" else labels[:, 0]
        judged[task.name] = Judged(
            labels, predictions[task.name][rows], weights[rows], users.take(pa.array(rows))
        )
    return judged


def _concat(parts: Sequence[Judged]) -> Judged:
    labels, predictions, weights, users = zip(*parts, strict=True)
    return Judged(
        np.concatenate(labels), np.concatenate(predictions), np.concatenate(weights), pa.concat_arrays(users)
    )
