"""examples -> a trained model: the one place between the lake and mtl_model.

Hands torchrun a spec of files, fields and settings; the model's folder is named after the run date and
its weights, so that the same inputs give the same version. Needs no Spark.
"""

import hashlib
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
from pyiceberg.expressions import EqualTo, In

from jobs.examples.interest import category_names
from jobs.examples.tables import campaign_examples, examples
from jobs.lake.days import DayRange
from jobs.lake.lake import Lake, local_path
from jobs.learn.launch import launch_training
from jobs.learn.leaks import refuse_leaks
from jobs.learn.model_inputs import measure_numbers, sample_rows, write_vocabularies
from jobs.learn.precision import settle_precision
from jobs.learn.registry import model_to_carry_on
from jobs.learn.tables import MODEL_RUNS
from jobs.learn.training_days import TrainingDays, plan_days
from jobs.logs.tables import ITEMS
from jobs.stage import RowCounts, Run, stage_main
from mtl_model.config import (
    DataSpec,
    ModelConfig,
    ModelDescription,
    NumericStatistics,
    StrictModel,
    TrainSpec,
    WarmStart,
)
from mtl_model.data.check_files import check_files_of
from mtl_model.earlier_model import UnusableModelError, read_earlier
from mtl_model.remove_folder import remove_folder
from mtl_model.transfer.warm_start import measured_alike

logger = logging.getLogger(__name__)


def models_folder(run: Run) -> Path:
    return run.home / "models" / run.scenario.name


def example_files(
    run: Run,
    lake: Lake,
    anchors: DayRange,
    campaigns: DayRange | None = None,
    folds: Sequence[int] = (),
) -> list[str]:
    """Files of the candidates anchored on `anchors`, and of the campaigns that closed in `campaigns`.

    The tables of a log without times have a file per fold: those of `folds`.
    """
    kept = In(term="fold", literals=folds) if folds else EqualTo(term="from_candidates", value=True)
    files = lake.files(examples(run.scenario), anchors, where=kept)
    if campaigns:
        files = [*files, *lake.files(campaign_examples(run.scenario), campaigns)]
    return [local_path(path) for path in files]


def judging_files(run: Run, lake: Lake, days: TrainingDays) -> tuple[list[str], list[str]]:
    """Files of what judges tonight's models, the new one and the one that serves: anchors and campaigns."""
    campaigns = lake.files(campaign_examples(run.scenario), (days.campaigns_held_out_from, run.date))
    anchors = example_files(run, lake, days.validation, folds=days.held_out_folds)
    return anchors, list(map(local_path, campaigns))


def validation_files(run: Run, lake: Lake, days: TrainingDays) -> list[str]:
    anchors, campaigns = judging_files(run, lake, days)
    return [*anchors, *campaigns]


class EarlierModel(NamedTuple):
    """A model that tonight's carries on, and the days of its training."""

    version: str
    folder: Path
    days: TrainingDays
    data: DataSpec


def find_earlier_model(run: Run, lake: Lake) -> EarlierModel | None:
    """The model to begin with, as `learn.warm_start` asks for; None: train from scratch."""
    warm_start = run.scenario.learn.warm_start
    if warm_start is None:
        return None
    row = model_to_carry_on(lake, run.date, warm_start.max_age_days, run.config_digest)
    if row is None:
        return None
    version = str(row["model_version"])
    folder = models_folder(run) / version
    try:
        data = read_earlier(folder).data
    except UnusableModelError as error:
        logger.warning("training from scratch: model %s cannot be carried on: %s", version, error)
        return None
    if data.label_names != _label_names(run, lake):
        logger.info("training from scratch: the labels of model %s are others", version)
        return None
    return EarlierModel(version, folder, plan_days(replace(run, date=row["ds"])), data)


def carry_on(model: ModelConfig) -> ModelConfig:
    """One pass at the final learning rate; what was frozen for the first epochs has thawed by then."""
    last_rate = {"learning_rate": model.training.final_learning_rate, "warmup_steps": 0, "epochs": 1}
    changes: dict[str, StrictModel] = {"training": model.training.model_copy(update=last_rate)}
    if model.transfer.freeze and model.transfer.freeze.epochs:
        changes["transfer"] = model.transfer.model_copy(update={"freeze": None})
    return model.model_copy(update=changes)


def make_spec(
    run: Run, lake: Lake, days: TrainingDays, folder: Path, earlier: EarlierModel | None = None
) -> TrainSpec:
    """Everything that the training is told; vocabularies are written below `folder`.

    Tonight's model begins with the weights of the earlier one that were judged, which have seen nothing of
    tonight's validation. It passes once, at the final learning rate, over what has closed since: no example
    is trained on more often than from scratch. Its vocabularies are those of a model from scratch.

    Raises:
        ValueError: if there are no examples to train on.
    """
    model, refit = settle_precision(run, run.scenario.model, folder), run.scenario.learn.refit
    held_out = days.campaigns_held_out_from
    closed = run.scenario.logs.first_day, _day_before(held_out)
    train_files = known_files = example_files(run, lake, days.train, closed, days.train_folds)
    if not known_files:
        first, last = days.train
        raise ValueError(f"examples has no rows for {first} to {last}: run build_examples first")
    if earlier:
        closed = earlier.days.campaigns_held_out_from, closed[1]
        since = _day_after(earlier.days.train[1]), days.train[1]
        train_files = example_files(run, lake, since, closed, days.train_folds)
        model = carry_on(model)
    after = (held_out, run.date)
    final_files = example_files(run, lake, days.final, after, days.held_out_folds) if refit else []
    validation = validation_files(run, lake, days)
    calibration = example_files(run, lake, days.calibration) if days.calibration else []
    vocabularies, new_values = write_vocabularies(known_files, final_files, model.vocabulary_fields, folder)
    statistics = earlier.data.numeric_statistics if earlier else _measure(train_files, model)
    start = WarmStart(model_dir=earlier.folder, weights="judged") if earlier else None
    if run.scenario.learn.start_from and not earlier:
        start = WarmStart(model_dir=run.home / run.scenario.learn.start_from, weights="model")
        statistics |= read_statistics(start.model_dir, model)
    return TrainSpec(
        model=model,
        train_files=tuple(map(Path, train_files)),
        validation_files=tuple(map(Path, validation)),
        calibration_files=tuple(map(Path, calibration)),
        final_files=tuple(map(Path, final_files)),
        vocabularies=vocabularies,
        new_values=new_values,
        numeric_statistics=statistics,
        label_names=_label_names(run, lake),
        negative_sampling_rate=run.scenario.examples.negative_sampling_rate,
        output_dir=folder / "model",
        warm_start=start,
    )


def read_statistics(folder: Path, model: ModelConfig) -> dict[str, NumericStatistics]:
    """What a model of another scenario says of the numbers that both know: its weights belong to them.

    Raises:
        ValueError: if the folder holds no model.
    """
    if not (folder / "model.json").is_file():
        raise ValueError(f"learn.start_from: {folder} is no model folder, there is no model.json")
    earlier = ModelDescription.model_validate_json((folder / "model.json").read_bytes())
    alike = measured_alike(model, earlier.model)
    return {name: found for name, found in earlier.data.numeric_statistics.items() if name in alike}


def _measure(files: Sequence[str], model: ModelConfig) -> dict[str, NumericStatistics]:
    fields = model.numeric_fields
    return measure_numbers(sample_rows(files, [field.name for field in fields]), fields)


def train_model(run: Run, lake: Lake) -> RowCounts:
    """Trains the model of the run date and registers it; returns the number of examples."""
    days = plan_days(run)
    folder = models_folder(run) / f"training-{run.date}-{run.run_id}"
    folder.mkdir(parents=True, exist_ok=True)
    earlier = find_earlier_model(run, lake)
    spec = make_spec(run, lake, days, folder, earlier)
    check_files_of(spec)
    example_paths = [str(path) for path in (*spec.train_files, *spec.final_files)]
    refuse_leaks(example_paths, spec.model, run.scenario.learn.max_field_auc)
    spec_file = folder / "spec.json"
    spec_file.write_text(spec.model_dump_json(indent=1), encoding="utf-8")
    example_count = sum(pq.read_metadata(path).num_rows for path in example_paths)
    logger.info(
        "training %s on %d examples in %s",
        f"from {earlier.version} on" if earlier else "from scratch",
        example_count,
        spec.model.training.precision,
    )
    launch_training(run, spec_file)
    version = _name_version(spec.output_dir, run)
    remove_folder(folder, models_folder(run))
    model_config = run.scenario.model.with_precision(spec.model.training.precision)
    record = {
        "ds": run.date,
        "run_id": run.run_id,
        "model_version": version,
        "trained_at": datetime.now(UTC),
        "status": "trained",
        "trained_through": run.date if run.scenario.learn.refit else _day_before(days.held_out_from),
        "judged_from": days.validation[0],
        "judged_to": days.validation[1],
        "example_count": example_count,
        "warm_started_from": earlier.version if earlier else None,
        "config_digest": run.config_digest,
        "model_config": model_config.model_dump_json(),
    }
    lake.append(MODEL_RUNS, [record], replacing={"run_id": run.run_id})
    return {"training examples": example_count}


def _name_version(folder: Path, run: Run) -> str:
    """Moves the model's folder to its name, run date and hash of weights; a twin is left as it is."""
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    version = f"{run.date}-{weights[:8]}"
    if not (models_folder(run) / version).exists():
        folder.rename(models_folder(run) / version)
    return version


def _label_names(run: Run, lake: Lake) -> dict[str, tuple[str, ...]]:
    """Of the task of interests: the categories of the catalogue."""
    task = run.scenario.interest_task
    if task is None:
        return {}
    paths = lake.read_arrow(ITEMS)["category_path"].to_pylist()
    return {task: category_names(paths, run.scenario.examples.interest_level)}


def _day_before(day: date) -> date:
    return day - timedelta(days=1)


def _day_after(day: date) -> date:
    return day + timedelta(days=1)


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "train", train_model, argv)


if __name__ == "__main__":
    sys.exit(main())
