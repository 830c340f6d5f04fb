"""MovieLens 1M: ratings and likes by one joint model, against a biased matrix factorisation.

Fold 1 is the test. Both are tuned on fold 2 by training on folds 3 to 5, with as many settings each, then
trained once more on folds 2 to 5.
"""

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.biased_mf import MFSettings, rate_by_biased_mf
from benchmarks.quality_training import train_joint_model, write_quality
from mtl_model.evaluation.metrics import auc

logger = logging.getLogger(__name__)

DATA = Path("../shared/data/movielens_1m")
LIKED_FROM = 4
TEST_FOLD, TUNING_FOLD = 1, 2
QUICK_USERS = 300

Floats = npt.NDArray[np.float64]


class JointSettings(NamedTuple):
    num_factors: int
    penalty: float
    epochs: int


class Quality(NamedTuple):
    rmse: float
    auc: float


JOINT_GRID = [JointSettings(128, penalty, epochs=7) for penalty in (0.05, 0.06)]
MF_GRID = [
    MFSettings(num_factors, penalty, epochs=8)
    for num_factors, penalty in [(64, 0.06), (128, 0.065), (128, 0.08)]
]


def compare(quick: bool) -> None:
    rows = read_rows(QUICK_USERS if quick else None)
    with tempfile.TemporaryDirectory() as folder:

        def rate_jointly(train: pa.Table, judged: pa.Table, settings: JointSettings) -> tuple[Floats, Floats]:
            name = "-".join(map(str, (*settings, train.num_rows)))
            return rate_by_joint_model(train, judged, settings, Path(folder) / name)

        ours = tune_and_test(rows, rate_jointly, JOINT_GRID[:1] if quick else JOINT_GRID)
    rival = tune_and_test(rows, rate_by_mf, MF_GRID[:1] if quick else MF_GRID)
    write_quality("movies RMSE", ours.rmse, rival.rmse, "stars, less is better, against biased MF")
    write_quality("movies AUC of likes", ours.auc, rival.auc, "AUC, against biased MF")


def tune_and_test(
    rows: pa.Table, rate: Callable[[pa.Table, pa.Table, Any], tuple[Floats, Floats]], grid: Sequence[Any]
) -> Quality:
    """Tuned by the RMSE on fold 2; the quality on fold 1."""
    of_fold = {fold: pc.equal(rows["fold"], fold) for fold in (TEST_FOLD, TUNING_FOLD)}
    known = rows.filter(pc.invert(of_fold[TEST_FOLD]))
    train, tuning = rows.filter(pc.greater(rows["fold"], TUNING_FOLD)), rows.filter(of_fold[TUNING_FOLD])
    best, least_rmse = grid[0], np.inf
    for settings in grid if len(grid) > 1 else []:
        quality = judge(tuning, *rate(train, tuning, settings))
        logger.info("%s: %s on fold %d", settings, quality, TUNING_FOLD)
        if quality.rmse < least_rmse:
            best, least_rmse = settings, quality.rmse
    test = rows.filter(of_fold[TEST_FOLD])
    quality = judge(test, *rate(known, test, best))
    logger.info("%s: %s on fold %d", best, quality, TEST_FOLD)
    return quality


def judge(rows: pa.Table, ratings: Floats, likes: Floats) -> Quality:
    """`likes`: scores by which likes are ranked."""
    truth = rows["rating"].to_numpy()
    rmse = float(np.sqrt(np.mean((np.clip(ratings, 1, 5) - truth) ** 2)))
    return Quality(rmse, auc((truth >= LIKED_FROM).astype(np.float64), likes, np.ones(len(truth))))


def rate_by_joint_model(
    train: pa.Table, judged: pa.Table, settings: JointSettings, folder: Path
) -> tuple[Floats, Floats]:
    mean = pc.mean(train["rating"]).as_py()
    labels = {
        "label_rating": pc.subtract(train["rating"].cast(pa.float64()), mean),
        "label_like": pc.greater_equal(train["rating"], LIKED_FROM).cast(pa.int8()),
    }
    for name, column in labels.items():
        train = train.append_column(name, column)
    predictor = train_joint_model(describe_model(settings), add_counts(train, train), folder)
    predictions = predictor.predict(add_counts(judged, train))
    return predictions["rating"].astype(np.float64) + mean, predictions["like"].astype(np.float64)


def rate_by_mf(train: pa.Table, judged: pa.Table, settings: MFSettings) -> tuple[Floats, Floats]:
    ratings = rate_by_biased_mf(train, judged, settings)
    return ratings, ratings


def describe_model(settings: JointSettings) -> dict[str, Any]:
    user_fields = ["user_id", "gender", "age_group", "occupation_code", "zip_region"]
    item_fields = ["item_id", "release_year", "genres"]
    number = {"kind": "numeric", "log1p": True, "num_buckets": 16}
    ids = [{"kind": "id", "name": name} for name in [*user_fields, *item_fields[:-1]]]
    return {
        "embedding_dim": 8,
        "fields": [
            *ids,
            {"kind": "id_list", "name": "genres", "max_length": 6},
            number | {"name": "user_rating_count"},
            number | {"name": "item_rating_count"},
        ],
        "factorization": {
            "num_factors": settings.num_factors,
            "sides": [user_fields, item_fields],
            "penalty": settings.penalty,
        },
        "sharing": {"name": "mmoe", "num_experts": 3, "expert_hidden_dims": [32, 16]},
        "tower_hidden_dims": [],
        "dropout": 0.1,
        "tasks": [
            {"name": "rating", "head": "regression", "label": "label_rating", "loss_weight": 1.0},
            {"name": "like", "head": "binary", "label": "label_like", "loss_weight": 1.0},
        ],
        "training": {
            "precision": "fp32",
            "num_processes": 1,
            "global_batch_size": 8192,
            "epochs": settings.epochs,
            "learning_rate": 1e-3,
            "embedding_learning_rate": 1e-2,
            "final_learning_rate": 1e-6,
            "warmup_steps": 50,
            "seed": 1,
            "checkpoint_every_steps": 1_000_000,
        },
    }


def read_rows(num_users: int | None) -> pa.Table:
    """A row per rating, with its user's and its item's attributes."""
    ratings = pq.read_table(DATA / "ratings.parquet")
    if num_users is not None:
        ratings = ratings.filter(pc.less_equal(ratings["user_id"], num_users))
    users, items = pq.read_table(DATA / "users.parquet"), pq.read_table(DATA / "items.parquet")
    users = users.append_column(
        "zip_region", pc.utf8_slice_codeunits(users["zip_code"].cast(pa.string()), 0, 2)
    )
    years = pc.struct_field(pc.extract_regex(items["title"], r"\((?P<year>\d{4})\)\s*$"), "year")
    items = items.append_column("release_year", years)
    rows = take_by_key(ratings, users, "user_id", ["gender", "age_group", "occupation_code", "zip_region"])
    rows = take_by_key(rows, items, "item_id", ["release_year", "genres"])
    return rows.append_column("example_id", pa.array(np.arange(rows.num_rows)))


def take_by_key(rows: pa.Table, entities: pa.Table, key: str, columns: Sequence[str]) -> pa.Table:
    found = pc.index_in(rows[key], value_set=entities[key].combine_chunks())
    for name in columns:
        rows = rows.append_column(name, entities[name].combine_chunks().take(found))
    return rows


def add_counts(rows: pa.Table, train: pa.Table) -> pa.Table:
    """How many other ratings of the row's user and of its item are in `train`."""
    own = rows is train
    for entity in ("user", "item"):
        counts = pc.value_counts(train[f"{entity}_id"].combine_chunks())
        found = pc.index_in(rows[f"{entity}_id"], value_set=counts.field("values"))
        of_row = pc.fill_null(counts.field("counts").take(found), 0).cast(pa.float64())
        rows = rows.append_column(f"{entity}_rating_count", pc.subtract(of_row, float(own)))
    return rows
