import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from jobs.lake.columns import Table
from jobs.lake.lake import Lake
from jobs.learn.diagnose_model import diagnose_model
from jobs.learn.tables import DIAGNOSTICS, FIELD_IMPORTANCE, TWIN_GAINS
from jobs.stage import Run, make_run

DAY = date(2017, 5, 1)
MODEL = {"model_version": "m1", "warm_started_from": None}

Measure = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(small_scenario: Path, lake: Lake) -> Run:
    return make_run(str(small_scenario), DAY, "r")


@pytest.fixture
def diagnose(run: Run, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, int]]:
    """Runs the diagnostics with other measures: of importance and of twins."""

    def diagnose(importance: Measure, twins: Measure) -> dict[str, int]:
        measures = {FIELD_IMPORTANCE: importance, TWIN_GAINS: twins}
        monkeypatch.setattr("jobs.learn.diagnose_model.MEASURES", measures)
        return dict(diagnose_model(run, lake, MODEL))

    return diagnose


def one_task(run: Run, lake: Lake, model: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"ds": run.date, "run_id": run.run_id, "task": "purchase"}]


def nothing(run: Run, lake: Lake, model: dict[str, Any]) -> list[dict[str, Any]]:
    return []


def broken(run: Run, lake: Lake, model: dict[str, Any]) -> list[dict[str, Any]]:
    raise RuntimeError("the twin of purchase ran out of memory")


def tasks_of(lake: Lake, table: Table) -> list[str]:
    return list(lake.read_arrow(table)["task"].to_pylist())


def test_what_fails_is_recorded_with_its_reason_and_the_others_are_measured(
    diagnose: Callable[..., dict[str, int]], lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        counts = diagnose(importance=broken, twins=one_task)

    assert counts == {"field_importance": 0, "twin_gains": 1}
    assert tasks_of(lake, TWIN_GAINS) == ["purchase"]
    outcomes = {row["diagnostic"]: row for row in lake.read_arrow(DIAGNOSTICS).to_pylist()}
    assert {name: row["status"] for name, row in outcomes.items()} == {
        "field_importance": "failed",
        "twin_gains": "measured",
    }
    assert outcomes["field_importance"]["error"] == "RuntimeError: the twin of purchase ran out of memory"
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("again", "status", "tasks"),
    [
        pytest.param(one_task, "measured", ["purchase"], id="measured once more"),
        pytest.param(broken, "failed", [], id="failed"),
        pytest.param(nothing, "skipped", [], id="not due"),
    ],
)
def test_a_rerun_replaces_what_the_run_had_measured(
    diagnose: Callable[..., dict[str, int]], lake: Lake, again: Measure, status: str, tasks: list[str]
) -> None:
    other_run = {"ds": DAY, "run_id": "other", "task": "spend"}
    lake.append(TWIN_GAINS, [other_run], replacing={"run_id": "other"})
    diagnose(importance=broken, twins=one_task)

    diagnose(importance=one_task, twins=again)

    assert sorted(tasks_of(lake, TWIN_GAINS)) == sorted(["spend", *tasks])
    outcomes = {row["diagnostic"]: row["status"] for row in lake.read_arrow(DIAGNOSTICS).to_pylist()}
    assert outcomes == {"field_importance": "measured", "twin_gains": status}


def test_an_interruption_is_no_failure_to_go_on_from(diagnose: Callable[..., dict[str, int]]) -> None:
    def interrupted(run: Run, lake: Lake, model: dict[str, Any]) -> list[dict[str, Any]]:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        diagnose(importance=one_task, twins=interrupted)
