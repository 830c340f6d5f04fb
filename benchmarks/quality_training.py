"""Trains a joint model on tables that are in memory already, as the pipeline would on those of the lake."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.learn.model_inputs import measure_numbers
from jobs.learn.train_model import read_statistics
from mtl_model.config import ModelConfig, TrainSpec
from mtl_model.predict import Predictor, load_predictor
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import train

ROW_GROUP_ROWS = 50_000


def train_joint_model(
    model: Mapping[str, Any],
    rows: pa.Table,
    folder: Path,
    known: pa.Table | None = None,
    start: Path | None = None,
) -> Predictor:
    """`rows` with an `example_id` and all fields and labels of `model`; files go below `folder`.

    Ids and numbers are those of `known`, if that is other than `rows`; the weights begin as those of the
    model folder `start`, whose numbers are then kept.
    """
    known = rows if known is None else known
    config = ModelConfig.model_validate(model)
    folder.mkdir(parents=True)
    pq.write_table(rows, folder / "train.parquet", row_group_size=ROW_GROUP_ROWS)
    statistics = measure_numbers(known, config.numeric_fields)
    if start:  # its weights belong to its own
        statistics |= read_statistics(start, config)
    spec = {
        "model": model,
        "train_files": [str(folder / "train.parquet")],
        "validation_files": [],
        "vocabularies": _write_vocabularies(config, known, folder),
        "numeric_statistics": {name: found.model_dump() for name, found in statistics.items()},
        "negative_sampling_rate": 1.0,
        "output_dir": str(folder / "model"),
        "warm_start": {"model_dir": str(start), "weights": "model"} if start else None,
    }
    with join_process_group() as group:
        train(TrainSpec.model_validate_json(json.dumps(spec)), group)
    return load_predictor(folder / "model")


def write_quality(name: str, ours: float, rival: float, unit: str, digits: int = 4) -> None:
    """One JSON line; `ratio` above 1 says that ours is the larger one."""
    result = {"name": name, "ours": round(ours, digits), "rival": round(rival, digits)}
    sys.stdout.write(json.dumps(result | {"ratio": round(ours / rival, digits), "unit": unit}) + "\n")
    sys.stdout.flush()


def _write_vocabularies(config: ModelConfig, rows: pa.Table, folder: Path) -> dict[str, str]:
    paths = {}
    for field in config.vocabulary_fields:
        column = rows[field.name].combine_chunks()
        values = column.flatten() if pa.types.is_list(column.type) else column
        paths[field.name] = str(folder / f"{field.name}.parquet")
        pq.write_table(pa.table({"value": values.drop_null().cast(pa.string()).unique()}), paths[field.name])
    return paths
