"""Builds tables of the scenario `shop` from logs, in one warm Spark session, and says what each stage took.

Each line of standard input names a log, an empty home, the last day and the stages; the answer is a line of
JSON: stage -> its seconds, by the clock and of processors, and the times of its tasks as Spark's status REST
API gives them.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import yaml
from pyspark.sql import SparkSession

from benchmarks.process_tree import processor_seconds
from jobs.config import CONF_FOLDER
from jobs.lake.spark import start_spark
from jobs.stage import log_to_standard_error, make_run, run_stage
from jobs.stages import load_stage


def measure(log: Path, home: Path, last_day: date, stages: Sequence[str]) -> dict[str, dict[str, Any]]:
    home.mkdir(parents=True)
    os.environ["NIGHTSHELF_HOME"] = str(home)
    run = make_run(str(_write_scenario(home, log)), last_day)
    spark, measured = start_spark(run.runtime), {}
    for stage in stages:
        known = {number for number, _ in _task_times(spark)}
        started, used = time.monotonic(), processor_seconds()
        rows = run_stage(stage, load_stage(stage), run)
        measured[stage] = {
            "seconds": round(time.monotonic() - started, 2),
            "processor_seconds": round(processor_seconds() - used, 2),
            "rows": dict(rows),
            "spark_stages": [times for number, times in _task_times(spark) if number not in known],
        }
    return measured


def _write_scenario(home: Path, log: Path) -> Path:
    scenario = yaml.safe_load((CONF_FOLDER / "shop.yaml").read_text(encoding="utf-8"))
    scenario["logs"]["path"] = str(log.resolve())
    path = home / "shop.yaml"
    path.write_text(yaml.safe_dump(scenario, sort_keys=False), encoding="utf-8")
    return path


def _task_times(spark: SparkSession) -> list[tuple[tuple[int, int], dict[str, Any]]]:
    """((stage, attempt), times of its tasks) of every complete Spark stage."""
    context = spark.sparkContext
    url = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/stages"
    with build_opener(ProxyHandler({})).open(
        f"{url}?status=complete&withSummaries=true&quantiles=0.5,1.0"
    ) as answer:
        stages = json.load(answer)
    found = []
    for stage in stages:
        median, slowest = stage["taskMetricsDistributions"]["duration"]
        times = {
            "name": stage["name"],
            "tasks": stage["numCompleteTasks"],
            "median_ms": median,
            "slowest_ms": slowest,
        }
        found.append(((stage["stageId"], stage["attemptId"]), times))
    return found


def main() -> None:
    log_to_standard_error()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        task = json.loads(line)
        measured = measure(
            Path(task["log"]), Path(task["home"]), date.fromisoformat(task["last_day"]), task["stages"]
        )
        answers.write(json.dumps(measured) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
