"""A simulated shop where a category has just been opened: all others are the source, it is the target."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.bench_venv import REPO
from benchmarks.transfer_domains import IS_TARGET, Domains, Method, mark
from mtl_model.evaluation.metrics import auc
from mtl_model.predict import Predictor

NEW_CATEGORY = "kettle"  # the most shown one
DAYS, TARGET_DAY = 28, 20  # the source and the target's only day; its last seven days are judged
FIELDS = ("user_id", "income", "age", "region", "item_id", "brand", "department", "surface", "weekday")
_ROWS = """
    SELECT row_number() OVER (ORDER BY event.event_id) - 1 AS example_id,
           event.user_id, user.income, user.age, user.region,
           event.item_id, item.brand, item.department, string_split(item.title, ' ') AS title_words,
           event.surface, position::DOUBLE AS position, event.price::DOUBLE AS price,
           dayname(event.event_time) AS weekday,
           date_diff('day', DATE '2024-01-01', event.event_time::DATE) AS day,
           item.category = $new_category AS is_new,
           (click.item_id IS NOT NULL)::TINYINT AS label_click,
           (cart.item_id IS NOT NULL)::TINYINT AS label_cart,
           truth.p_click::DOUBLE AS p_click
    FROM event JOIN item USING (item_id) JOIN user USING (user_id) JOIN truth USING (event_id)
    LEFT JOIN (SELECT DISTINCT request_id, item_id FROM event WHERE event_type = 'click') AS click
        ON (click.request_id, click.item_id) = (event.request_id, event.item_id)
    LEFT JOIN (SELECT DISTINCT request_id, item_id FROM event WHERE event_type = 'cart') AS cart
        ON (cart.request_id, cart.item_id) = (event.request_id, event.item_id)
    WHERE event_type = 'impression'
"""


def read_domains(quick: bool, folder: Path) -> Domains:
    """Simulates the log below `folder`."""
    log = folder / "log"
    users, items, events = ("500", "200", "100k") if quick else ("5k", "1k", "1m")
    size = ["--users", users, "--items", items, "--events", events]
    command = [sys.executable, "-m", "jobs.cli", "simulate", *size, "--days", str(DAYS), "--seed", "7"]
    command += ["--first-day", "2024-01-01", "--to", str(log)]
    subprocess.run(command, cwd=REPO, stdout=sys.stderr, check=True)
    with duckdb.connect() as database:
        for view, rows in {"event": "events", "item": "items", "user": "users", "truth": "truth"}.items():
            database.execute(f"CREATE VIEW {view} AS FROM read_parquet('{log}/{rows}/**/*.parquet')")
        database.execute(f"CREATE TABLE example AS {_ROWS}", {"new_category": NEW_CATEGORY})
        source, target, test = (
            database.sql(f"SELECT * EXCLUDE (is_new, day) FROM example WHERE {where}").to_arrow_table()
            for where in (
                f"NOT is_new AND day <= {TARGET_DAY}",
                f"is_new AND day = {TARGET_DAY}",
                f"is_new AND day > {TARGET_DAY}",
            )
        )
    return Domains(
        "shop, new category",
        mark(source, is_target=False),
        mark(target, is_target=True),
        _describe,
        partial(_judge, mark(test, is_target=True)),
    )


def _describe(method: Method) -> dict[str, Any]:
    number = {"kind": "numeric", "num_buckets": 16}
    is_small = method.rows == "target"
    return {
        "embedding_dim": 8,
        "fields": [
            *[{"kind": "id", "name": name} for name in FIELDS],
            {"kind": "id_list", "name": "title_words", "max_length": 4},
            number | {"name": "position"},
            number | {"name": "price", "log1p": True},
            *([{"kind": "numeric", "name": IS_TARGET}] if method.rows == "both" else []),
        ],
        "sharing": {"name": "mmoe", "num_experts": 3, "expert_hidden_dims": [64, 32]},
        "tower_hidden_dims": [16],
        "dropout": 0.1,
        "tasks": [
            {"name": "click", "head": "binary", "label": "label_click", "loss_weight": 1.0},
            {"name": "cart", "head": "binary", "label": "label_cart", "loss_weight": 1.0},
        ],
        "training": {
            "precision": "fp32",
            "num_processes": 1,
            "global_batch_size": 256 if is_small else 4096,
            "epochs": 3 if is_small else 1,
            "learning_rate": 1e-3,
            "embedding_learning_rate": 1e-2,
            "final_learning_rate": 1e-4,
            "warmup_steps": 10,
            "seed": 1,
            "checkpoint_every_steps": 1_000_000,
        },
    }


def _judge(test: pa.Table, predictor: Predictor) -> dict[str, float]:
    """The last is the share of what the true probabilities reach."""
    clicked, same = test["label_click"].to_numpy().astype(np.float64), np.ones(test.num_rows)
    reached = auc(clicked, predictor.predict(test)["click"].astype(np.float64), same)
    truth = auc(clicked, test["p_click"].to_numpy(), same)
    return {"AUC of clicks": reached, "AUC of clicks by that of the true probabilities": reached / truth}
