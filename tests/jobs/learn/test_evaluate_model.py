import json
from pathlib import Path
from typing import Any

import pytest

from jobs.config import load_scenario
from jobs.lake.lake import Lake
from jobs.learn.config import PromotionRule
from jobs.learn.evaluate_model import decide, evaluate_model, metric_rows
from jobs.learn.tables import FIELD_IMPORTANCE, MODEL_RUNS
from jobs.learn.train_model import models_folder
from jobs.stage import Run, make_run

RULE = PromotionRule(task="purchase", metric="auc", min_gain_over_constant=0.02, max_loss_to_serving=0.01)
GINI_RULE = RULE.model_copy(update={"metric": "normalised_gini"})


def metrics(value: float | None, name: str = "auc", **more: Any) -> dict[str, dict[str, Any]]:
    return {"purchase": {name: value, **more}}


@pytest.mark.parametrize(
    ("candidate", "serving", "rule", "status", "reason"),
    [
        pytest.param(metrics(0.7), None, RULE, "promoted", "no model to compare with", id="the first model"),
        pytest.param(metrics(0.52), None, RULE, "promoted", "0.5200", id="just above the constant"),
        pytest.param(metrics(0.519), None, RULE, "rejected", "below 0.5200: the constant", id="too near it"),
        pytest.param(metrics(None), None, RULE, "rejected", "is not defined", id="nothing to judge on"),
        pytest.param(metrics(0.7), metrics(0.6), RULE, "promoted", "serving model has 0.6000", id="better"),
        pytest.param(metrics(0.695), metrics(0.7), RULE, "promoted", "has 0.7000", id="hardly worse"),
        pytest.param(
            metrics(0.68), metrics(0.7), RULE, "rejected", "more than max_loss", id="too much worse"
        ),
        pytest.param(
            metrics(0.7), metrics(None), RULE, "promoted", "serving model has none", id="theirs not defined"
        ),
        pytest.param(
            metrics(0.7),
            {"click": {"auc": 0.9}},
            RULE,
            "promoted",
            "serving model has none",
            id="they lack the task",
        ),
        pytest.param(
            metrics(0.6, constant={"auc": 0.59}),
            None,
            RULE,
            "rejected",
            "below 0.6100",
            id="a measured constant",
        ),
        pytest.param(
            metrics(0.01, "normalised_gini"),
            None,
            GINI_RULE,
            "rejected",
            "below 0.0200",
            id="gini of a constant is 0",
        ),
    ],
)
def test_the_promotion_rule(
    candidate: dict[str, dict[str, Any]],
    serving: dict[str, dict[str, Any]] | None,
    rule: PromotionRule,
    status: str,
    reason: str,
) -> None:
    decided, why = decide(candidate, serving, rule)

    assert decided == status
    assert reason in why


def test_metrics_become_one_row_each_and_undefined_ones_null(home: Path) -> None:
    run = make_run("grocery", load_scenario("grocery").logs.first_day, "r")
    new_users = {"auc": 0.6, "rows": 2, "calibration_curve": []}
    measured = {
        "purchase": {
            "auc": 0.7,
            "gauc": None,
            "rows": 9,
            "constant": {"auc": 0.5},
            "slices": {"new_users": new_users},
        }
    }

    rows = metric_rows(run, "m1", "candidate", measured)

    values = {(row["slice"], row["metric"]): row["value"] for row in rows}
    assert values == {("all", "auc"): 0.7, ("all", "gauc"): None, ("new_users", "auc"): 0.6}
    assert {(row["run_id"], row["model_version"], row["role"], row["task"]) for row in rows} == {
        ("r", "m1", "candidate", "purchase")
    }
    assert [row["example_count"] for row in rows] == [9, 9, 2]


def test_the_promotion_is_on_record_before_anything_is_explained(
    lake: Lake, small_scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(str(small_scenario), load_scenario(str(small_scenario)).logs.first_day, "r")
    model = {"ds": run.date, "run_id": "r", "model_version": "m1", "status": "trained"}
    lake.append(MODEL_RUNS, [model], replacing={"run_id": "r"})
    folder = models_folder(run) / "m1"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics(0.7, rows=9)))
    found: list[str] = []

    def explain(run: Run, lake: Lake, model: dict[str, Any]) -> list[dict[str, Any]]:
        found.extend(lake.read_arrow(MODEL_RUNS)["status"].to_pylist())
        raise RuntimeError("no memory")

    monkeypatch.setattr("jobs.learn.diagnose_model.MEASURES", {FIELD_IMPORTANCE: explain})

    for _ in range(2):  # a rerun of the stage finds the model promoted by itself
        counts = evaluate_model(run, lake)

    assert found == ["promoted"] * 2
    assert lake.read_arrow(MODEL_RUNS)["status"].to_pylist() == ["promoted"]
    assert counts == {"task_metrics": 1, "field_importance": 0}
