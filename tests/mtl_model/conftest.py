"""Small synthetic examples whose labels a model can learn, and a spec to train on them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_model.config import TrainSpec

DEPARTMENTS = ("grocery", "produce", "drug")
NUM_USERS, NUM_ITEMS = 50, 80

LIST_FIELDS: list[dict[str, Any]] = [
    {
        "kind": "id_list",
        "name": "bought_before",
        "max_length": 4,
        "shares": "item_id",
        "pooling": {"name": "din", "hidden_dims": [6]},
    },
    {"kind": "id_list", "name": "departments", "max_length": 2},
    {"kind": "hashed_id", "name": "query", "num_hash_rows": 30},
]
HASHED_LISTS: list[dict[str, Any]] = [
    {
        "kind": "id_list",
        "name": "words",
        "max_length": 3,
        "shares": "query",
        "pooling": {"name": "transformer", "num_layers": 1, "num_heads": 2, "feedforward_dim": 4},
    },
    {
        "kind": "id_list",
        "name": "numbers",
        "max_length": 2,
        "num_hash_rows": 20,
        "pooling": {"name": "cnn", "num_filters": 3, "filter_widths": [1, 2]},
    },
]
FACTORIZATION: dict[str, Any] = {
    "num_factors": 5,
    "sides": [["user_id", "query"], ["departments"]],
    "penalty": 0.01,
}

MODEL: dict[str, Any] = {
    "embedding_dim": 4,
    "fields": [
        {"kind": "id", "name": "user_id"},
        {"kind": "id", "name": "item_id", "min_count": 2},
        {"kind": "numeric", "name": "days_since", "log1p": True, "num_buckets": 8},
        {"kind": "numeric", "name": "price"},
    ],
    "sharing": {"name": "mmoe", "num_experts": 3, "expert_hidden_dims": [16, 8]},
    "tower_hidden_dims": [8],
    "tasks": [
        {
            "name": "purchase",
            "head": "binary",
            "label": "label_purchase",
            "loss_weight": 1.0,
            "negatives_sampled": True,
        },
        {
            "name": "spend",
            "head": "zero_inflated_lognormal",
            "label": "label_spend",
            "loss_weight": 0.5,
            "negatives_sampled": True,
        },
        {"name": "interest", "head": "multilabel", "label": "label_interest", "loss_weight": 0.5},
        {"name": "coupon", "head": "binary", "label": "label_coupon", "loss_weight": 0.5},
    ],
    "training": {
        "precision": "fp32",
        "num_processes": 1,
        "global_batch_size": 256,
        "epochs": 3,
        "learning_rate": 0.01,
        "final_learning_rate": 0.001,
        "warmup_steps": 5,
        "clip_norm": 5.0,
        "seed": 7,
        "log_every_steps": 10,
        "checkpoint_every_steps": 10,
    },
}


def make_examples(num_rows: int, seed: int, first_id: int = 0) -> pa.Table:
    """Seven in ten rows are user_item rows, two user_day, one user_campaign; nulls in every feature."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(["user_item", "user_day", "user_campaign"], size=num_rows, p=[0.7, 0.2, 0.1])
    users, items = rng.integers(0, NUM_USERS, num_rows), rng.integers(0, NUM_ITEMS, num_rows)
    days, price = rng.exponential(20.0, num_rows), rng.uniform(1.0, 9.0, num_rows)
    bought = rng.random(num_rows) < 1 / (
        1 + np.exp(1.5 + days / 20 - 2.5 * (items % 3 == 0) - (users % 4 == 0))
    )
    spend = np.where(bought, np.rint(price * 100), 0).astype(np.int64)
    interest = np.stack([users % 3 == column for column in range(3)], axis=1).astype(np.int8)
    funnel = np.random.default_rng([seed, 1]).random((2, num_rows))
    clicked, carted = bought | (funnel[0] < 0.3), bought | (funnel[1] < 0.1)
    of_item, of_day, of_campaign = (kinds == kind for kind in ("user_item", "user_day", "user_campaign"))
    return pa.table(
        {
            "example_id": pa.array(np.arange(first_id, first_id + num_rows)),
            "example_kind": pa.array(kinds),
            "user_id": pa.array([f"u{user}" for user in users]),
            "item_id": pa.array([f"i{item}" for item in items], mask=~of_item),
            "days_since": pa.array(days, mask=rng.random(num_rows) < 0.1),
            "price": pa.array(price, mask=rng.random(num_rows) < 0.1),
            "bought_before": _make_lists(num_rows, [f"i{item}" for item in range(NUM_ITEMS)], seed),
            "departments": _make_lists(num_rows, [*DEPARTMENTS, "closed"], seed),
            "words": _make_lists(num_rows, [f"word {number}" for number in range(11)], seed + 10),
            "numbers": _make_lists(num_rows, [str(number) for number in range(90)], seed + 20),
            "query": pa.array([f"word {item % 11}" for item in items], mask=~of_item),
            "label_purchase": pa.array(bought.astype(np.int32), mask=~of_item),
            "label_click": pa.array((clicked | carted).astype(np.int32), mask=~of_item),
            "label_cart": pa.array(carted.astype(np.int32), mask=~of_item),
            "label_rating": pa.array(items % 5, mask=~bought),
            "label_channel": pa.array(users % 3, mask=~of_day),
            "label_minutes": pa.array(days / 7, mask=~of_campaign),
            "label_spend": pa.array(spend, mask=~of_item),
            "label_interest": pa.array(list(interest), type=pa.list_(pa.int8()), mask=~of_day),
            "label_coupon": pa.array((users % 2).astype(np.int32), mask=~of_campaign),
            "sampling_rate": pa.array(np.where(bought | ~of_item, 1.0, 0.5)),
        }
    )


def _make_lists(num_rows: int, values: Sequence[str], seed: int) -> pa.Array:
    """Of 0 to 5 values; some lists are missing."""
    rng = np.random.default_rng([seed, 2])
    lists = [list(rng.choice(values, rng.integers(0, 6))) for _ in range(num_rows)]
    return pa.array(lists, pa.list_(pa.string()), mask=rng.random(num_rows) < 0.1)


def damage(path: Path) -> None:
    """Breaks the first column of a file of examples but not its footer: what reads the rows stops there."""
    content = bytearray(path.read_bytes())
    content[4:64] = bytes(60)
    path.write_bytes(content)


@pytest.fixture
def write_examples(tmp_path: Path) -> Callable[..., list[Path]]:
    def write(
        name: str, num_rows: int, seed: int, num_files: int = 2, row_group_size: int = 150
    ) -> list[Path]:
        table = make_examples(num_rows, seed)
        size = -(-num_rows // num_files)
        files = [tmp_path / f"{name}-{index}.parquet" for index in range(num_files)]
        for index, path in enumerate(files):
            pq.write_table(table.slice(index * size, size), path, row_group_size=row_group_size)
        return files

    return write


@pytest.fixture
def make_spec(tmp_path: Path, write_examples: Callable[..., list[Path]]) -> Callable[..., TrainSpec]:
    """A spec over files on disk; keyword arguments replace settings of `training`, `changes` its parts."""

    def make(
        output: str = "model", num_rows: int = 2000, changes: dict[str, Any] | None = None, **training: Any
    ) -> TrainSpec:
        vocabularies = {
            "user_id": [f"u{user}" for user in range(NUM_USERS)],
            "item_id": [f"i{item}" for item in range(NUM_ITEMS - 5)],
        }
        for field, values in vocabularies.items():
            pq.write_table(pa.table({"value": values}), tmp_path / f"{field}.parquet")
        pq.write_table(pa.table({"value": DEPARTMENTS}), tmp_path / "departments.parquet")
        model = MODEL | {"training": MODEL["training"] | training}
        return TrainSpec.model_validate_json(
            json.dumps(
                {
                    "model": model,
                    "train_files": [str(path) for path in write_examples("train", num_rows, seed=1)],
                    "validation_files": [
                        str(path) for path in write_examples("validation", num_rows, seed=2)
                    ],
                    "final_files": [],
                    "vocabularies": {field: str(tmp_path / f"{field}.parquet") for field in vocabularies},
                    "numeric_statistics": {
                        "days_since": {"mean": 2.5, "std": 1.0, "boundaries": [3, 6, 10, 15, 22, 32, 50]},
                        "price": {"mean": 5.0, "std": 2.3},
                    },
                    "label_names": {"interest": DEPARTMENTS},
                    "negative_sampling_rate": 0.5,
                    "output_dir": str(tmp_path / output),
                }
                | (changes or {})
            )
        )

    return make
