import subprocess
import sys
import time

import psutil
import pytest
from pyspark.sql import SparkSession

from jobs.lake.spark import run_together

START = """
import psutil
from jobs.config import load_runtime
from jobs.lake.spark import start_spark

start_spark(load_runtime()).range(10).count()
print([process.pid for process in psutil.Process().children(recursive=True) if process.name() == "java"][0])
"""


def test_the_jvm_ends_with_the_process_that_started_it() -> None:
    ended = subprocess.run([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True, check=True)

    assert not psutil.pid_exists(int(ended.stdout.split()[-1]))


def test_jobs_side_by_side_have_pools_of_their_own(spark: SparkSession) -> None:
    def read_pool() -> str | None:
        return spark.sparkContext.getLocalProperty("spark.scheduler.pool")

    assert run_together([read_pool, read_pool]) == ["job-0", "job-1"]
    assert read_pool() is None
    assert spark.sparkContext.getConf().get("spark.scheduler.mode") == "FAIR"


def test_the_first_error_of_jobs_side_by_side_comes_once_all_have_ended() -> None:
    ended: list[str] = []

    def fail() -> None:
        raise ValueError("the first")

    def end() -> None:
        time.sleep(0.2)
        ended.append("second")

    with pytest.raises(ValueError, match="the first"):
        run_together([fail, end])
    assert ended == ["second"]
