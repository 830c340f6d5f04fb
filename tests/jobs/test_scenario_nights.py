"""One tiny whole night of a scenario; grocery's is in test_whole_night.py, movies_1m's in test_movies.py."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest
import yaml
from pyspark.sql import SparkSession

from jobs.examples.tables import examples
from jobs.learn.tables import TASK_METRICS
from jobs.logs.tables import ITEMS
from jobs.nightly import run_night
from jobs.recommend.tables import RECOMMENDATIONS
from tests.jobs.shop_log import write_shop_log, write_shop_scenario
from tests.jobs.simulator.small_world import FIRST_DAY
from tests.jobs.taobao_log import write_taobao_log, write_taobao_scenario
from tests.jobs.test_movies import LAST_DAY, write_movies_log, write_movies_scenario

Prepare = Callable[[SparkSession, Path], tuple[Path, date]]


def prepare_shop(spark: SparkSession, folder: Path) -> tuple[Path, date]:
    log = write_shop_log(spark, folder / "log", users=150, events=15_000, days=9)
    return write_shop_scenario(folder / "shop.yaml", log), FIRST_DAY + timedelta(days=8)


def prepare_movies(spark: SparkSession, folder: Path) -> tuple[Path, date]:
    return write_movies_scenario(folder / "movies.yaml", write_movies_log(folder / "log")), LAST_DAY


def prepare_taobao(spark: SparkSession, folder: Path) -> tuple[Path, date]:
    scenario = write_taobao_scenario(folder / "taobao.yaml", write_taobao_log(folder / "log"))
    return scenario, date(2017, 12, 2)


@pytest.mark.parametrize(
    "prepare",
    [prepare_shop, prepare_movies, prepare_taobao],
    ids=["shop", "movies", "taobao"],
)
def test_a_tiny_log_becomes_shelves(
    spark: SparkSession, home: Path, tmp_path: Path, prepare: Prepare
) -> None:
    path, day = prepare(spark, tmp_path)
    scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
    scenario["learn"]["promotion"]["min_gain_over_constant"] = 0.0
    scenario["model"]["training"] |= {"num_processes": 1, "global_batch_size": 256, "warmup_steps": 5}
    path.write_text(yaml.safe_dump(scenario, sort_keys=False), encoding="utf-8")

    run = run_night(str(path), day)

    lake, tasks = run.lake(), {task.name for task in run.scenario.model.tasks}
    assert lake.read_arrow(examples(run.scenario)).num_rows > 100
    judged = lake.read_arrow(TASK_METRICS).to_pylist()
    assert {row["task"] for row in judged if row["role"] == "candidate"} == tasks
    shelves = lake.read_arrow(RECOMMENDATIONS)
    assert len(pc.unique(shelves["user_id"])) > 20
    assert set(shelves["item_id"].to_pylist()) <= set(lake.read_arrow(ITEMS)["item_id"].to_pylist())
    assert dict(shelves["predictions"][0].as_py()).keys() <= tasks
