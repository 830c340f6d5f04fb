from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.config import load_runtime, load_scenario
from jobs.examples.campaigns import finish_campaigns
from jobs.examples.tables import campaign_examples, examples
from jobs.lake.lake import Lake
from jobs.learn.train_model import example_files, make_spec
from jobs.learn.training_days import plan_days
from jobs.stage import Run

DAY = date(2017, 12, 2)


@pytest.fixture
def run(home: Path) -> Run:
    return Run(load_scenario("grocery"), load_runtime(), DAY, "r", home)


def test_training_reads_candidates_of_its_anchors_and_campaigns_that_closed(
    spark: SparkSession, lake: Lake, run: Run
) -> None:
    first, last = DAY - timedelta(9), DAY - timedelta(8)
    rows = [
        (day, f"u{number}", "i", number % 3 > 0)  # each third was bought without being proposed
        for day in (first - timedelta(1), first, last, last + timedelta(1))
        for number in range(30)
    ]
    pairs = spark.createDataFrame(rows, "ds date, user_id string, item_id string, from_candidates boolean")
    table = examples(run.scenario)
    nulls = {
        field.name: F.lit(None).cast(field.dataType)
        for field in table.spark_schema()
        if field.name not in pairs.columns
    }
    lake.replace_days(
        pairs.withColumns({**nulls, "example_kind": F.lit("user_item")}), table, (rows[0][0], rows[-1][0])
    )
    closed = [(DAY - timedelta(age), "u0", f"closed {age}") for age in (0, 1, 2)]
    members = spark.createDataFrame(closed, "ds date, user_id string, campaign_id string")
    table = campaign_examples(run.scenario)
    lake.replace_days(finish_campaigns(members, table), table, (closed[-1][0], DAY))

    files = example_files(run, lake, (first, last), (DAY - timedelta(9), DAY - timedelta(1)))

    read = pa.concat_tables([pq.read_table(path, partitioning=None) for path in files]).to_pylist()
    assert {row["campaign_id"] for row in read if row["example_kind"] == "user_campaign"} == {
        "closed 1",
        "closed 2",
    }
    of_items = [row for row in read if row["example_kind"] == "user_item"]
    assert {row["ds"] for row in of_items} == {first, last}
    assert len(of_items) == 2 * 20
    assert all(row["from_candidates"] for row in of_items)
    written = lake.read_arrow(examples(run.scenario))
    assert written["from_candidates"].to_pylist().count(False) == 4 * 10  # they stay in the table


def test_training_without_examples_names_the_stage_to_run(lake: Lake, run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="examples has no rows for 2017-08-28 to 2017-11-13: run build_examples"
    ):
        make_spec(run, lake, plan_days(run), tmp_path)
