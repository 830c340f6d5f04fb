import json
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.simulator import landing
from jobs.simulator.config import FaultsConfig, SimulationConfig
from jobs.simulator.landing import DayFolders, clear_target
from jobs.simulator.plan import plan_simulation
from jobs.simulator.simulate_logs import simulate_logs, simulate_users
from tests.jobs.simulator.small_world import FIRST_DAY, simulate, small_config

FAULTS = {"duplicates": 0.02, "late": 0.05, "future": 0.01, "broken": 0.02}
FOLDERS = ("events", "items", "users", "promotions", "campaign_members", "truth")

Simulate = Callable[[SimulationConfig, Path], dict[str, Any]]


@pytest.fixture(scope="module")
def simulate_by_spark(spark: SparkSession) -> Simulate:
    def run(config: SimulationConfig, target: Path) -> dict[str, Any]:
        target.mkdir()
        return simulate_logs(spark, config, plan_simulation(config), target)

    return run


@pytest.fixture(scope="module")
def written(simulate_by_spark: Simulate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with faults, made by three tasks."""
    target = tmp_path_factory.mktemp("simulated") / "log"
    simulate_by_spark(small_config(faults=FAULTS, num_partitions=3), target)
    return target


def read(folder: Path) -> pa.Table:
    """All rows of a folder with the date of their folder, sorted."""
    table = pa_dataset.dataset(folder, partitioning="hive").to_table()
    return table.sort_by([(name, "ascending") for name in table.column_names])


@pytest.mark.parametrize("num_partitions", [1, 8])
def test_the_rows_do_not_depend_on_the_partitions(
    simulate_by_spark: Simulate, written: Path, tmp_path: Path, num_partitions: int
) -> None:
    manifest = simulate_by_spark(small_config(faults=FAULTS, num_partitions=num_partitions), tmp_path / "log")

    assert manifest == json.loads((written / "manifest.json").read_text())
    for folder in FOLDERS:
        assert read(tmp_path / "log" / folder).equals(read(written / folder)), folder


def test_another_seed_makes_another_log(written: Path) -> None:
    other = simulate(small_config(faults=FAULTS, seed=6)).events

    there = read(written / "events").to_pandas()
    both = there.merge(other, on=["user_id", "item_id", "event_time"])
    assert len(both) == 0


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=4))
def test_a_range_of_users_is_the_same_alone(cuts: list[int]) -> None:
    config = small_config(users=60, events=3_000, days=3, faults=FAULTS, heavy_user_share=0.2)
    bounds = sorted({0, *cuts, 60})
    whole = simulate(config)

    parts = [simulate(config, users=np.arange(first, end)) for first, end in pairwise(bounds)]

    for rows in ("events", "truth"):
        together = pd.concat([getattr(part, rows) for part in parts])
        keys = ["event_id", "user_id", "shown_at" if rows == "truth" else "ingested_at"]
        assert _sorted(together, keys).equals(_sorted(getattr(whole, rows), keys))


def test_the_manifest_reconciles_with_the_files(written: Path) -> None:
    manifest = json.loads((written / "manifest.json").read_text())
    events, truth = read(written / "events").to_pandas(), read(written / "truth")

    landed = events.groupby("date").size().to_dict()
    assert manifest["landed"] == landed
    assert sum(manifest["rows"].values()) == sum(manifest["landed"].values()) == len(events)
    late = manifest["rows"]["late_hours"] + manifest["rows"]["late_days"]
    assert sum(manifest["events"].values()) == manifest["rows"]["none"] + late
    assert sum(manifest["truth"].values()) == manifest["events"]["impression"] == truth.num_rows
    for table, rows in manifest["tables"].items():
        assert read(written / table).num_rows == rows


def test_rows_lie_in_the_folder_of_the_day_they_are_ingested(written: Path) -> None:
    events = read(written / "events").to_pandas()

    assert (events.ingested_at.dt.strftime("%Y-%m-%d") == events.date.astype(str)).all()


def test_spark_reads_the_log_with_its_types(spark: SparkSession, written: Path) -> None:
    events = spark.read.parquet(str(written / "events"))

    types = dict(events.dtypes)
    assert {types[name] for name in ("event_time", "ingested_at")} == {"timestamp"}
    assert {types[name] for name in ("price", "quantity", "value", "discount")} == {"bigint"}
    assert types["position"] == "int"
    assert types["date"] == "date"


def test_no_folder_but_the_truth_tells_what_is_hidden(written: Path) -> None:
    public = {name for folder in FOLDERS[:-1] for name in read(written / folder).column_names}

    assert not {name for name in public if name.startswith("p_") or name in {"quality", "expected_value"}}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_text_formats_hold_the_same_rows(written: Path, tmp_path: Path, kind: str) -> None:
    config = small_config(faults=FAULTS, format=kind, num_partitions=1)
    simulate_users(config, plan_simulation(config).rates, tmp_path, 0)

    reader = {"csv": "read_csv_auto", "jsonl": "read_json_auto"}[kind]
    sql = f"FROM {reader}('{tmp_path}/events/*/*.{kind}', hive_partitioning = false, sample_size = -1)"
    texts = duckdb.connect().execute(sql).df()
    rows = read(written / "events").to_pandas()

    assert len(texts) == len(rows)
    assert (texts.event_time == "not a time").sum() == rows.event_time.isna().sum() > 0
    for column in ("event_id", "user_id", "item_id", "event_type", "query", "coupon_id"):
        assert texts[column].value_counts().to_dict() == rows[column].value_counts().to_dict()
    for column in ("price", "quantity", "value", "position"):
        assert texts[column].sum() == rows[column].sum()


def test_schema_changes_come_on_their_day(tmp_path: Path) -> None:
    faults = {"new_column": FIRST_DAY + timedelta(days=2), "price_as_text": FIRST_DAY + timedelta(days=4)}
    config = small_config(faults=faults, num_partitions=1)

    simulate_users(config, plan_simulation(config).rates, tmp_path, 0)

    for day in range(config.days):
        (file,) = (tmp_path / "events" / f"date={FIRST_DAY + timedelta(days=day)}").iterdir()
        schema = pa_dataset.dataset(file).schema
        assert ("app_version" in schema.names) == (day >= 2)
        assert schema.field("price").type == (pa.string() if day >= 4 else pa.int64())


def test_a_task_that_runs_again_writes_the_same_files(tmp_path: Path) -> None:
    config = small_config(num_partitions=2)
    rates = plan_simulation(config).rates
    simulate_users(config, rates, tmp_path, 1)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}

    simulate_users(config, rates, tmp_path, 1)

    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first


def test_a_task_holds_no_more_than_a_file_and_the_days_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "_ROWS_PER_FILE", 10)
    folders = DayFolders(tmp_path, "parquet", 0, date(2024, 1, 1), FaultsConfig())

    held = []
    for _ in range(13):
        rows = pa.table({"row": range(8)})
        folders.add(rows, np.array([0, 0, 0, 0, 0, 0, 0, 1]))
        held.append(sum(table.num_rows for tables in folders.open.values() for table in tables))
    folders.close_until(0)

    assert max(held) <= 10 + 10
    assert set(folders.open) == {1}
    assert folders.row_counts[date(2024, 1, 1)] == 91


@pytest.mark.parametrize(
    ("found", "overwrite", "message"),
    [
        pytest.param("events/part.parquet", False, "replace it by --overwrite", id="a simulation"),
        pytest.param("thesis.txt", True, "no simulation has written", id="something else"),
    ],
)
def test_what_is_there_is_not_lost(tmp_path: Path, found: str, overwrite: bool, message: str) -> None:
    (tmp_path / found).parent.mkdir(exist_ok=True)
    (tmp_path / found).touch()

    with pytest.raises(ValueError, match=message):
        clear_target(tmp_path, overwrite, needed_bytes=1)

    assert (tmp_path / found).exists()


def test_an_older_simulation_is_replaced_on_demand(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "manifest.json").touch()

    clear_target(tmp_path, overwrite=True, needed_bytes=1)

    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of free disk"):
        clear_target(tmp_path / "log", overwrite=False, needed_bytes=10**18)


def _sorted(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return rows.sort_values([*keys, *sorted(set(rows.columns) - set(keys))]).reset_index(drop=True)
