"""The simulated shop: every way of sharing, against the true probabilities that made the log.

The AUC of clicks is judged on the examples that the nightly run holds out, against that of the true
probabilities; the calibration of each task by expected against observed events, after isotonic calibration on
the days before.
"""

import os
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml

from benchmarks.quality_training import write_quality
from benchmarks.scaling_logs import Log, make_log
from jobs.compare.combinations import Combination, model_of
from jobs.config import CONF_FOLDER
from jobs.lake.lake import local_path
from jobs.learn.train_model import make_spec
from jobs.learn.training_days import plan_days
from jobs.stage import Run, make_run, run_stage
from jobs.stages import load_stage
from mtl_model.config import TrainSpec
from mtl_model.evaluation.metrics import auc
from mtl_model.predict import load_predictor
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import train

SHARINGS = (
    "shared_bottom", "l2_tied", "cross_stitch", "task_relationship", "task_embedding", "omoe", "mmoe", "ple",
    "home", "stem", "esmm", "escm2", "aitm", "resflow", "single_task",
)  # fmt: skip
QUICK_SHARINGS = ("shared_bottom", "esmm")
FULL, QUICK = Log(2_000_000, faults={}), Log(20_000, days=10, faults={})  # whose labels are all true
STAGES = ("ingest", "tiles", "features", "candidates", "examples")

Floats = npt.NDArray[np.float64]


def compare(quick: bool) -> None:
    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = make_log(folder, "shop", size.config())
        run = build_examples(folder, log, size.config().last_day, quick)
        (folder / "inputs").mkdir()
        base = make_spec(run, run.lake(), plan_days(run), folder / "inputs")
        rows = read_validation(base.validation_files, log)
        labels = {
            task.name: rows[task.label].to_numpy().astype(np.float64)
            for task in base.model.tasks
            if task.head == "binary"
        }
        truth = area(labels["click"], rows["p_click"].to_numpy())
        for sharing in QUICK_SHARINGS if quick else SHARINGS:
            predictions = train_and_predict(base, sharing, folder / "models" / sharing, rows)
            write_quality(f"shop AUC of clicks {sharing}", area(labels["click"], predictions["click"]), truth,
                          "AUC, against that of the true probabilities")  # fmt: skip
            for task, observed in labels.items():
                write_calibration(f"shop calibration {sharing} {task}", predictions[task], observed)


def build_examples(folder: Path, log: Path, last_day: date, quick: bool) -> Run:
    """All stages up to the examples, in a home of its own."""
    scenario = yaml.safe_load((CONF_FOLDER / "shop.yaml").read_text(encoding="utf-8"))
    scenario["logs"]["path"] = str(log.resolve())
    scenario["learn"] |= {"calibration_days": 1 if quick else 2, "refit": False}
    scenario["model"]["training"] |= {"num_processes": 1, "epochs": 1}
    for task in scenario["model"]["tasks"]:
        task |= {"calibration": "isotonic"} if task["head"] == "binary" else {}
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(scenario, sort_keys=False), encoding="utf-8")
    os.environ["NIGHTSHELF_HOME"] = str(folder / "home")
    run = make_run(str(path), last_day)
    for stage in STAGES:
        run_stage(stage, load_stage(stage), run)
    return run


def read_validation(files: Sequence[Path], log: Path) -> pa.Table:
    """The examples that judge, with the true probability of a click."""
    paths = [local_path(str(path)) for path in files]
    query = """
        SELECT example.*, truth.p_click::DOUBLE AS p_click
        FROM read_parquet($examples) AS example JOIN read_parquet($truth) AS truth USING (event_id)
        ORDER BY example_id
    """
    values = {"examples": paths, "truth": f"{log}/truth/**/*.parquet"}
    with duckdb.connect() as database:
        return database.execute(query, values).to_arrow_table()


def train_and_predict(base: TrainSpec, sharing: str, folder: Path, rows: pa.Table) -> dict[str, Floats]:
    seed = base.model.training.seed
    model = model_of(base.model, Combination(sharing, base.model.balancing.name, seed))
    with join_process_group() as group:
        train(base.model_copy(update={"model": model, "output_dir": folder}), group)
    predictions = load_predictor(folder).predict(rows)
    return {name: values.astype(np.float64) for name, values in predictions.items()}


def area(clicked: Floats, scores: Floats) -> float:
    return auc(clicked, scores, np.ones(len(clicked)))


def write_calibration(name: str, probabilities: Floats, observed: Floats) -> None:
    """The standard error is that of as many draws with these probabilities."""
    error = float(np.sqrt(np.sum(probabilities * (1 - probabilities))) / np.sum(observed))
    unit = f"events, expected against observed; three standard errors are {3 * error:.3f}"
    write_quality(name, float(np.sum(probabilities)), float(np.sum(observed)), unit)
