from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.expressions import EqualTo
from pyspark.sql import SparkSession

from jobs.lake.columns import Column, Table
from jobs.lake.day_tasks import DayDatabase, Input, make_each_day, plan_tasks
from jobs.lake.lake import Lake

DAY = date(2017, 12, 2)
VISITS = Table(
    name="visits", meaning="", ds_is="day", key=("user_id",), files_per_day=2,
    columns=(Column("user_id", "string", ""), Column("count", "long", "")),
)  # fmt: skip
TOTALS = Table(
    name="totals", meaning="", ds_is="day", key=("user_id",), split_by="is_large",
    columns=(Column("user_id", "string", ""), Column("total", "long", ""), Column("is_large", "boolean", "")),
)  # fmt: skip


@pytest.fixture
def visits(spark: SparkSession, lake: Lake) -> Lake:
    """Ten users a day for four days; on day n each came n times."""
    rows = [(DAY + timedelta(n), f"u{user}", n) for n in range(4) for user in range(10)]
    frame = spark.createDataFrame(rows, "ds date, user_id string, count long")
    lake.replace_days(frame, VISITS, (DAY, DAY + timedelta(3)))
    return lake


def sum_by_user(database: DayDatabase, day: date) -> dict[str, pa.Table]:
    query = (
        "SELECT $day AS ds, user_id, sum(count)::BIGINT AS total, total > 3 AS is_large FROM seen GROUP BY 2"
    )
    return {"totals": database.sql(f"{query} ORDER BY user_id", params={"day": day}).to_arrow_table()}


def run(
    spark: SparkSession, lake: Lake, inputs: list[Input], days: tuple[date, date], buckets: int
) -> list[Any]:
    tasks = plan_tasks(spark, lake, inputs, days, buckets)
    lake.replace_made(tasks, make_each_day(sum_by_user, inputs, [TOTALS]), [TOTALS], days)
    return sorted(map(tuple, (row.values() for row in lake.read_arrow(TOTALS).to_pylist())))


def test_a_task_reads_the_days_around_its_own(spark: SparkSession, visits: Lake) -> None:
    days = (DAY, DAY + timedelta(3))

    made = run(spark, visits, [Input(VISITS, "seen", first=-1, last=1)], days, 1)

    totals = {0: 1, 1: 3, 2: 6, 3: 5}
    assert made == sorted(
        (DAY + timedelta(n), f"u{user}", total, total > 3)
        for n, total in totals.items()
        for user in range(10)
    )
    assert len(visits.files(TOTALS)) == 4  # a split table has a file per part that has rows


def test_buckets_share_the_users_out(spark: SparkSession, visits: Lake) -> None:
    days = (DAY, DAY)

    made = run(spark, visits, [Input(VISITS, "seen", first=1, last=1, bucketed=True)], days, 2)

    assert made == sorted((DAY, f"u{user}", 1, False) for user in range(10))
    assert len(visits.files(TOTALS)) == 2


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(Input(VISITS, "seen", days=(DAY + timedelta(2), DAY + timedelta(2))), id="fixed days"),
        pytest.param(
            Input(VISITS, "seen", where=lambda _: EqualTo(term="count", value=2)), id="where statistics fit"
        ),
    ],
)
def test_inputs_may_be_other_days(spark: SparkSession, visits: Lake, source: Input) -> None:
    made = run(spark, visits, [source], (DAY, DAY), 1)

    assert made == sorted((DAY, f"u{user}", 2, False) for user in range(10))


def test_a_day_without_files_is_an_empty_view(spark: SparkSession, visits: Lake) -> None:
    run(spark, visits, [Input(VISITS, "seen")], (DAY, DAY), 1)

    assert run(spark, visits, [Input(VISITS, "seen", first=90, last=90)], (DAY, DAY), 1) == []


def test_two_runs_give_equal_rows_once(spark: SparkSession, visits: Lake) -> None:
    first = run(spark, visits, [Input(VISITS, "seen")], (DAY, DAY + timedelta(3)), 1)

    assert run(spark, visits, [Input(VISITS, "seen")], (DAY, DAY + timedelta(3)), 1) == first
