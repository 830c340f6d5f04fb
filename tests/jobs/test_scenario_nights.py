"""A tiny whole night of shop; grocery's is in test_whole_night.py, movies_1m's in test_movies.py.

Those of movies and taobao are of their real logs: too few rows teach a model nothing, and none serves.
"""

from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
import yaml
from pyspark.sql import SparkSession

from jobs.examples.tables import examples
from jobs.learn.tables import TASK_METRICS
from jobs.logs.tables import ITEMS
from jobs.nightly import run_night
from jobs.recommend.tables import RECOMMENDATIONS
from tests.jobs.shop_log import write_shop_log, write_shop_scenario
from tests.jobs.simulator.small_world import FIRST_DAY


def test_a_tiny_log_of_the_shop_becomes_shelves(spark: SparkSession, home: Path, tmp_path: Path) -> None:
    log = write_shop_log(spark, tmp_path / "log", users=150, events=15_000, days=9)
    path = write_shop_scenario(tmp_path / "shop.yaml", log)
    scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
    scenario["learn"]["promotion"]["min_gain_over_constant"] = 0.0
    scenario["model"]["training"] |= {"num_processes": 1, "global_batch_size": 256, "warmup_steps": 5}
    path.write_text(yaml.safe_dump(scenario, sort_keys=False), encoding="utf-8")

    run = run_night(str(path), FIRST_DAY + timedelta(days=8))

    lake, tasks = run.lake(), {task.name for task in run.scenario.model.tasks}
    assert lake.read_arrow(examples(run.scenario)).num_rows > 100
    judged = lake.read_arrow(TASK_METRICS).to_pylist()
    assert {row["task"] for row in judged if row["role"] == "candidate"} >= tasks
    shelves = lake.read_arrow(RECOMMENDATIONS)
    assert len(pc.unique(shelves["user_id"])) > 20
    assert set(shelves["item_id"].to_pylist()) <= set(lake.read_arrow(ITEMS)["item_id"].to_pylist())
    assert dict(shelves["predictions"][0].as_py()).keys() <= tasks
