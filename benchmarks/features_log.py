"""The log of the benchmark of features: simulated, and laid into the tables `events` and `items`, once."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from pyspark.sql import functions as F

from jobs.config import load_runtime, load_scenario
from jobs.lake.spark import start_spark
from jobs.logs.tables import EVENTS, ITEMS
from jobs.simulator.config import SimulationConfig
from jobs.simulator.landing import MANIFEST
from jobs.simulator.plan import plan_simulation
from jobs.simulator.simulate_logs import simulate_logs
from jobs.stage import Run

FIRST_DAY = date(2024, 1, 1)
USER_FILES_PER_DAY = 2


class LogSize(NamedTuple):
    users: int
    items: int
    days: int
    events: int


FULL = LogSize(users=25_000, items=20_000, days=91, events=20_000_000)
QUICK = LogSize(users=100, items=200, days=9, events=10_000)


def make_log(folder: Path, size: LogSize) -> Run:
    """Makes what is not there; returns the run of the log's last day."""
    log, loaded = folder / "log", folder / "loaded"
    scenario, last_day = load_scenario("shop"), FIRST_DAY + timedelta(days=size.days - 1)
    logs = scenario.logs.model_copy(update={"path": str(log), "first_day": FIRST_DAY})
    scenario = scenario.model_copy(update={"logs": logs})
    run = Run(scenario, load_runtime(), last_day, "benchmark", folder / "home")
    if not (log / MANIFEST).exists():
        settings = {
            "first_day": FIRST_DAY, "seed": 1, "label_window_days": 7, "faults": {}, "format": "parquet",
            "heavy_user_share": 0.0, "hot_item_share": 0.0,
        }  # fmt: skip
        config = SimulationConfig.model_validate(settings | size._asdict())
        log.mkdir(parents=True, exist_ok=True)
        simulate_logs(start_spark(run.runtime), config, plan_simulation(config), log)
    if not loaded.exists():
        load_tables(run, log)
        loaded.touch()
    return run


def load_tables(run: Run, log: Path) -> None:
    """The simulated rows are sound: they need no ingest, which would take most of the time."""
    spark, lake = start_spark(run.runtime), run.lake("ingest")
    events = spark.read.parquet(str(log / "events")).withColumn("ds", F.to_date("event_time"))
    items = spark.read.parquet(str(log / "items")).select(
        F.lit(FIRST_DAY).alias("ds"), "item_id", F.array("category").alias("category_path"),
        "brand", "price", "title", F.lit(None).alias("attributes"),
    )  # fmt: skip
    known = {*events.columns}
    columns = [F.col(name) if name in known else F.lit(None).alias(name) for name in EVENTS.column_names]
    lake.replace_days(items, ITEMS, (FIRST_DAY, FIRST_DAY))
    table = replace(EVENTS, files_per_day=USER_FILES_PER_DAY)
    lake.replace_days(events.select(columns), table, (FIRST_DAY, run.date))
