"""users, items, days, seed -> landing folders of a marketplace's log, and the truth beside them.

Each task of the one Spark job makes a range of users (or of items) and writes its files itself; only
counts come back, which Spark sums up for the manifest. A task holds one day's rows of its users at most,
and a row depends on the seed and on what it is about, never on the task.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.simulator.catalogue import ITEMS_PER_TASK, items_table
from jobs.simulator.config import FaultsConfig, SimulationConfig
from jobs.simulator.coupons import CAMPAIGN_DAYS, members_table, promotions_table
from jobs.simulator.days import Counts, simulate_day
from jobs.simulator.landing import MANIFEST, DayFolders, write_table
from jobs.simulator.plan import SimulationPlan
from jobs.simulator.population import Users, describe_users, users_table
from jobs.simulator.sessions import SessionRates


def simulate_logs(
    spark: SparkSession, config: SimulationConfig, plan: SimulationPlan, target: Path
) -> dict[str, Any]:
    """Writes the log below `target`, which all workers must see, and returns its manifest.

    The manifest is written last: a folder without one is not whole.
    """
    num_tasks = plan.user_tasks + plan.item_tasks
    counts = spark.range(0, num_tasks, 1, num_tasks).mapInArrow(
        _task(config, plan, str(target)), "measure string, name string, row_count long"
    )
    sums = counts.groupBy("measure", "name").agg(F.sum("row_count").alias("row_count"))
    manifest: dict[str, Any] = {"config": config.model_dump(mode="json", exclude={"num_partitions"})}
    for row in sums.orderBy("measure", "name").collect():
        manifest.setdefault(row.measure, {})[row.name] = row.row_count
    unfinished = target / f".{MANIFEST}"
    unfinished.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(target / MANIFEST)
    return manifest


def simulate_users(config: SimulationConfig, rates: SessionRates, target: Path, partition: int) -> Counts:
    """Writes a range of the users: who they are, whom campaigns target, and day after day what they do."""
    first, end = (config.users * bound // config.user_partitions for bound in (partition, partition + 1))
    users = describe_users(config, np.arange(first, end))
    counts = _write_users(config, users, target, partition)
    log = DayFolders(target / "events", config.format, partition, config.first_day, config.faults)
    truth = DayFolders(target / "truth", "parquet", partition, config.first_day, FaultsConfig())
    for day in range(config.days):
        for chunk in simulate_day(config, users, day, rates):
            log.add(chunk.events, chunk.landing_day)
            truth.add(chunk.truth, np.full(chunk.truth.num_rows, day))
            counts.update(chunk.counts)
        log.close_until(day)
        truth.close_until(day)
    log.close()
    for measure, written in (("landed", log), ("truth", truth)):
        counts.update({(measure, str(day)): rows for day, rows in written.row_counts.items()})
    return counts


def simulate_items(config: SimulationConfig, target: Path, chunk: int) -> Counts:
    """Writes a range of the items; with the first one all promotions, which are few."""
    item = np.arange(chunk * ITEMS_PER_TASK, min((chunk + 1) * ITEMS_PER_TASK, config.items))
    write_table(items_table(config, item), target / "items", f"part-{chunk:05}", config.format)
    counts: Counts = Counter({("tables", "items"): len(item)})
    if chunk == 0:
        promotions = pa.concat_tables([promotions_table(config, week) for week in _weeks(config)])
        write_table(promotions, target / "promotions", "part-00000", config.format)
        counts["tables", "promotions"] = promotions.num_rows
    return counts


def _write_users(config: SimulationConfig, users: Users, target: Path, partition: int) -> Counts:
    name = f"part-{partition:05}"
    write_table(users_table(config, users), target / "users", name, config.format)
    counts: Counts = Counter({("tables", "users"): len(users.number)})
    for week in _weeks(config):
        members = members_table(config, users, week)
        write_table(members, target / "campaign_members", f"{name}-{week:03}", config.format)
        counts["tables", "campaign_members"] += members.num_rows
    return counts


def _weeks(config: SimulationConfig) -> range:
    return range((config.days - 1) // CAMPAIGN_DAYS + 1)


def _task(
    config: SimulationConfig, plan: SimulationPlan, target: str
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in (number for batch in batches for number in batch["id"].to_pylist()):
            if number < plan.user_tasks:
                counts = simulate_users(config, plan.rates, Path(target), number)
            else:
                counts = simulate_items(config, Path(target), number - plan.user_tasks)
            measures, names = zip(*counts, strict=True)
            yield pa.RecordBatch.from_pydict(
                {"measure": measures, "name": names, "row_count": list(counts.values())}
            )

    return run
