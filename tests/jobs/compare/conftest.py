"""A run over small synthetic examples, and specs that name them: what a night would have built."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.config import load_runtime, load_scenario
from jobs.stage import Run
from mtl_model.config import TrainSpec
from tests.mtl_model.conftest import DEPARTMENTS, MODEL, NUM_ITEMS, NUM_USERS, make_examples

TRAINING = MODEL["training"] | {"epochs": 1}


@pytest.fixture
def run(home: Path, small_scenario: Path) -> Run:
    return Run(load_scenario(str(small_scenario)), load_runtime(), date(2017, 5, 1), "r", home)


@pytest.fixture
def base_spec(tmp_path: Path) -> TrainSpec:
    vocabularies = {
        "user_id": [f"u{user}" for user in range(NUM_USERS)],
        "item_id": [f"i{item}" for item in range(NUM_ITEMS)],
    }
    for field, values in vocabularies.items():
        pq.write_table(pa.table({"value": values}), tmp_path / f"{field}.parquet")
    files = {}
    for seed, name in enumerate(("train", "validation"), start=1):
        files[name] = tmp_path / f"{name}.parquet"
        pq.write_table(make_examples(2000, seed), files[name], row_group_size=500)
    content: dict[str, Any] = {
        "model": MODEL | {"training": TRAINING},
        "train_files": [files["train"]],
        "validation_files": [files["validation"]],
        "vocabularies": {field: tmp_path / f"{field}.parquet" for field in vocabularies},
        "numeric_statistics": {
            "days_since": {"mean": 2.5, "std": 1.0, "boundaries": [3, 10, 22]},
            "price": {"mean": 5.0, "std": 2.3},
        },
        "label_names": {"interest": DEPARTMENTS},
        "negative_sampling_rate": 0.5,
        "output_dir": tmp_path / "unused",
    }
    return TrainSpec.model_validate(content)
