"""The scenario shop, on small logs of the simulator."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from jobs.examples.tables import examples
from jobs.learn.tables import TASK_METRICS
from jobs.logs.tables import ITEMS
from jobs.nightly import NightFailedError, run_night
from jobs.recommend.tables import RECOMMENDATIONS
from tests.jobs.shop_log import write_shop_log, write_shop_scenario
from tests.jobs.simulator.small_world import FIRST_DAY
from tests.jobs.test_taobao import build_tables

FAULTS = {"duplicates": 0.01, "late": 0.05, "future": 0.001, "broken": 0.005}

# What followed each impression by the simulator's own ids: those of one impression differ in the last part.
# Known are the rows that landed by the last day, and at most three days late.
_EVENT = """
    SELECT DISTINCT ON (event_id) *, event_time::DATE AS ds,
           regexp_replace(event_id, '[0-9]+$', '0') AS impression_id
    FROM read_parquet('{log}/events/*/*.parquet', hive_partitioning = true)
    WHERE "date"::DATE <= $last_day AND "date"::DATE - event_time::DATE <= 3
"""
_TRUE_LABELS = f"""
WITH event AS ({_EVENT})
SELECT shown.event_id, shown.ds,
       max((event.event_type IN ('click', 'favorite', 'cart', 'purchase'))::INT) AS label_click,
       max((event.event_type = 'favorite')::INT) AS label_favorite,
       max((event.event_type = 'cart')::INT) AS label_cart,
       max((event.event_type = 'purchase')::INT) AS label_purchase,
       coalesce(sum(event.value), 0)::BIGINT AS label_spend
FROM event AS shown JOIN event ON event.impression_id = shown.event_id
     AND event.event_time < shown.event_time + INTERVAL 2 DAY
WHERE shown.event_type = 'impression' GROUP BY ALL
"""

# How often each place was clicked in the seven days before that of the impression.
_TRUE_RATES = f"""
WITH event AS ({_EVENT}),
place AS (SELECT DISTINCT shown.ds, surface, position FROM event AS shown),
rate AS (
    SELECT place.*, (count_if(event_type = 'click' AND event.ds >= place.ds - 7) + 2.5)::DOUBLE
           / (count_if(event_type = 'impression' AND event.ds >= place.ds - 7) + 50)::DOUBLE AS rate
    FROM place JOIN event ON (event.surface, event.position) = (place.surface, place.position)
         AND event.ds < place.ds
    GROUP BY ALL
)
SELECT event_id, ds, rate AS context_click_per_impression_rate_7d
FROM event LEFT JOIN rate USING (ds, surface, position) WHERE event_type = 'impression'
"""


def of_log(query: str, log: Path, days: tuple[date, date], last_day: date) -> pa.Table:
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        query = f"SELECT * FROM ({query.format(log=log)}) WHERE ds BETWEEN $first AND $last"
        parameters = {"first": days[0], "last": days[1], "last_day": last_day}
        return database.sql(query, params=parameters).to_arrow_table()


@pytest.mark.acceptance
def test_nights_one_after_the_other_equal_one_bulk_build_and_examples_say_what_the_log_says(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Late rows land on the days after theirs, so that the second night builds days again."""
    late = {"late": 0.05}
    log = write_shop_log(spark, tmp_path / "log", users=80, events=8_000, days=7, faults=late)
    scenario = write_shop_scenario(tmp_path / "shop.yaml", log, examples={"training_weeks": 1})
    last_day = FIRST_DAY + timedelta(days=6)

    by_night = build_tables(scenario, tmp_path / "a", [last_day - timedelta(days=1), last_day])
    at_once = build_tables(scenario, tmp_path / "b", [last_day])

    for name, table in by_night.items():
        assert table.equals(at_once[name]), name
    rows, days = at_once["examples"], (FIRST_DAY + timedelta(days=1), last_day - timedelta(days=2))
    assert (pc.min(rows["ds"]).as_py(), pc.max(rows["ds"]).as_py()) == days
    labels = [name for name in rows.column_names if name.startswith("label_")]
    key = [("event_id", "ascending")]
    expected = of_log(_TRUE_LABELS, log, days, last_day).select(["event_id", *labels]).sort_by(key)
    found = rows.select(["event_id", *labels]).sort_by(key).cast(expected.schema)
    assert found.num_rows > 1000
    assert found.equals(expected)
    assert set(rows["example_kind"].to_pylist()) == {"impression"}
    assert all(pc.sum(rows[name]).as_py() > 0 for name in labels)
    rates = of_log(_TRUE_RATES, log, days, last_day).drop_columns("ds").sort_by(key)
    assert rows.select(rates.column_names).sort_by(key).cast(rates.schema).equals(rates)
    assert len(pc.unique(rates["context_click_per_impression_rate_7d"])) > 50


@pytest.mark.acceptance
def test_a_log_of_the_simulator_becomes_shelves(spark: SparkSession, home: Path, tmp_path: Path) -> None:
    log = write_shop_log(spark, tmp_path / "log", users=400, events=80_000, days=12, faults=FAULTS)
    scenario = write_shop_scenario(tmp_path / "shop.yaml", log)

    run = run_night(str(scenario), FIRST_DAY + timedelta(days=11))

    lake = run.lake()
    rows = lake.read_arrow(examples(run.scenario))
    assert rows.num_rows > 30_000
    assert pc.max(pc.is_null(rows["user_item_impression_count"])).as_py()
    metrics = {
        (row["task"], row["metric"]): row["value"]
        for row in lake.read_arrow(TASK_METRICS).to_pylist() if row["role"] == "candidate"
    }  # fmt: skip
    assert metrics["click", "auc"] > 0.54
    assert 0.6 < metrics["click", "calibration"] < 1.6
    shelves = lake.read_arrow(RECOMMENDATIONS)
    assert len(pc.unique(shelves["user_id"])) > 300
    assert set(shelves["item_id"].to_pylist()) <= set(lake.read_arrow(ITEMS)["item_id"].to_pylist())
    predictions = dict(shelves["predictions"][0].as_py())
    assert set(predictions) == {"click", "favorite", "cart", "purchase", "spend"}
    assert 0 < predictions["click"] < 1


def test_without_a_log_the_night_tells_how_to_make_one(
    spark: SparkSession, home: Path, tmp_path: Path
) -> None:
    scenario = write_shop_scenario(tmp_path / "shop.yaml", tmp_path / "nowhere")

    with pytest.raises(NightFailedError, match=r"nowhere: there is no such folder.*nightshelf simulate --to"):
        run_night(str(scenario), FIRST_DAY)
