"""What a model goes by: the importance of each field, and what it adds to the predictions.

Of the weights as they were judged, before the final pass, on a sample of the rows that judged them. A model
that carries another one on has what was measured of that one: it costs as much as judging does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from jobs.lake.columns import Table
from jobs.lake.lake import Lake
from jobs.learn.model_inputs import sample_rows
from jobs.learn.tables import FIELD_ATTRIBUTIONS, FIELD_IMPORTANCE
from jobs.learn.train_model import judging_files, models_folder
from jobs.learn.training_days import plan_days
from jobs.stage import Run

Records = list[dict[str, Any]]


def explain_model(run: Run, lake: Lake, model: Mapping[str, Any]) -> dict[Table, Records]:
    """One record per task and field in each table; none for a model that was not trained from scratch."""
    files = [part for part in judging_files(run, lake, plan_days(run)) if part]
    if model["warm_started_from"] or not files:
        return {FIELD_IMPORTANCE: [], FIELD_ATTRIBUTIONS: []}
    version, learn = model["model_version"], run.scenario.learn
    stamps = {"ds": run.date, "run_id": run.run_id, "model_version": version}
    importance = _measure_importance(run, version, files) if learn.importance_rows else []
    attributions = _measure_attributions(run, version, files) if learn.attribution_rows else []
    return {
        FIELD_IMPORTANCE: [{**stamps, **found} for found in importance],
        FIELD_ATTRIBUTIONS: [{**stamps, **found} for found in attributions],
    }


def _measure_importance(run: Run, version: str, files: Sequence[Sequence[str]]) -> Records:
    from mtl_model.evaluation.evaluate import GROUP_COLUMN, RATE_COLUMN  # torch: only where it is needed
    from mtl_model.evaluation.permutation_importance import permutation_importance
    from mtl_model.predict import load_predictor

    predictor = load_predictor(models_folder(run) / version, weights="judged")
    columns = list(dict.fromkeys([*predictor.encoder.training_columns, GROUP_COLUMN, RATE_COLUMN]))
    rows = _sample(files, columns, run.scenario.learn.importance_rows)
    return [
        {
            "task": found.task,
            "field": found.field,
            "metric": found.metric,
            "value": found.value,
            "loss": found.loss,
            "example_count": found.num_rows,
        }
        for found in permutation_importance(predictor, rows, run.scenario.model.training.seed)
    ]


def _measure_attributions(run: Run, version: str, files: Sequence[Sequence[str]]) -> Records:
    from mtl_model.evaluation.attributions import measure_attributions  # torch: only where it is needed
    from mtl_model.predict import load_predictor

    predictor = load_predictor(models_folder(run) / version, weights="judged")
    rows = _sample(files, predictor.encoder.training_columns, run.scenario.learn.attribution_rows)
    return [
        {
            "task": found.task,
            "field": found.field,
            "mean_absolute": found.mean_absolute,
            "mean": found.mean,
            "example_count": found.num_rows,
        }
        for found in measure_attributions(predictor, rows)
    ]


def _sample(files: Sequence[Sequence[str]], columns: Sequence[str], num_rows: int) -> pa.Table:
    """About `num_rows` rows of each part of the files, as many of each file."""
    return pa.concat_tables(sample_rows(part, columns, -(-num_rows // len(part))) for part in files)
