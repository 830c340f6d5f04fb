"""MovieLens 1M as the source, MovieLens 100K as the target: most films are the same, the people are not."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.quality_movies import LIKED_FROM, JointSettings, describe_model, judge, read_rows, take_by_key
from benchmarks.transfer_domains import IS_TARGET, Domains, Method, mark
from mtl_model.predict import Predictor

DATA = Path("../shared/data/movielens_100k")
AGES = (18, 25, 35, 45, 50, 56)
MEAN_RATING = 3.5
FEW = 0.05  # of the first four fifths of a user's ratings
SETTINGS = JointSettings(num_factors=32, penalty=0.06, epochs=5)
EPOCHS_ON_FEW_ROWS = 15
QUICK_USERS = 200


def read_domains(quick: bool, folder: Path) -> Domains:
    """`folder` is not needed: the logs are there."""
    source = _with_labels(read_rows(QUICK_USERS if quick else None).drop_columns(["fold"]))
    source = source.set_column(
        source.column_names.index("user_id"), "user_id", pc.add(source["user_id"].cast(pa.int64()), 1_000_000)
    )
    target = _with_labels(_read_target())
    is_late = target["share_before"].to_numpy() >= 0.8
    is_kept = ~is_late & (np.random.default_rng(1).random(target.num_rows) < FEW)
    target = target.select(source.column_names).cast(source.schema)
    test = target.filter(pa.array(is_late))
    return Domains(
        "1M to 100K",
        mark(source, is_target=False),
        mark(target.filter(pa.array(is_kept)), is_target=True),
        _describe,
        partial(_judge, mark(test, is_target=True)),
    )


def _describe(method: Method) -> dict[str, Any]:
    model = describe_model(SETTINGS)
    counts = {"user_rating_count", "item_rating_count"}
    model["fields"] = [
        field for field in model["fields"] if field["name"] not in {*counts, "occupation_code"}
    ]
    model["factorization"]["sides"][0].remove("occupation_code")
    if method.rows == "both":
        model["fields"].append({"kind": "numeric", "name": IS_TARGET})
    if method.rows == "target":
        model["training"] |= {"global_batch_size": 512, "epochs": EPOCHS_ON_FEW_ROWS}
    return model


def _judge(test: pa.Table, predictor: Predictor) -> dict[str, float]:
    predictions = predictor.predict(test)
    ratings = predictions["rating"].astype(np.float64) + MEAN_RATING
    quality = judge(test, ratings, predictions["like"].astype(np.float64))
    return {"RMSE": quality.rmse, "AUC of likes": quality.auc}


def _read_target() -> pa.Table:
    """As `read_rows` has those of 1M; `share_before`: of the user's ratings, those before this one."""
    ratings = pq.read_table(DATA / "ratings.parquet")
    users, items = pq.read_table(DATA / "users.parquet"), pq.read_table(DATA / "items.parquet")
    groups = np.array([1, *AGES])[np.searchsorted(AGES, users["age"].to_numpy(), side="right")]
    users = users.append_column("age_group", pa.array(groups))
    users = users.append_column("zip_region", pc.utf8_slice_codeunits(users["zip_code"], 0, 2))
    users = users.append_column("occupation_code", pa.nulls(users.num_rows, pa.int32()))
    years = items["release_year"].cast(pa.string())
    titles = pc.binary_join_element_wise(
        items["title"].cast(pa.string()), pc.binary_join_element_wise("(", years, ")", ""), " "
    )
    films = pq.read_table(DATA.with_name("movielens_1m") / "items.parquet")
    found = pc.index_in(titles, value_set=films["title"].cast(pa.string()).combine_chunks())
    known = films["item_id"].combine_chunks().take(found).cast(pa.int64())
    own = pc.add(items["item_id"].cast(pa.int64()), 1_000_000)
    items = items.append_column("film", pc.coalesce(known, own))
    items = items.set_column(items.column_names.index("release_year"), "release_year", years)
    rows = take_by_key(ratings, users, "user_id", ["gender", "age_group", "occupation_code", "zip_region"])
    rows = take_by_key(rows, items, "item_id", ["release_year", "genres", "film"])
    rows = rows.set_column(rows.column_names.index("item_id"), "item_id", rows["film"])
    rows = rows.append_column("example_id", pa.array(np.arange(rows.num_rows) + 10_000_000))
    return rows.append_column("share_before", pa.array(_shares_before(rows)))


def _shares_before(rows: pa.Table) -> np.ndarray[Any, np.dtype[np.float64]]:
    user, item, at = (rows[name].to_numpy() for name in ("user_id", "item_id", "timestamp"))
    order = np.lexsort((item, at, user))
    starts = np.flatnonzero(np.diff(user[order], prepend=-1))
    counts = np.diff(starts, append=len(user))
    shares = np.empty(len(user))
    shares[order] = (np.arange(len(user)) - np.repeat(starts, counts)) / np.repeat(counts, counts)
    return shares


def _with_labels(rows: pa.Table) -> pa.Table:
    rows = rows.append_column("label_rating", pc.subtract(rows["rating"].cast(pa.float64()), MEAN_RATING))
    return rows.append_column("label_like", pc.greater_equal(rows["rating"], LIKED_FROM).cast(pa.int8()))
