"""examples + vocabularies -> a trained model: the one place between the lake and mtl_model.

Hands torchrun a spec of files, fields and settings; the model's folder is named after the run date and
its weights, so that the same inputs give the same version. Needs no Spark.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
from pyiceberg.expressions import EqualTo

from jobs.examples.tables import VOCABULARIES, campaign_examples, examples
from jobs.lake.days import DayRange
from jobs.lake.lake import Lake, local_path
from jobs.learn.model_inputs import measure_numbers, sample_rows, write_vocabularies
from jobs.learn.tables import MODEL_RUNS
from jobs.learn.training_days import TrainingDays, plan_days
from jobs.logs.tables import ITEMS
from jobs.stage import RowCounts, Run, stage_main
from mtl_model.config import TrainSpec

logger = logging.getLogger(__name__)


def models_folder(run: Run) -> Path:
    return run.home / "models" / run.scenario.name


def example_files(run: Run, lake: Lake, anchors: DayRange, campaigns: DayRange | None = None) -> list[str]:
    """Files of the candidates anchored on `anchors`, and of the campaigns that closed in `campaigns`."""
    from_candidates = EqualTo(term="from_candidates", value=True)
    files = lake.files(examples(run.scenario), anchors, where=from_candidates)
    if campaigns:
        files = [*files, *lake.files(campaign_examples(run.scenario), campaigns)]
    return [local_path(path) for path in files]


def make_spec(run: Run, lake: Lake, days: TrainingDays, folder: Path) -> TrainSpec:
    """Everything that the training is told; vocabularies are written below `folder`.

    Raises:
        ValueError: if there are no examples to train on.
    """
    model, before = run.scenario.model, run.scenario.logs.first_day
    last_closed = days.held_out_from
    train_files = example_files(run, lake, days.train, (before, _day_before(last_closed)))
    if not train_files:
        raise ValueError(
            f"examples has no rows for {days.train[0]} to {days.train[1]}: run build_examples first"
        )
    final_files = (
        example_files(run, lake, days.final, (last_closed, run.date)) if run.scenario.learn.refit else []
    )
    validation = example_files(run, lake, days.validation)
    calibration = example_files(run, lake, days.calibration) if days.calibration else []
    numeric = model.numeric_fields
    rows = sample_rows(train_files, [field.name for field in numeric])
    today = (run.date, run.date)
    return TrainSpec(
        model=model,
        train_files=tuple(map(Path, train_files)),
        validation_files=tuple(map(Path, validation)),
        calibration_files=tuple(map(Path, calibration)),
        final_files=tuple(map(Path, final_files)),
        vocabularies=write_vocabularies(lake.read_arrow(VOCABULARIES, today), model.id_fields, folder),
        numeric_statistics=measure_numbers(rows, numeric),
        label_names={"category_interest": _departments(lake)} if _has_task(run, "category_interest") else {},
        negative_sampling_rate=run.scenario.examples.negative_sampling_rate,
        output_dir=folder / "model",
    )


def train_model(run: Run, lake: Lake) -> RowCounts:
    """Trains the model of the run date and registers it; returns the number of examples."""
    days = plan_days(run)
    folder = models_folder(run) / f"training-{run.run_id}"
    folder.mkdir(parents=True, exist_ok=True)
    spec = make_spec(run, lake, days, folder)
    spec_file = folder / "spec.json"
    spec_file.write_text(spec.model_dump_json(indent=1), encoding="utf-8")
    example_count = sum(pq.read_metadata(path).num_rows for path in (*spec.train_files, *spec.final_files))
    logger.info("training on %d examples in %d processes", example_count, spec.model.training.num_processes)
    launch_training(run, spec_file)
    version = _name_version(spec.output_dir, run)
    shutil.rmtree(folder)
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
        "config_digest": run.scenario.digest(*type(run.scenario).model_fields),
        "model_config": run.scenario.model.model_dump_json(),
    }
    lake.append(MODEL_RUNS, [record], replacing={"run_id": run.run_id})
    return {"training examples": example_count}


def launch_training(run: Run, spec_file: Path) -> None:
    arguments = run.runtime.torchrun_arguments or ("--standalone",)
    processes = str(run.scenario.model.training.num_processes)
    command = [sys.executable, "-m", "torch.distributed.run", *arguments, "--nproc-per-node", processes,
               "-m", "mtl_model.training.train", "--spec", str(spec_file)]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _name_version(folder: Path, run: Run) -> str:
    """Moves the model's folder to its name, run date and hash of weights; a twin is left as it is."""
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    version = f"{run.date}-{weights[:8]}"
    if not (models_folder(run) / version).exists():
        folder.rename(models_folder(run) / version)
    return version


def _departments(lake: Lake) -> tuple[str, ...]:
    """The first level of every item's category path, sorted: the order of the labels of category_interest."""
    paths = lake.read_arrow(ITEMS)["category_path"].to_pylist()
    return tuple(sorted({path[0] for path in paths if path}))


def _has_task(run: Run, name: str) -> bool:
    return any(task.name == name for task in run.scenario.model.tasks)


def _day_before(day: date) -> date:
    return date.fromordinal(day.toordinal() - 1)


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "train", train_model, argv)


if __name__ == "__main__":
    sys.exit(main())
