"""The scenario movies: nights one by one against a bulk build of a small log; the real log up to shelves."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession

from jobs.config import CONF_FOLDER
from jobs.examples.tables import examples
from jobs.lake.catalog import REPOSITORY
from jobs.learn.tables import TASK_METRICS
from jobs.learn.train_model import make_spec
from jobs.learn.training_days import plan_days
from jobs.logs.tables import EVENTS, ITEMS
from jobs.nightly import run_night
from jobs.recommend.tables import RECOMMENDATIONS
from tests.jobs.test_taobao import build_tables

DATA = REPOSITORY.parent / "shared" / "data" / "movielens_100k"
FIRST_DAY, LAST_DAY = date(1997, 9, 20), date(1997, 9, 29)
UNDATED = date(2000, 2, 1)  # the day of movies_1m
_GENRES = (["Action", "Drama", "War"], ["Comedy"], ["Drama"])


def write_movies_log(folder: Path, order: int = 0) -> Path:
    """Thirty users rate ten of thirty films each within ten days; `order` shuffles the rows of the file."""
    chance = random.Random(4)
    start = int(datetime(1997, 9, 20, tzinfo=UTC).timestamp())
    rows = [
        {"user_id": user, "item_id": item, "rating": chance.randint(1, 5),
         "timestamp": start + chance.randrange(10 * 86_400)}
        for user in range(30) for item in chance.sample(range(30), 10)
    ]  # fmt: skip
    random.Random(order).shuffle(rows)
    items = [
        {"item_id": item, "title": f"Film {item}", "genres": _GENRES[item % 3], "release_year": 1990}
        for item in range(30)
    ]
    users = [
        {"user_id": user, "age": 30, "gender": "F", "occupation": "other", "zip_code": "0"}
        for user in range(30)
    ]
    folder.mkdir(parents=True)
    for name, table in (("ratings", rows), ("items", items), ("users", users)):
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
    return folder


def write_movies_scenario(path: Path, log: Path) -> Path:
    scenario = yaml.safe_load((CONF_FOLDER / "movies.yaml").read_text(encoding="utf-8"))
    scenario["logs"] |= {"path": str(log)}
    scenario["examples"] |= {"training_weeks": 2}  # from the second day of the log on
    scenario["learn"] |= {"validation_days": 1}
    path.write_text(yaml.safe_dump({**scenario, "name": "small"}, sort_keys=False), encoding="utf-8")
    return path


def write_undated_scenario(path: Path, log: Path) -> Path:
    scenario = yaml.safe_load((CONF_FOLDER / "movies_1m.yaml").read_text(encoding="utf-8"))
    scenario["logs"] |= {"path": str(log)}
    scenario["logs"]["users"]["attributes"] = {}
    scenario["learn"]["promotion"]["min_gain_over_constant"] = 0.0
    scenario["model"]["training"] |= {"num_processes": 1, "global_batch_size": 64}
    path.write_text(yaml.safe_dump({**scenario, "name": "small"}, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.acceptance
def test_nights_one_after_the_other_equal_one_bulk_build_of_a_shuffled_log(
    spark: SparkSession, tmp_path: Path
) -> None:
    logs = [write_movies_log(tmp_path / f"log{order}", order) for order in (0, 1)]
    nightly, bulk = (
        write_movies_scenario(tmp_path / f"{number}.yaml", log) for number, log in enumerate(logs)
    )

    by_night = build_tables(nightly, tmp_path / "a", [LAST_DAY - timedelta(days=2), LAST_DAY])
    at_once = build_tables(bulk, tmp_path / "b", [LAST_DAY])

    for name, table in by_night.items():
        assert table.equals(at_once[name]), name
    rows, days = at_once["examples"], [LAST_DAY - timedelta(days=age) for age in range(1, 9)]
    stamps = pq.read_table(logs[1] / "ratings.parquet")["timestamp"].to_pylist()
    rated_on = [datetime.fromtimestamp(stamp, UTC).date() for stamp in stamps]
    of_users = pc.equal(rows["example_kind"], "user_day")
    genres = rows.filter(of_users)["label_category_interest"].to_pylist()
    assert {len(labels) for labels in genres} == {4}  # Action, Comedy, Drama, War
    assert all(any(labels[place] for labels in genres) for place in range(4))
    rows = rows.filter(pc.invert(of_users))
    assert rows.num_rows == sum(map(rated_on.count, days)) > 100
    assert pc.all(
        pc.equal(pc.greater_equal(rows["label_rating"], 4), pc.equal(rows["label_like"], 1))
    ).as_py()
    first_ratings = rows.filter(pc.is_null(rows["user_rating_count"]))
    assert 0 < first_ratings.num_rows < rows.num_rows  # users never seen before are examples, too


def test_a_log_without_times_is_learned_and_judged_by_folds_up_to_the_shelves(
    spark: SparkSession, tmp_path: Path, home: Path
) -> None:
    log = write_movies_log(tmp_path / "log")
    path, day = write_undated_scenario(tmp_path / "movies_1m.yaml", log), UNDATED
    ratings = pq.read_table(log / "ratings.parquet")

    run = run_night(str(path), day)

    lake, days = run.lake(), plan_days(run)
    rows = lake.read_arrow(examples(run.scenario))
    assert (rows.num_rows, set(rows["ds"].to_pylist())) == (ratings.num_rows, {day})
    spec = make_spec(run, lake, days, home)
    pairs = {
        name: {tuple(pair.values()) for file in files for pair in read_pairs(file)}
        for name, files in (("train", spec.train_files), ("judged", spec.validation_files))
    }
    assert set(spec.validation_files) == set(spec.final_files)
    assert pairs["train"].isdisjoint(pairs["judged"])
    assert len(pairs["train"] | pairs["judged"]) == ratings.num_rows
    assert 0.1 < len(pairs["judged"]) / ratings.num_rows < 0.3
    auc = next(
        row for row in lake.read_arrow(TASK_METRICS).to_pylist()
        if (row["role"], row["task"], row["metric"]) == ("candidate", "like", "auc")
    )  # fmt: skip
    assert auc["example_count"] == len(pairs["judged"])
    assert len(pc.unique(lake.read_arrow(RECOMMENDATIONS)["user_id"])) == 30


def read_pairs(file: Path) -> list[dict[str, str]]:
    pairs: list[dict[str, str]] = pq.read_table(file, columns=["user_id", "item_id"]).to_pylist()
    return pairs


@pytest.mark.acceptance
def test_the_real_log_becomes_shelves(spark: SparkSession, home: Path) -> None:
    if not DATA.is_dir():
        pytest.skip(f"the log is not at {DATA}")

    run = run_night("movies", date(1998, 4, 15))

    lake = run.lake()
    rated = lake.read_arrow(EVENTS).select(["user_id", "item_id"])
    assert lake.read_arrow(examples(run.scenario)).num_rows > 50_000
    metrics = lake.read_arrow(TASK_METRICS).to_pylist()
    auc = next(row["value"] for row in metrics if (row["task"], row["metric"]) == ("like", "auc"))
    assert auc > 0.65
    gauc = next(row["value"] for row in metrics if (row["task"], row["metric"]) == ("genres", "auc"))
    assert gauc > 0.55
    shelves = lake.read_arrow(RECOMMENDATIONS)
    assert len(pc.unique(shelves["user_id"])) > 900
    assert (
        shelves.select(rated.column_names).join(rated, ["user_id", "item_id"], join_type="inner").num_rows
        == 0
    )
    assert set(shelves["item_id"].to_pylist()) <= set(lake.read_arrow(ITEMS)["item_id"].to_pylist())
    first = dict(shelves["predictions"][0].as_py())
    assert 0 < first["like"] < 1 <= first["rating"] <= 5.5
