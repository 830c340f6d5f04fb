"""The registry against real tables: what stages have read, and what a changed setting builds anew."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from jobs.examples.tables import examples
from jobs.features.anchors import training_anchor_days
from jobs.lake.days import days_between
from jobs.stage import RUN_STAGES, make_run, run_stage
from jobs.stages import BULK_STAGES, STAGES, load_stage, made_tables
from tests.jobs.taobao_log import write_taobao_log, write_taobao_scenario

DAY = date(2017, 12, 1)


@pytest.fixture(scope="module")
def scenario(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which the bulk stages of a small log have run."""
    folder = tmp_path_factory.mktemp("rebuilds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTSHELF_HOME", str(folder / "home"))
        path = write_taobao_scenario(folder / "small.yaml", write_taobao_log(folder / "log"))
        run = make_run(str(path), DAY, "r1")
        for stage in BULK_STAGES:
            run_stage(stage, load_stage(stage), run)
        yield path


@pytest.mark.parametrize("stage", BULK_STAGES)
def test_a_stage_reads_what_the_registry_says(scenario: Path, stage: str) -> None:
    run = make_run(str(scenario), DAY)
    lake, tables = run.lake(), made_tables(run.scenario)
    own = {made.table.name for made in STAGES[stage].makes(run.scenario)}
    written = {name for name, made in tables.items() if lake.snapshot_id(made.table)}  # not the empty ones

    found, expected = set(), set()
    for name in own & written:
        snapshot = lake.load(tables[name].table).current_snapshot()
        assert snapshot is not None
        assert snapshot.summary is not None
        found |= {*json.loads(snapshot.summary["nightshelf.inputs"] or "{}")}
        expected |= {read.table for read in tables[name].reads if read.table in written}

    assert found - own - {RUN_STAGES.name} == expected - own


def test_a_changed_learning_rate_builds_no_example_but_those_of_the_newest_anchors(scenario: Path) -> None:
    content = yaml.safe_load(scenario.read_text(encoding="utf-8"))
    content["model"]["training"]["learning_rate"] = 0.5
    scenario.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    run = make_run(str(scenario), DAY, "r2")
    first, last = training_anchor_days(run)
    lake = run.lake("examples")
    before = {day: lake.files(examples(run.scenario), (day, day)) for day in days_between(first, last)}

    run_stage("examples", load_stage("examples"), run)

    after = {day: lake.files(examples(run.scenario), (day, day)) for day in days_between(first, last)}
    assert len(before) > 3
    assert [day for day in before if before[day] != after[day]] == [last]
