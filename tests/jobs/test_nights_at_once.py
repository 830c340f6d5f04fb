"""Two nights of one scenario at once, by the real stages; in every order: tests/jobs/test_bulk_stages.py."""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.bulk_stages import build_forgotten
from jobs.features.anchors import scoring_day
from jobs.features.declared_states import state_tables
from jobs.features.event_tiles import event_days
from jobs.features.tables import declared_tables
from jobs.lake.lake import Lake
from jobs.logs.ingest_logs import ingest_logs
from jobs.logs.tables import EVENTS
from jobs.stage import RowCounts, Run, make_run, run_stage
from jobs.stages import BULK_STAGES, STAGES, load_stage
from tests.jobs.taobao_log import write_taobao_log, write_taobao_scenario
from tests.jobs.tiny_stages import telling_who_waits

BEFORE, DAY, NEXT = (date(2017, 11, day) for day in (26, 27, 28))
MAPPING = {
    "files": {"format": "parquet", "path": "events.parquet"},
    "event_time": {"column": "timestamp", "unit": "seconds"},
    "ingested_at": {"column": "learned", "unit": "seconds"},
    "user_id": "user_id",
    "item_id": "item_id",
    "event_type": {"column": "behavior", "values": {"fav": "favorite", "cart": "cart", "buy": "purchase"}},
}


def day_of(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, ZoneInfo("Asia/Shanghai")).date()


@pytest.fixture
def late_log(tmp_path: Path) -> list[dict[str, Any]]:
    """The rows of a log; every third row of two days is learned at noon of NEXT."""
    file = write_taobao_log(tmp_path / "log") / "events.parquet"
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    noon = int(datetime(2017, 11, 28, 12, tzinfo=UTC).timestamp())
    for number, row in enumerate(rows):
        is_late = number % 3 == 0 and day_of(row["timestamp"]) in {BEFORE, DAY}
        row["learned"] = noon if is_late else row["timestamp"]
    pq.write_table(pa.Table.from_pylist(rows), file)
    return rows


@pytest.fixture
def scenario(late_log: list[dict[str, Any]], tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    return str(write_taobao_scenario(path, tmp_path / "log", logs={"events": [MAPPING]}))


@dataclass
class PausingLake(Lake):
    """Does not commit events before it may."""

    has_read: Event = field(default_factory=Event)
    may_commit: Event = field(default_factory=Event)

    def commit(self, table: Any, *arguments: Any, **options: Any) -> None:
        if table.name == EVENTS.name:
            self.has_read.set()
            self.may_commit.wait()
        super().commit(table, *arguments, **options)


def ingest_at_once(older: Run, newer: Run) -> None:
    """The newer night ingests, if it can, between the reading and the commit of the older one."""
    lake, newer_had_its_chance = PausingLake(**vars(older.lake("ingest"))), Event()

    def ingest_slowly(run: Run, _: Lake) -> RowCounts:
        return ingest_logs(run, lake)

    with telling_who_waits(newer_had_its_chance), ThreadPoolExecutor(2) as threads:
        slow = threads.submit(run_stage, "ingest", ingest_slowly, older)
        lake.has_read.wait()
        quick = threads.submit(run_stage, "ingest", ingest_logs, newer)
        quick.add_done_callback(lambda _: newer_had_its_chance.set())
        newer_had_its_chance.wait()
        lake.may_commit.set()
        slow.result()
        quick.result()


def work(steps: Sequence[tuple[Run, str]]) -> None:
    for run, stage in steps:
        run_stage(stage, load_stage(stage), run)


def test_a_night_that_has_read_before_a_newer_one_learned_more_undoes_nothing(
    spark: SparkSession,
    home: Path,
    scenario: str,
    late_log: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    older, newer = make_run(scenario, DAY, "older"), make_run(scenario, NEXT, "newer")
    work([(older, "ingest")])

    ingest_at_once(older, newer)

    loaded = older.lake().read_arrow(EVENTS, (BEFORE, DAY))["ds"].to_pylist()
    happened = [day_of(row["timestamp"]) for row in late_log]
    assert Counter(loaded) == Counter(day for day in happened if BEFORE <= day <= DAY)


@pytest.mark.acceptance
def test_features_of_an_older_night_are_made_of_tiles_that_know_what_a_newer_one_has_learned(
    spark: SparkSession, home: Path, scenario: str, late_log: list[dict[str, Any]]
) -> None:
    older, newer = make_run(scenario, DAY, "older"), make_run(scenario, NEXT, "newer")
    lake = older.lake()

    work([(older, "ingest"), (older, "tiles"), (newer, "ingest"), (older, "features")])

    happened = [day_of(row["timestamp"]) for row in late_log]
    tiles = lake.read_arrow(event_days(older.scenario), (BEFORE, DAY))
    assert pc.sum(tiles["event_count"]).as_py() == sum(BEFORE <= day <= DAY for day in happened)
    of_items = declared_tables(older.scenario.features, of_users=False)["item"]
    features = lake.read_arrow(of_items, scoring_day(older))
    carts = [row for row in late_log if day_of(row["timestamp"]) == DAY and row["behavior"] == "cart"]
    assert pc.sum(features["item_cart_count_1d"]).as_py() == len(carts)

    snapshots = [lake.snapshot_id(table) for table in lake_tables(older)]
    assert build_forgotten("candidates", older) == {}
    assert [lake.snapshot_id(table) for table in lake_tables(older)] == snapshots


def lake_tables(run: Run) -> list[Any]:
    return [made.table for stage in BULK_STAGES[1:] for made in STAGES[stage].makes(run.scenario)]


def read_tables(run: Run) -> dict[str, pa.Table]:
    """Every table from tiles to examples after the night of a run, in the order of their keys."""
    kept = {table.name: scoring_day(run) for table in state_tables(run.scenario)}  # the older ones go
    found = {table: run.lake().read_arrow(table, kept.get(table.name)) for table in lake_tables(run)}
    return {
        table.name: rows.sort_by([(name, "ascending") for name in ("ds", *table.key)])
        for table, rows in found.items()
    }


@pytest.mark.acceptance
def test_two_nights_stage_by_stage_equal_one_night_of_all_that_was_learned(
    spark: SparkSession, tmp_path: Path, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs_in(name: str) -> dict[str, Run]:
        monkeypatch.setenv("NIGHTSHELF_HOME", str(tmp_path / name))
        return {"o": make_run(scenario, DAY, "older"), "n": make_run(scenario, NEXT, "newer")}

    at_once = runs_in("at_once")["n"]
    work([(at_once, stage) for stage in BULK_STAGES])
    expected = read_tables(at_once)

    assert expected["examples"].num_rows > 0
    for order in ("oonoonnnon", "ooonoonnnn", "onnoononno"):
        runs, stages = runs_in(order), {run: iter(BULK_STAGES) for run in "on"}
        work([(runs[run], next(stages[run])) for run in order])
        for name, table in read_tables(runs["n"]).items():
            assert table.equals(expected[name]), f"{order}: {name}"
