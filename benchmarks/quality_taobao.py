"""Taobao: the bought item among 99 others, by one joint model of purchases, carts and favourites.

The test is the held-out last purchase of 10,000 users (paper_test_buy.parquet) against the 99 negatives of
paper_test_negatives.parquet; an equal score counts against the purchase. The model is trained on each user's
last pair of each behaviour that has no other one, taken out of the history, against items drawn uniformly.
Rivals are known rankings, and the strongest features by themselves.
"""

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.implicit_als import ALSSettings, fit_als
from benchmarks.quality_training import train_joint_model, write_quality
from benchmarks.taobao_features import (
    BEHAVIORS,
    NUM_FACTORS,
    Floats,
    History,
    Ids,
    make_features,
    multiply_factors,
    read_history,
)
from mtl_model.predict import Predictor

logger = logging.getLogger(__name__)

DATA = Path("../shared/data/taobao_userbehavior_mb")
LIST_LENGTH = 10
NUM_NEGATIVES = 19
TIE_BREAK = 1e-6
MIN_EVENTS = 4  # of a user that an event is taken from
QUICK_TESTS, QUICK_USERS = 200, 1_000


def compare(quick: bool) -> None:
    events = pq.read_table(DATA / "events.parquet")
    num_users, num_items = (int(events[name].to_numpy().max()) + 1 for name in ("user_id", "item_id"))
    users, candidates = read_test(QUICK_TESTS if quick else None)
    held_out = hold_out(events)
    positives = events.take(pa.array(held_out)).sort_by("user_id")
    first_second = int(events["timestamp"].to_numpy().min())

    def history_of(rows: npt.NDArray[np.bool_]) -> History:
        return read_history(
            events.filter(pa.array(rows)), num_users, max(num_items, candidates.max() + 1), first_second
        )

    is_history = np.ones(events.num_rows, dtype=bool)
    is_history[held_out] = False
    if quick:
        positives = positives.slice(0, QUICK_USERS)
    with tempfile.TemporaryDirectory() as folder:
        rows = make_rows(positives, history_of(is_history), num_items)
        predictor = train_joint_model(describe_model(rows), rows, Path(folder) / "model")
    full = history_of(np.ones(events.num_rows, dtype=bool))
    features = make_features(full, users, candidates)
    popularity = features["item_buy_count"]
    ours = hit_rate(score(predictor, features))
    rivals = {
        "popularity": popularity,
        "similar items": features["similar_score"] + TIE_BREAK * popularity,
        "ALS": rank_by_als(full, users, candidates),
        f"truncated SVD of {NUM_FACTORS[0]}": features[f"svd_{NUM_FACTORS[0]}_score"],
    }
    for name, scores in rivals.items():
        write_quality("taobao HR@10", ours, hit_rate(scores), f"HR@10, against {name}")


def rank_by_als(history: History, users: Ids, candidates: Ids) -> Floats:
    of_users, of_items = (factors.numpy() for factors in fit_als(history.of_any, ALSSettings()))
    return multiply_factors(of_users, of_items, users, candidates)


def read_test(num_tests: int | None) -> tuple[Ids, Ids]:
    """Users (N,) and their candidates (N, 100), the purchase first."""
    bought = pq.read_table(DATA / "paper_test_buy.parquet")
    negatives = pq.read_table(DATA / "paper_test_negatives.parquet").sort_by("row")
    others = negatives["negatives"].combine_chunks().flatten().to_numpy().reshape(bought.num_rows, -1)
    candidates = np.column_stack([bought["item_id"].to_numpy(), others]).astype(np.int64)
    return bought["user_id"].to_numpy().astype(np.int64)[:num_tests], candidates[:num_tests]


def hold_out(events: pa.Table) -> Ids:
    """Row numbers of each user's last event of each behaviour, where the pair has no other behaviour."""
    users, items = (events[name].to_numpy().astype(np.int64) for name in ("user_id", "item_id"))
    _, pairs, sizes = np.unique(users * (items.max() + 1) + items, return_inverse=True, return_counts=True)
    lone = (sizes[pairs] == 1) & (np.bincount(users)[users] >= MIN_EVENTS)
    behaviors = events["behavior"].to_numpy()
    chosen = []
    for behavior in BEHAVIORS:
        rows = np.flatnonzero(lone & (behaviors == behavior))
        rows = rows[np.argsort(events["timestamp"].to_numpy()[rows], kind="stable")]
        _, last = np.unique(users[rows][::-1], return_index=True)
        chosen.append(rows[::-1][last])
    return np.concatenate(chosen)


def make_rows(positives: pa.Table, history: History, num_items: int) -> pa.Table:
    """A row for each positive and each of its negatives, with features and labels."""
    users = positives["user_id"].to_numpy().astype(np.int64)
    negatives = np.random.default_rng(0).integers(0, num_items, (len(users), NUM_NEGATIVES))
    candidates = np.column_stack([positives["item_id"].to_numpy().astype(np.int64), negatives])
    rows = to_table(make_features(history, users, candidates))
    for behavior in BEHAVIORS:
        happened = np.zeros(candidates.shape, dtype=np.int8)
        happened[:, 0] = positives["behavior"].to_numpy() == behavior
        rows = rows.append_column(f"label_{behavior}", pa.array(happened.ravel()))
    return rows.append_column("example_id", pa.array(np.arange(rows.num_rows)))


def to_table(features: dict[str, Floats]) -> pa.Table:
    return pa.table({name: values.ravel() for name, values in features.items()})


def score(predictor: Predictor, features: dict[str, Floats]) -> npt.NDArray[np.float64]:
    """The candidates' (N, C) probability of purchase."""
    probabilities = predictor.predict(to_table(features))["buy"].astype(np.float64)
    return probabilities.reshape(next(iter(features.values())).shape)


def hit_rate(scores: npt.NDArray[Any]) -> float:
    """The share of rows whose first candidate is among the best; scores (N, C)."""
    not_below = (scores[:, 1:] >= scores[:, :1]).sum(axis=1)
    return float((not_below < LIST_LENGTH).mean())


def describe_model(rows: pa.Table) -> dict[str, Any]:
    labels = {behavior: f"label_{behavior}" for behavior in BEHAVIORS}
    features = [name for name in rows.column_names if name not in {"example_id", *labels.values()}]
    return {
        "embedding_dim": 4,
        "fields": [
            {"kind": "numeric", "name": name, "log1p": name.endswith("count"), "num_buckets": 32}
            for name in features
        ],
        "sharing": {"name": "mmoe", "num_experts": 4, "expert_hidden_dims": [64, 32]},
        "tower_hidden_dims": [16],
        "dropout": 0.1,
        "tasks": [
            {"name": behavior, "head": "binary", "label": label, "loss_weight": 1.0}
            for behavior, label in labels.items()
        ],
        "training": {
            "precision": "fp32",
            "num_processes": 1,
            "global_batch_size": 4096,
            "epochs": 3,
            "learning_rate": 2e-3,
            "final_learning_rate": 1e-5,
            "warmup_steps": 50,
            "seed": 1,
            "checkpoint_every_steps": 1_000_000,
        },
    }
