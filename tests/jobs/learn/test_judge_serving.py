"""A night's model beside a serving one that is damaged, or not like it; small models of random weights."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.examples.tables import examples
from jobs.lake.lake import Lake
from jobs.learn.evaluate_model import evaluate_model
from jobs.learn.tables import FIELD_IMPORTANCE, MODEL_RUNS, TASK_METRICS
from jobs.learn.train_model import models_folder
from jobs.learn.training_days import plan_days
from jobs.publish.tables import PUBLICATIONS
from jobs.publish.write_report import report_path, write_report
from jobs.recommend.choose_model import choose_model
from jobs.stage import Run, make_run
from mtl_model.config import DataSpec, ModelConfig, ModelDescription, NumericStatistics
from mtl_model.model_folder import write_manifest
from tests.jobs.publish.conftest import recommend, replace_day
from tests.mtl_model.small_model import write_folder
from tests.small_log import FIRST_DAY

CATEGORIES = ("GROCERY", "MEAT")


def describe(run: Run, **changes: Any) -> ModelDescription:
    content = run.scenario.model.model_dump(mode="json") | changes
    model = ModelConfig.model_validate_json(json.dumps(content))
    numbers = {field.name: NumericStatistics(mean=1.0, std=2.0) for field in model.numeric_fields}
    names = {task.name: CATEGORIES for task in model.tasks if task.head == "multilabel"}
    data = DataSpec(numeric_statistics=numbers, label_names=names, negative_sampling_rate=0.5)
    return ModelDescription(model=model, data=data)


def register(run: Run, lake: Lake, version: str, status: str, days_before: int) -> None:
    of_run = replace(run, date=run.date - timedelta(days_before), run_id=f"of {version}".replace(" ", "-"))
    row = {"ds": of_run.date, "run_id": of_run.run_id, "model_version": version, "status": status}
    days = dict.fromkeys(("trained_through", "judged_from", "judged_to"), of_run.date)
    times = {"trained_at": datetime(2017, 5, 1, tzinfo=UTC), "example_count": 9}
    lake.append(MODEL_RUNS, [{**row, **days, **times}], replacing={"run_id": of_run.run_id})


@pytest.fixture
def run(lake: Lake, small_scenario: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A night whose model is trained, on examples of two users; the model `old` serves, which is like it."""
    run = make_run(str(small_scenario), FIRST_DAY + timedelta(120), "of-new")
    day = plan_days(run).validation[0]
    rows = [
        {"example_id": number, "user_id": f"u{number % 2}", "item_id": f"i{number}", "sampling_rate": 1.0}
        | {"example_kind": "user_item", "from_candidates": True, "label_purchase": number // 2 % 2}
        for number in range(8)
    ]
    replace_day(lake, examples(run.scenario), day, rows)
    for version, status, before in (("older", "promoted", 2), ("old", "promoted", 1), ("new", "trained", 0)):
        register(run, lake, version, status, before)
        write_folder(models_folder(run) / version, describe(run))
    metrics = {"purchase": {"auc": 0.9, "rows": 8}}
    (models_folder(run) / "new" / "metrics.json").write_text(json.dumps(metrics))
    write_manifest(models_folder(run) / "new")
    monkeypatch.setattr("jobs.learn.diagnose_model.MEASURES", {FIELD_IMPORTANCE: lambda *_: []})
    return run


def judged(run: Run, lake: Lake) -> dict[str, Any]:
    """The registry's row of the new model after `evaluate`."""
    evaluate_model(run, lake)
    rows = lake.read_arrow(MODEL_RUNS, (run.date, run.date)).to_pylist()
    return dict(next(row for row in rows if row["run_id"] == run.run_id))


def serving_metrics(lake: Lake) -> dict[str, float]:
    """Of the task purchase."""
    rows = lake.read_arrow(TASK_METRICS).to_pylist()
    of_serving = [row for row in rows if row["role"] == "serving" and row["slice"] == "all"]
    return {row["metric"]: row["value"] for row in of_serving if row["task"] == "purchase"}


def flip_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def write_report_of(run: Run, lake: Lake) -> str:
    recommend(lake, run.date, run.run_id)
    publication = {
        "run_id": run.run_id,
        "kind": "published",
        "published_at": datetime(2017, 5, 2, tzinfo=UTC),
    }
    lake.append(PUBLICATIONS, [{"ds": run.date, **publication}], replacing={"run_id": run.run_id})
    write_report(run, lake)
    return report_path(run).read_text()


def test_a_serving_model_like_the_new_one_is_compared_in_full(run: Run, lake: Lake) -> None:
    row = judged(run, lake)

    assert (row["compared_with"], row["not_compared"]) == ("old", None)
    assert "the serving model has 0." in row["reason"]
    assert serving_metrics(lake)["auc"] is not None
    page = write_report_of(run, lake)
    assert 'class="status good">published<' in page
    assert "ompared" not in page


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(shutil.rmtree, "is gone", id="the folder deleted"),
        pytest.param(flip_bit, "changed ['model.safetensors']", id="a bit of the weights"),
        pytest.param(
            lambda folder: (folder / "model.json").write_text("{"), "changed ['model.json']", id="json"
        ),
        pytest.param(
            lambda folder: next((folder / "vocabularies").iterdir()).unlink(),
            "missing ['vocabularies",
            id="ids",
        ),
    ],
)
def test_a_damaged_serving_model_counts_as_absent_and_that_is_said(
    run: Run, lake: Lake, spoil: Callable[[Path], object], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(models_folder(run) / "old")

    row = judged(run, lake)

    assert row["status"] == "promoted"
    assert "there is no model to compare with" in row["reason"]
    assert row["compared_with"] is None
    assert row["not_compared"].startswith("the serving model old counts as absent: ")
    assert why in row["not_compared"]
    assert row["not_compared"] in caplog.text
    assert serving_metrics(lake) == {}
    page = write_report_of(run, lake)
    assert 'class="status bad">published, but tonight&#39;s model was not compared' in page
    assert '<b class="bad">Not compared with the model that served</b>: the serving model old counts' in page


def test_what_the_new_model_has_no_more_is_left_out_and_that_is_said(
    run: Run, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    content = run.scenario.model.model_dump(mode="json")
    task = {"name": "gone", "head": "binary", "label": "label_gone", "loss_weight": 1.0}
    fields = [*content["fields"], {"kind": "numeric", "name": "user_gone_days"}]
    shutil.rmtree(models_folder(run) / "old")
    earlier = describe(run, tasks=[*content["tasks"], task], fields=fields)
    write_folder(models_folder(run) / "old", earlier)

    row = judged(run, lake)

    gaps = [
        f"the serving model old: its {gap}"
        for gap in ("task gone is no longer one", "field user_gone_days is null now")
    ]
    assert (row["status"], row["compared_with"]) == ("promoted", "old")
    assert row["not_compared"] == "; ".join(gaps)
    assert all(gap in caplog.text for gap in gaps)
    assert serving_metrics(lake)["auc"] is not None
    page = write_report_of(run, lake)
    assert (
        'class="status warn">published, with a part of the serving model that could not be compared' in page
    )
    assert (
        '<b class="bad">Compared in part with the model that served</b>: the serving model old: its task'
        in page
    )


def test_a_serving_model_without_the_task_that_decides_is_red(run: Run, lake: Lake) -> None:
    tasks = [
        task for task in run.scenario.model.model_dump(mode="json")["tasks"] if task["name"] != "purchase"
    ]
    shutil.rmtree(models_folder(run) / "old")
    write_folder(models_folder(run) / "old", describe(run, tasks=tasks))

    row = judged(run, lake)

    assert "the serving model has none to compare" in row["reason"]
    assert row["not_compared"] == "the serving model old: it has no task purchase"
    assert 'class="status bad">published, but' in write_report_of(run, lake)


def test_the_newest_model_that_can_score_makes_the_shelves(
    run: Run, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    folder = models_folder(run)
    assert choose_model(run, lake) == "old"

    flip_bit(folder / "old")
    assert choose_model(run, lake) == "older"
    assert "model old cannot make tonight's shelves" in caplog.text

    shutil.rmtree(folder / "older")
    tasks = [task for task in run.scenario.model.model_dump(mode="json")["tasks"] if task["name"] != "spend"]
    write_folder(folder / "older", describe(run, tasks=tasks))
    with pytest.raises(ValueError, match=r"none of the 2 .*; older: it does not have the tasks \['spend'\]"):
        choose_model(run, lake)


def test_a_model_of_another_kind_of_field_makes_no_shelves(run: Run, lake: Lake) -> None:
    content = run.scenario.model.model_dump(mode="json")
    name = run.scenario.model.numeric_fields[-1].name
    fields = [field for field in content["fields"] if field["name"] != name] + [{"kind": "id", "name": name}]
    for version in ("old", "older"):
        shutil.rmtree(models_folder(run) / version)
        write_folder(models_folder(run) / version, describe(run, fields=fields, slices=[]))

    with pytest.raises(ValueError, match=f"old: it reads field {name} as id, which is number now"):
        choose_model(run, lake)


def test_a_field_that_is_gone_is_null_on_the_shelves_and_that_is_said(
    run: Run, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(models_folder(run) / "old")
    fields = [
        *run.scenario.model.model_dump(mode="json")["fields"],
        {"kind": "numeric", "name": "user_gone_days"},
    ]
    write_folder(models_folder(run) / "old", describe(run, fields=fields))

    assert choose_model(run, lake) == "old"
    assert "model old serves without the fields ['user_gone_days']" in caplog.text
