"""The books of a simulated log in which every kind of broken, late, early and repeated row was planted."""

from datetime import timedelta
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.config import load_scenario
from jobs.logs.config import MappedLogs
from jobs.logs.judge_events import count_rows, judge
from jobs.logs.mapped_source import MappedSource
from jobs.simulator.faults import FAULTS
from jobs.simulator.plan import plan_simulation
from jobs.simulator.simulate_logs import simulate_users
from tests.jobs.shop_log import write_shop_scenario
from tests.jobs.simulator.small_world import FIRST_DAY, simulate, small_config

SHARES = {"duplicates": 0.03, "late": 0.06, "future": 0.02, "broken": 0.05}
FATES = ("read", "kept", "duplicate", "late_held", "quarantined")


def test_every_planted_fault_stands_in_the_books(spark: SparkSession, tmp_path: Path) -> None:
    config = small_config(users=100, events=10_000, faults=SHARES, num_partitions=1)
    world = simulate(config)
    planted = world.counts
    simulate_users(config, plan_simulation(config).rates, tmp_path, 0)
    logs = load_scenario(str(write_shop_scenario(tmp_path / "shop.yaml", tmp_path))).logs
    assert isinstance(logs, MappedLogs)
    last = max(world.events.landed_on)

    judged = judge(MappedSource(logs).read_events(spark, (FIRST_DAY, last), last), logs, last)
    books = count_rows(judged).agg(*[F.sum(fate).alias(fate) for fate in FATES]).toPandas().iloc[0]

    happened_on = world.events.event_time.dt.date
    too_late = world.events.landed_on - happened_on > timedelta(days=logs.late_horizon_days)
    in_the_future = happened_on - world.events.landed_on > timedelta(days=1)
    broken = sum(planted["rows", kind] for kind in FAULTS if kind.startswith(("null", "bad", "neg", "unk")))
    assert all(planted["rows", kind] for kind in FAULTS)
    assert 0 < in_the_future.sum() <= planted["rows", "future_days"]
    assert 0 < too_late.sum() <= planted["rows", "late_days"]
    expected = {
        "read": len(world.events),
        "duplicate": planted["rows", "duplicate_same_day"] + planted["rows", "duplicate_next_day"],
        "late_held": int(too_late.sum()),
        "quarantined": broken + int(in_the_future.sum()),
    }
    assert {fate: int(books[fate]) for fate in expected} == expected
    assert books["read"] == books[list(FATES[1:])].sum()
