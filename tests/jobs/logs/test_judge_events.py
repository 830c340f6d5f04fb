from datetime import date, timedelta

import pytest
from pyspark.sql import SparkSession

from jobs.logs.judge_events import drop_duplicates

DAY = date(2024, 1, 1)
JUDGED = (
    "ds date, source string, event_id string, learned_day date, ingested_at timestamp, row string, "
    "file string, is_held boolean, is_filtered boolean, reason string"
)


@pytest.mark.parametrize("are_few", [True, False], ids=["few", "many"])
def test_of_the_copies_of_an_event_the_one_learned_first_is_kept(spark: SparkSession, are_few: bool) -> None:
    next_day = DAY + timedelta(days=1)
    copy = (DAY, "log", "twice", DAY, None, "b", "f", False, False, None)
    rows = [
        (DAY, "log", "once", DAY, None, "a", "f", False, False, None),
        copy,
        copy,
        (DAY, "log", "twice", next_day, None, "a", "f", False, False, None),
        (DAY, "other log", "twice", DAY, None, "c", "f", False, False, None),
        (next_day, "log", "twice", next_day, None, "d", "f", False, False, None),
        (DAY, "log", "once", DAY, None, "held", "f", True, False, None),
        (DAY, "log", "once", DAY, None, "bad", "f", False, False, "user_id is null"),
        (DAY, "log", "once", DAY, None, "filtered", "f", False, True, None),
    ]

    kept = drop_duplicates(spark.createDataFrame(rows, JUDGED), are_few)

    assert sorted(row.row for row in kept.collect()) == ["a", "b", "c", "d"]
