"""One published night of the small log, in a home that is built once for all tests of a run.

Iceberg's metadata name files by absolute paths, so a home cannot be copied: what this one publishes is kept
beside it, for comparison with nights in homes of their own. `jobs/test_whole_night.py` alone adds nights.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.small_log import write_scenario, write_small_log

DAY = date(2017, 4, 1)  # as early as two campaigns have closed
PUBLISHED = ["recommendations", "coupon_recommendations", "item_complements", "user_profiles", "task_metrics"]

Content = dict[str, list[str]]  # table -> its rows of some days, sorted, without the names of the runs


@dataclass(frozen=True)
class PublishedNight:
    scenario: Path
    home: Path
    content: Content


def write_scenario_once(folder: Path) -> Path:
    """The YAML of the night; of processes that ask at once, one writes the log."""
    scenario = folder / "small.yaml"
    with _held(folder):
        if not scenario.exists():
            log = write_small_log(folder / "log")
            write_scenario(
                scenario, log,
                recommend={"reasons": {"task": "purchase"}, "user_parts": 2},  # each loads the model
                learn={"twins": {"sample_rate": 1.0, "every_days": 7}},  # on Sundays, and DAY is a Saturday
            )  # fmt: skip
    return scenario


def publish_once(scenario: Path) -> PublishedNight:
    """The night of DAY, in a folder beside its scenario; of processes that ask at once, one runs it."""
    home, content = scenario.with_name("home"), scenario.with_name("content.json")
    with _held(scenario.parent):
        if not content.exists():
            _publish(scenario, home)
            content.write_text(json.dumps(read_published(home, [DAY])), encoding="utf-8")
    return PublishedNight(scenario, home, json.loads(content.read_text(encoding="utf-8")))


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _publish(scenario: Path, home: Path) -> None:
    from jobs.cli import app

    shutil.rmtree(home, ignore_errors=True)  # where another process has failed
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTSHELF_HOME", str(home))
        result = CliRunner().invoke(app, ["run", "--scenario", str(scenario), "--date", str(DAY)])
    assert result.exit_code == 0, result.stderr


def read_published(home: Path, days: Sequence[date]) -> Content:
    from jobs.lake.catalog import open_catalog
    from jobs.lake.lake import Lake
    from jobs.publish.query import run_query

    lake = Lake(open_catalog(home, {}), "small", home)
    wanted = ", ".join(f"'{day}'" for day in days)
    query = "SELECT * EXCLUDE (run_id) FROM {} WHERE ds IN (" + wanted + ") ORDER BY ALL"
    return {table: list(map(repr, run_query(lake, query.format(table)).rows)) for table in PUBLISHED}
