"""What each field adds to the predictions of tonight's model -> field_attributions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.learn.model_inputs import sample_rows
from jobs.stage import Run


def attribution_rows(run: Run, files: Sequence[str], folder: Path, version: str) -> list[dict[str, Any]]:
    """One record per task and field, from about `learn.attribution_rows` rows of the files that judged it.

    As it was judged: the weights of before the final pass, which have not seen these rows.
    """
    from mtl_model.evaluation.attributions import measure_attributions  # torch: only where it is needed
    from mtl_model.predict import load_predictor

    num_rows = run.scenario.learn.attribution_rows
    if not (num_rows and files):
        return []
    predictor = load_predictor(folder, weights="judged")
    per_file = -(-num_rows // len(files))
    rows = sample_rows(files, predictor.encoder.training_columns, per_file)
    return [
        {
            "ds": run.date,
            "run_id": run.run_id,
            "model_version": version,
            "task": found.task,
            "field": found.field,
            "mean_absolute": found.mean_absolute,
            "mean": found.mean,
            "example_count": found.num_rows,
        }
        for found in measure_attributions(predictor, rows)
    ]
