from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.commands.planning import plan_run
from jobs.features.anchors import training_anchor_days
from jobs.lake.days import days_between
from jobs.stage import make_run
from jobs.stage_tables import RUN_DATE
from jobs.stages import made_tables
from tests.jobs.taobao_log import write_taobao_log, write_taobao_scenario

DAY = date(2017, 12, 1)


@pytest.fixture
def scenario(home: Path, tmp_path: Path) -> Path:
    """A home whose tables have all their days on record, without rows."""
    path = write_taobao_scenario(tmp_path / "small.yaml", write_taobao_log(tmp_path / "log"))
    run = make_run(str(path), DAY)
    lake = run.lake()
    for made in made_tables(run.scenario).values():
        if made.days is not RUN_DATE:
            lake.commit(made.table, made.days.of(run), [])
    return path


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


def test_of_what_is_there_a_run_builds_its_newest_day_once_more(scenario: Path) -> None:
    assert {*planned(str(scenario)).values()} == {(1, "")}


@pytest.mark.parametrize(
    ("key", "value", "tables"),
    [
        pytest.param("model.training.learning_rate", 0.5, (), id="training"),
        pytest.param("publish.checks", [], (), id="publication"),
        pytest.param("candidates.popular", 3, ("candidates", "candidate_recall", "examples"), id="a quota"),
    ],
)
def test_plan_says_which_setting_builds_which_tables(
    scenario: Path, key: str, value: Any, tables: tuple[str, ...]
) -> None:
    found = planned(with_change(scenario, key, value))

    anchors = training_anchor_days(make_run(str(scenario), DAY))
    rebuilt = dict.fromkeys(tables, (len(days_between(*anchors)), key))
    assert found == planned(str(scenario)) | rebuilt


def test_examples_are_built_anew_for_other_fields_but_not_for_other_vocabularies(scenario: Path) -> None:
    fields = yaml.safe_load(scenario.read_text(encoding="utf-8"))["model"]["fields"]
    rarer = [{**field, "min_count": 7} if field["kind"] == "id" else field for field in fields]
    assert rarer != fields

    assert planned(with_change(scenario, "model.fields", rarer)) == planned(str(scenario))
    fewer = planned(with_change(scenario, "model.fields", fields[:-1]))
    assert {table for table, (_, why) in fewer.items() if why} == {"examples", "campaign_examples"}
    assert fewer["examples"][1] == "model.fields"


def test_late_rows_and_days_that_were_never_built_are_counted(scenario: Path) -> None:
    run = make_run(str(scenario), DAY)
    first, last = training_anchor_days(run)
    run.lake().forget_days(made_tables(run.scenario)["examples"].table, [(first, first)])

    (examples,) = [
        days
        for step in plan_run(str(scenario), DAY).steps
        for days in step.builds
        if "examples" in days.tables
    ]

    wanted = len(days_between(first, last))
    assert str(examples) == f"2 days, {wanted - 1} of {wanted} there: examples"
