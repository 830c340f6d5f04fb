"""What a model goes by: the importance of each field, and what it adds to the predictions.

Of the weights as they were judged, before the final pass, on a sample of the rows that judged them. A model
that carries another one on has what was measured of that one: it costs as much as judging does.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.lake.lake import Lake
from jobs.learn.model_inputs import sample_rows
from jobs.learn.train_model import judging_files, models_folder
from jobs.learn.training_days import plan_days
from jobs.stage import Run

if TYPE_CHECKING:
    from mtl_model.predict import Predictor

Records = list[dict[str, Any]]


def measure_importance(run: Run, lake: Lake, model: Mapping[str, Any]) -> Records:
    """One record per task and field; none for a model that was not trained from scratch."""
    num_rows = run.scenario.learn.importance_rows
    files = _files(run, lake, model)
    if not (num_rows and files):
        return []
    from mtl_model.data.column_rules import GROUP_COLUMN, RATE_COLUMN
    from mtl_model.evaluation.permutation_importance import permutation_importance  # torch: only here

    predictor = _load(run, model)
    columns = list(dict.fromkeys([*predictor.encoder.training_columns, GROUP_COLUMN, RATE_COLUMN]))
    rows = _sample(files, columns, num_rows)
    return [
        {
            **_stamps(run, model),
            "task": found.task,
            "field": found.field,
            "metric": found.metric,
            "value": found.value,
            "loss": found.loss,
            "example_count": found.num_rows,
        }
        for found in permutation_importance(predictor, rows, run.scenario.model.training.seed)
    ]


def measure_attributions(run: Run, lake: Lake, model: Mapping[str, Any]) -> Records:
    """One record per task and field; none for a model that was not trained from scratch."""
    num_rows = run.scenario.learn.attribution_rows
    files = _files(run, lake, model)
    if not (num_rows and files):
        return []
    from mtl_model.evaluation import attributions  # torch: only where it is needed

    predictor = _load(run, model)
    rows = _sample(files, predictor.encoder.training_columns, num_rows)
    return [
        {
            **_stamps(run, model),
            "task": found.task,
            "field": found.field,
            "mean_absolute": found.mean_absolute,
            "mean": found.mean,
            "example_count": found.num_rows,
        }
        for found in attributions.measure_attributions(predictor, rows)
    ]


def _files(run: Run, lake: Lake, model: Mapping[str, Any]) -> list[list[str]]:
    if model["warm_started_from"]:
        return []
    return [part for part in judging_files(run, lake, plan_days(run)) if part]


def _load(run: Run, model: Mapping[str, Any]) -> "Predictor":
    from mtl_model.predict import load_predictor

    return load_predictor(models_folder(run) / model["model_version"], weights="judged")


def _stamps(run: Run, model: Mapping[str, Any]) -> dict[str, Any]:
    return {"ds": run.date, "run_id": run.run_id, "model_version": model["model_version"]}


def _sample(files: Sequence[Sequence[str]], columns: Sequence[str], num_rows: int) -> pa.Table:
    """About `num_rows` rows of each part of the files, as many of each file."""
    return pa.concat_tables(sample_rows(part, columns, -(-num_rows // len(part))) for part in files)
