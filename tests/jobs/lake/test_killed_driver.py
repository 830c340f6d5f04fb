"""A driver that dies between writing its files and committing them, and the rerun."""

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from jobs.lake.catalog import REPOSITORY
from jobs.lake.columns import Column, Table
from jobs.lake.lake import Lake

DAY = date(2017, 12, 2)
VISITS = Table("visits", "Who came.", "day", ("user_id",), (Column("user_id", "string", "who"),))

_DIES = """
import os, signal, sys
from pathlib import Path
from jobs.config import load_runtime
from jobs.lake.catalog import open_catalog
from jobs.lake.lake import Lake
from jobs.lake.spark import start_spark
from tests.jobs.lake.test_killed_driver import DAY, VISITS

class DyingLake(Lake):
    def commit(self, *arguments):
        os.kill(os.getpid(), signal.SIGKILL)

home = Path(sys.argv[1])
spark = start_spark(load_runtime())
rows = spark.createDataFrame([(DAY, "killed")], "ds date, user_id string")
DyingLake(open_catalog(home, {}), "small", home).replace_days(rows, VISITS, (DAY, DAY))
"""


def test_files_of_a_killed_driver_are_never_seen_and_the_rerun_is_right(
    lake: Lake, home: Path, spark: SparkSession
) -> None:
    before = spark.createDataFrame([(DAY, "before")], "ds date, user_id string")
    lake.replace_days(before, VISITS, (DAY, DAY))

    killed = subprocess.run(
        [sys.executable, "-c", _DIES, str(home)], cwd=REPOSITORY, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    seen_after_kill = lake.read_arrow(VISITS)["user_id"].to_pylist()
    lake.replace_days(before.selectExpr("ds", "'rerun' AS user_id"), VISITS, (DAY, DAY))

    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert len(list((home / "lake" / "warehouse").rglob("*.parquet"))) == 3  # before, killed, rerun
    assert seen_after_kill == ["before"]
    assert lake.read_arrow(VISITS)["user_id"].to_pylist() == ["rerun"]
