"""An earlier model on today's examples, which its fields, tasks or classes need no longer fit.

It is judged as it would go on serving: a field that the rows do not have is null to it. The tasks that both
models have are compared; of the others no label is read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from mtl_model.config import ModelConfig, ModelDescription, TaskConfig
from mtl_model.data.arrow_reader import read_shard
from mtl_model.data.column_rules import GROUP_COLUMN, RATE_COLUMN
from mtl_model.earlier_model import UnusableModelError, compare_tasks, read_earlier, refuse_other_kinds
from mtl_model.evaluation.evaluate import Judged, judge_tables, measure
from mtl_model.evaluation.task_metrics import TaskMetrics
from mtl_model.predict import Predictor, load_predictor

_MISFITS = (ValueError, KeyError, TypeError, NotImplementedError)  # those of Arrow among them
_FIELD_TYPES = {"numeric": pa.float64(), "id_list": pa.list_(pa.string())}


class EarlierJudgement(NamedTuple):
    """The metrics of the tasks that both models have; `gaps`: what could not be compared, in words."""

    metrics: dict[str, TaskMetrics]
    gaps: tuple[str, ...]


def judge_earlier(folder: Path, files: Sequence[Path], today: ModelDescription) -> EarlierJudgement:
    """The metrics of an earlier model by the weights that were judged, before its final pass.

    Raises:
        UnusableModelError: if it is damaged, cannot read today's rows, or shares no task with today's model.
    """
    earlier = read_earlier(folder)
    refuse_other_kinds(earlier.model, today.model)
    shared, gaps = compare_tasks(earlier, today)
    if not shared:
        raise UnusableModelError(f"it has no task in common with today's model: {'; '.join(gaps)}")
    predictor = _load(folder)
    predictor.encoder.slices = tuple(part for part in earlier.model.slices if part in today.model.slices)
    labels = _hidden_labels(earlier.model, shared)
    wanted = dict.fromkeys([*predictor.encoder.training_columns, GROUP_COLUMN, RATE_COLUMN])
    columns = [name for name in wanted if name not in labels]
    lost: set[str] = set()
    shares = []
    for table in read_shard(files, columns, seed=0, epoch=0, rank=0, num_ranks=1):
        absent = _absent_fields(earlier.model, table)
        lost |= absent.keys()
        shares.append(_judge(predictor, table, absent | labels))
    names = {task.name for task in shared}
    measured = measure(predictor, shares)
    metrics = {name: values for name, values in measured.items() if name.split("|")[0] in names}
    return EarlierJudgement(metrics, (*gaps, *(f"its field {name} is null now" for name in sorted(lost))))


def _load(folder: Path) -> Predictor:
    try:
        return load_predictor(folder, verify=False, weights="judged")
    except (*_MISFITS, RuntimeError) as error:  # RuntimeError: weights of another shape
        raise UnusableModelError(f"{folder} cannot be loaded: {error}") from error


def _judge(predictor: Predictor, table: pa.Table, nulls: Mapping[str, pa.DataType]) -> dict[str, Judged]:
    for name, kind in nulls.items():
        table = table.append_column(name, pa.nulls(table.num_rows, kind))
    try:
        return judge_tables(predictor, [table])
    except _MISFITS as error:
        raise UnusableModelError(f"it cannot read today's rows: {error}") from error


def _absent_fields(earlier: ModelConfig, table: pa.Table) -> dict[str, pa.DataType]:
    return {
        field.name: _FIELD_TYPES.get(field.kind, pa.string())
        for field in earlier.fields
        if field.name not in table.column_names
    }


def _hidden_labels(earlier: ModelConfig, shared: Sequence[TaskConfig]) -> dict[str, pa.DataType]:
    """Those of the tasks that are not compared."""
    compared = {task.label for task in shared}
    return {
        task.label: pa.list_(pa.int8()) if task.head == "multilabel" else pa.float64()
        for task in earlier.tasks
        if task.label not in compared
    }
