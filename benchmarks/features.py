"""A night's declared features from yesterday's state, against rescanning the log of the longest window.

python -m benchmarks.features [--quick] [--json] [--work-dir FOLDER]

Of users, of items, and of users in categories: counts of each type of event, mean prices of what was shown,
clicked and bought, the money spent and rates of clicks and purchases over 7, 28 and 91 days, and the days
since the last event of each type; 38 features of each. `ours` makes the night's tile and the night's features
as the nightly run does, in a warm Spark session; the rivals group the events of 91 days. All write Parquet
files, whose content is compared. The log comes from the simulator; it and its tables are made once, in the
folder.
"""

import argparse
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from statistics import median

import duckdb

from benchmarks.bench_venv import REPO
from benchmarks.contestants import median_ratio, write_result
from benchmarks.features_log import FULL, QUICK, USER_FILES_PER_DAY, make_log
from benchmarks.features_rivals import EVENT_TYPES, KEYS, PRICED, RATES, Rescan
from jobs.config import FeaturesConfig
from jobs.features.anchors import scoring_day
from jobs.features.build_declared import NightlyFeatures
from jobs.features.build_tiles import build_event_days
from jobs.features.declared_states import StatePlan, state_plans
from jobs.lake.columns import Table
from jobs.lake.lake import Lake, local_path
from jobs.lake.spark import run_together, start_spark
from jobs.stage import Run
from mtl_model.data.config import IdField

WINDOWS = (7, 28, 91)
NAMES = {"user": "user", "item": "item", "user_category": "user x category"}


@dataclass(frozen=True)
class Night:
    """The night of the log's last day, with features of some entities over some windows."""

    run: Run
    lake: Lake

    @property
    def day(self) -> date:
        return scoring_day(self.run)[0]

    def plans(self) -> list[list[StatePlan]]:
        """What is made together: of users, and each other by itself."""
        of_users, others = (state_plans(self.run.scenario, of_users) for of_users in (True, False))
        return [plans for plans in (of_users, *([plan] for plan in others)) if plans]

    def features(self, entity: str) -> Table:
        (table,) = (plan.features for plans in self.plans() for plan in plans if plan.entity == entity)
        return table

    def prepare(self) -> None:
        """Tiles of the whole log, the state as of the day before, and the night once."""
        build_event_days(self.run, self.lake)
        self._make_as_of(self.day - timedelta(days=1))
        self.make()

    def make(self) -> None:
        build_event_days(self.run, self.lake)  # of the last day: those before are there
        self._make_as_of(self.day)

    def _make_as_of(self, day: date) -> None:
        nights = [NightlyFeatures(self.run, self.lake.for_one_table(), plans) for plans in self.plans()]
        run_together([partial(night.build, day) for night in nights])


def plan_night(run: Run, entities: Sequence[str], windows: Sequence[int], last_events: bool = True) -> Night:
    """`last_events`: also the days since the last one of each type, whatever the windows."""
    measures: list[dict[str, object]] = []
    for window in windows:
        in_window = [
            *[{"measure": "count", "events": [name]} for name in EVENT_TYPES],
            *[{"measure": "mean", "of": "price", "events": [name]} for name in PRICED],
            {"measure": "sum", "of": "value", "events": ["purchase"]},
            *[{"measure": "rate", "events": [name], "per": [per]} for name, per in RATES],
        ]
        measures += [{**measure, "windows_days": [window]} for measure in in_window]
    if last_events:
        measures += [{"measure": "time_since", "events": [name]} for name in EVENT_TYPES]
    features = {
        "windows_days": [28],
        "half_lives_days": [28],
        "user_files_per_day": USER_FILES_PER_DAY,
        "declared": [{"entity": entity, **measure} for entity in entities for measure in measures],
    }
    config = FeaturesConfig.model_validate(features)
    model = run.scenario.model.model_copy(update={"fields": (IdField(kind="id", name="brand"),)})
    changed = replace(run, scenario=run.scenario.model_copy(update={"features": config, "model": model}))
    return Night(changed, changed.lake("features"))


def measure(contestants: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each contestant in each round, by turns."""
    seconds: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for taken, contestant in zip(seconds, contestants, strict=True):
            started = time.perf_counter()
            contestant()
            taken.append(time.perf_counter() - started)
    return seconds


def check_equal(night: Night, entity: str, rival_files: Path) -> None:
    """Compares the rows of a night with those of a rival.

    Raises:
        ValueError: if they differ.
    """
    keys, table = ", ".join(KEYS[entity]), night.features(entity)
    counts = ", ".join(column.name for column in table.columns[len(table.key) :])
    files = [local_path(path) for path in night.lake.files(table, (night.day, night.day))]
    ours = f"SELECT {keys}, {counts} FROM read_parquet({files})"
    theirs = f"FROM read_parquet('{rival_files}')"
    for left, right in ((ours, theirs), (theirs, ours)):
        query = f"SELECT count(*) FROM ({left} EXCEPT ALL {right})"
        ((differing,),) = duckdb.execute(query).fetchall()
        if differing:
            raise ValueError(f"{entity}: {differing} rows differ from {rival_files}")


def compare_with_rescan(run: Run, rival: Rescan, rounds: int) -> None:
    """Each entity by itself, against Spark."""
    for entity, name in NAMES.items():
        night = plan_night(run, [entity], WINDOWS)
        night.prepare()
        check_equal(night, entity, rival.with_spark(entity))
        ours, theirs = measure([night.make, partial(rival.with_spark, entity)], rounds)
        write_times(f"night / rescan {name}", ours, theirs, "ratio")


def compare_windows(run: Run, rounds: int) -> None:
    """A night with windows of 90 days, and one of 7: of all entities, then of each by itself.

    Their states are not the same, so that they cannot be measured by turns.
    """
    of_entities = {"": list(NAMES)} | {f" {name}": [entity] for entity, name in NAMES.items()}
    for name, entities in of_entities.items():
        seconds = []
        for windows in ((90,), (7,)):
            night = plan_night(run, entities, windows, last_events=False)
            night.prepare()
            seconds += measure([night.make], rounds)
        long, short = seconds
        write_times(f"90d / 7d{name}", long, short, "cost_ratio")


def compare_with_duckdb(run: Run, rival: Rescan, rounds: int) -> None:
    night = plan_night(run, list(NAMES), WINDOWS)
    night.prepare()
    for entity, files in zip(NAMES, rival.with_duckdb(list(NAMES)), strict=True):
        check_equal(night, entity, files)
    ours, theirs = measure([night.make, partial(rival.with_duckdb, list(NAMES))], rounds)
    write_times("features / duckdb", ours, theirs, "ratio")


def write_times(name: str, ours: list[float], rival: list[float], factor: str) -> None:
    ratio = median_ratio(rival, ours) if factor == "ratio" else median_ratio(ours, rival)
    write_result(name, 1000 * median(ours), 1000 * median(rival), "ms", **{factor: ratio})


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small log, one round")
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    parser.add_argument("--work-dir", type=Path, help="default: .nightshelf/bench_features, or -quick")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO)
    size, rounds = (QUICK, 1) if arguments.quick else (FULL, 5)
    default = REPO / ".nightshelf" / ("bench_features_quick" if arguments.quick else "bench_features")
    folder = (arguments.work_dir or default).absolute()
    run = make_log(folder, size)
    spark, day = start_spark(run.runtime), scoring_day(run)[0]
    rival = Rescan(spark, run.lake(), day, WINDOWS, folder / "rivals")
    compare_with_rescan(run, rival, rounds)
    compare_with_duckdb(run, rival, rounds)
    compare_windows(run, rounds)


if __name__ == "__main__":
    main()
