"""Finds features that have seen the label: one number that alone tells positives from negatives."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.learn.model_inputs import sample_rows
from mtl_model.config import ModelConfig

_MIN_LABELS = 50  # of each kind; fewer are told apart by chance
_MAX_FILES = 20


class Leak(NamedTuple):
    field: str
    task: str
    auc: float


def refuse_leaks(files: Sequence[str], model: ModelConfig, max_field_auc: float) -> None:
    """Judges every number by the first rows of some of the files.

    Raises:
        ValueError: with every field that ranks the labels of a binary task better than `max_field_auc`.
    """
    columns = [field.name for field in model.numeric_fields]
    labels = [task.label for task in model.tasks if task.head == "binary"]
    rows = sample_rows(files[:: -(-len(files) // _MAX_FILES)], [*columns, *labels])
    if leaks := [leak for leak in find_leaks(rows, model) if leak.auc > max_field_auc]:
        named = ", ".join(f"{leak.field} for {leak.task} (AUC {leak.auc:.4f})" for leak in leaks)
        raise ValueError(
            f"features that seem to know the label: {named}; take them out of model.fields, or raise "
            "learn.max_field_auc if they are known before the anchor"
        )


def find_leaks(rows: pa.Table, model: ModelConfig) -> Iterator[Leak]:
    """How well each number alone ranks each binary task, either way round; a missing number is the lowest."""
    numbers = {field.name: _numbers(rows[field.name]) for field in model.numeric_fields}
    for task in model.tasks:
        if task.head != "binary":
            continue
        labelled = rows[task.label].is_valid().to_numpy()
        positive = _numbers(rows[task.label])[labelled] > 0
        if min(positive.sum(), (~positive).sum()) < _MIN_LABELS:
            continue
        for name, values in numbers.items():
            auc = area_under_curve(values[labelled], positive)
            yield Leak(name, task.name, max(auc, 1 - auc))


def area_under_curve(values: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """P(value of a positive > value of a negative) + P(equal) / 2: the Mann-Whitney statistic."""
    distinct, group = np.unique(values, return_inverse=True)
    positives = np.bincount(group[positive], minlength=len(distinct))
    negatives = np.bincount(group[~positive], minlength=len(distinct))
    below = np.cumsum(negatives) - negatives
    return float(np.sum(positives * (below + negatives / 2)) / (positives.sum() * negatives.sum()))


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values: NDArray[np.float64] = pc.fill_null(column.cast(pa.float64(), safe=False), -np.inf).to_numpy()
    return values
