"""The registry against real tables: what stages have read, and what a changed setting builds anew."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from jobs.commands.planning import plan_run
from jobs.config import CONF_FOLDER, load_scenario
from jobs.examples.tables import examples
from jobs.features.anchors import training_anchor_days
from jobs.lake.days import days_between
from jobs.stage import RUN_STAGES, make_run, run_stage
from jobs.stages import BULK_STAGES, STAGES, all_tables, load_stage, made_tables
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


def with_change(scenario: Path, key: str, value: Any) -> str:
    """The scenario once more with another value of a key such as model.training.seed."""
    content = yaml.safe_load(scenario.read_text(encoding="utf-8"))
    *sections, name = key.split(".")
    part = content
    for section in sections:
        part = part[section]
    part[name] = value
    path = scenario.with_name(f"{name}.yaml")
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


def planned(scenario: str) -> dict[str, tuple[int, str]]:
    """Table -> how many days of it a run would build, and because of which settings."""
    builds = [days for step in plan_run(scenario, DAY).steps for days in step.builds]
    return {table: (days.build, ", ".join(days.changed)) for days in builds for table in days.tables}


@pytest.mark.parametrize(
    "name", sorted(file.stem for file in CONF_FOLDER.glob("*.yaml") if file.stem != "local")
)
def test_a_table_is_made_from_tables_above_it(name: str) -> None:
    scenario = load_scenario(name)
    names = list(made_tables(scenario))

    for table, made in made_tables(scenario).items():
        assert {read.table for read in made.reads} <= {*names[: names.index(table)]}, table
    for stage in STAGES.values():
        tables = {*stage.reads(scenario), *stage.writes(scenario)} - {"all of the run"}
        assert tables <= {table.name for table in all_tables(scenario)}, stage.name


@pytest.mark.parametrize("stage", BULK_STAGES)
def test_a_stage_reads_what_the_registry_says(scenario: Path, stage: str) -> None:
    run = make_run(str(scenario), DAY)
    lake, reads = run.lake(), {*STAGES[stage].reads(run.scenario)}

    found = set()
    made = [made.table for made in STAGES[stage].makes(run.scenario)]
    for table in made:
        snapshot = loaded.current_snapshot() if (loaded := lake.find(table)) else None
        if snapshot and snapshot.summary:
            found |= {*json.loads(snapshot.summary["nightshelf.inputs"] or "{}")}

    assert found - {table.name for table in made} - {RUN_STAGES.name} == reads


def test_a_changed_learning_rate_builds_no_example_but_those_of_the_newest_anchors(scenario: Path) -> None:
    changed = with_change(scenario, "model.training.learning_rate", 0.5)
    run = make_run(changed, DAY, "r2")
    first, last = training_anchor_days(run)
    lake = run.lake("examples")
    before = {day: lake.files(examples(run.scenario), (day, day)) for day in days_between(first, last)}

    run_stage("examples", load_stage("examples"), run)

    after = {day: lake.files(examples(run.scenario), (day, day)) for day in days_between(first, last)}
    assert len(before) > 3
    assert [day for day in before if before[day] != after[day]] == [last]


@pytest.mark.parametrize(
    ("key", "value", "tables"),
    [
        pytest.param("model.training.seed", 2, (), id="training"),
        pytest.param("publish.checks", [], (), id="publication"),
        pytest.param("candidates.popular", 3, ("candidates", "candidate_recall", "examples"), id="a quota"),
    ],
)
def test_plan_says_which_setting_builds_which_tables(
    scenario: Path, key: str, value: Any, tables: tuple[str, ...]
) -> None:
    before = planned(str(scenario))

    after = planned(with_change(scenario, key, value))

    rebuilt = {table for table in after if after[table] != before[table]}
    anchors = training_anchor_days(make_run(str(scenario), DAY))
    assert rebuilt == {*tables}
    assert {after[table] for table in tables} <= {(len(days_between(*anchors)), key)}
    assert {days for days, _ in before.values()} == {1}


def test_plan_names_the_fields_of_the_model_that_examples_carry(scenario: Path) -> None:
    fields = yaml.safe_load(scenario.read_text(encoding="utf-8"))["model"]["fields"]
    rarer = [{**field, "min_count": 7} if field["kind"] == "id" else field for field in fields]

    assert planned(with_change(scenario, "model.fields", rarer)) == planned(str(scenario))
    fewer = planned(with_change(scenario, "model.fields", fields[:-1]))
    assert fewer["examples"][1] == "model.fields"
    assert fewer["candidates"][1] == ""
