import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.lake.lake import Lake
from jobs.learn.config import TwinsConfig
from jobs.learn.tables import (
    DIAGNOSTICS,
    FIELD_ATTRIBUTIONS,
    FIELD_IMPORTANCE,
    MODEL_RUNS,
    TASK_METRICS,
    TWIN_GAINS,
)
from jobs.logs.tables import INGEST_COUNTS, QUARANTINE
from jobs.publish.night import compare_slices
from jobs.publish.plots import Scale, calibration_plot, format_number, learning_curve, sparkline
from jobs.publish.publish_run import publish_run
from jobs.publish.write_report import best_role, describe_missing_gains, report_path, write_report
from jobs.stage import make_run
from mtl_model.sharing.config import SingleTaskConfig
from tests.jobs.publish.conftest import WriteNight, replace_day

DAY = date(2017, 5, 1)
CURVE = [{"mean_prediction": 0.01, "mean_label": 0.02, "weight": 5.0},
         {"mean_prediction": 0.5, "mean_label": 0.4, "weight": 5.0}]  # fmt: skip


@pytest.fixture
def learned(lake: Lake, home: Path) -> Callable[[str], None]:
    """Writes what training and evaluation leave of a run."""

    def write(run_id: str) -> None:
        days = dict.fromkeys(("trained_through", "judged_from", "judged_to"), DAY)
        judgement = {"status": "promoted", "reason": "better than constant"}
        model = {"run_id": run_id, "model_version": "m1", "example_count": 12_345, **days, **judgement}
        replace_day(lake, MODEL_RUNS, DAY, [model])
        measured = {"run_id": run_id, "task": "purchase", "metric": "auc", "example_count": 99}
        replace_day(lake, TASK_METRICS, DAY, [
            {**measured, "model_version": "m1", "role": "candidate", "value": 0.8125},
            {**measured, "model_version": "m1", "role": "candidate", "value": 0.625, "slice": "new_users",
             "example_count": 42},
            {**measured, "model_version": "m1", "role": "candidate", "value": 0.375, "metric": "f1"},
            {**measured, "model_version": "m1", "role": "candidate", "slice": "old_users",
             "example_count": 57},
            {**measured, "model_version": "constant", "role": "constant", "value": 0.5},
        ])  # fmt: skip
        of_model = {"run_id": run_id, "model_version": "m1", "task": "purchase", "example_count": 99}
        adds = {**of_model, "mean": 0.0}
        replace_day(lake, FIELD_ATTRIBUTIONS, DAY, [
            {**adds, "field": "item_rank", "mean_absolute": 0.25},
            {**adds, "field": "user_due", "mean_absolute": 0.5},
        ])  # fmt: skip
        fields = {"brand": 0.02, "user_basket_count": 0.0825, "item_price_28d": -0.01}
        of_task = {**of_model, "metric": "auc", "value": 0.8}
        losses = [{**of_task, "field": field, "loss": loss} for field, loss in fields.items()]
        replace_day(lake, FIELD_IMPORTANCE, DAY, losses)
        gain = {"run_id": run_id, "gain": -0.02, "gain_low": -0.03, "gain_high": -0.01, "sample_rate": 0.1,
                "verdict": "negative transfer"}  # fmt: skip
        replace_day(lake, TWIN_GAINS, DAY, [
            {**gain, "task": "purchase", "metric": "auc", "mean": 0.8, "twin": 0.82},
            {**gain, "task": "average", "metric": "gain"},
        ])  # fmt: skip
        folder = home / "models" / "small" / "m1"
        folder.mkdir(parents=True)
        steps = [
            {"step": n, "loss": 1 / n, "task_losses": {"purchase": 2 / n}, "rows_per_second": 1e4}
            for n in (1, 2)
        ]
        (folder / "history.jsonl").write_text("\n".join(map(json.dumps, steps)))
        (folder / "metrics.json").write_text(json.dumps({"purchase": {"calibration_curve": CURVE}}))

    return write


def test_a_published_night_is_told_in_full(
    lake: Lake, write_night: WriteNight, record_stage: Callable[..., None], learned: Callable[[str], None]
) -> None:
    run = write_night(DAY, "r1")
    learned("r1")
    record_stage(run, "ingest")
    of_file = {"source": "transactions.parquet"}
    counts = {"read": 10, "kept": 9, "duplicate": 0, "late_held": 0, "quarantined": 1}
    replace_day(lake, INGEST_COUNTS, DAY, [{**of_file, **counts}])
    replace_day(lake, QUARANTINE, DAY, [{**of_file, "row": "{}", "reason": "price is negative"}])
    publish_run(run, lake)

    write_report(run, lake)

    page = report_path(run).read_text()
    expected = (
        "Monday, 1 May 2017", "published", "ingest", "price is negative", "every row has a reason",
        "12,345 examples", "better than constant", "0.812", "user basket count", "0.0825", "width: 24.2%",
        "Bread &amp; butter", "bought &lt;often&gt;",
        "<td>new users</td><td class=\"n soft\">42</td>", "0.625", "not defined", "f1", "0.375",
        "What the predictions are made of", "on 10 % of the rows", "-3.00 to -1.00 %", "negative transfer",
    )  # fmt: skip
    assert [text for text in expected if text not in page] == []
    assert page.index("user basket count") < page.index("brand") < page.index("item price 28d")
    assert page.count("<svg") == 3
    assert page.index("user due") < page.index("item rank")  # the field that adds most comes first
    assert "class=missing" not in page


def test_slices_have_the_ranking_metric_and_the_calibration_beside_those_of_all_rows() -> None:
    def row(metric: str, value: float | None, **more: Any) -> dict[str, Any]:
        of_task = {"task": "spend", "role": "candidate", "example_count": 9}
        return {**of_task, "metric": metric, "value": value, "slice": "all", **more}

    rows = [
        row("normalised_gini", 0.5),
        row("normalised_gini", 0.25, slice="new", example_count=4),
        row("normalised_gini", 0.9, slice="new", role="serving"),
        row("root_mean_squared_error", 7.0),
        row("calibration", 1.0),
        row("calibration", None, slice="new", example_count=4),
    ]

    found = compare_slices(rows, ["new", "empty"])

    of_new = {"task": "spend", "slice": "new"}
    assert found == [
        {**of_new, "metric": "normalised_gini", "value": 0.25, "example_count": 4, "whole": 0.5},
        {**of_new, "metric": "calibration", "value": None, "example_count": 4, "whole": 1.0},
    ]


def test_the_last_gains_over_twins_are_shown_with_their_night(lake: Lake, write_night: WriteNight) -> None:
    gain = {"task": "purchase", "metric": "auc", "verdict": "positive transfer", "sample_rate": 0.1}
    for age, gained in ((9, 0.5), (3, 0.0425)):
        day = DAY - timedelta(age)
        row = {**gain, "run_id": f"r{age}", "gain": gained, "gain_low": gained, "gain_high": gained}
        replace_day(lake, TWIN_GAINS, day, [row])

    write_report(write_night(DAY, "r1"), lake)

    page = report_path(write_night(DAY, "r1")).read_text()
    assert "Measured on 2017-04-28, the last night that did." in page
    assert "+4.25 %" in page
    assert "+50.00 %" not in page


@pytest.mark.parametrize(
    ("learn", "model", "text"),
    [
        pytest.param({}, {}, "the scenario has no learn.twins", id="off"),
        pytest.param(
            {"twins": TwinsConfig(sample_rate=0.1, every_days=7)}, {}, "next on 2017-05-07", id="not due yet"
        ),
        pytest.param({}, {"sharing": SingleTaskConfig(name="single_task", hidden_dims=(8,))},
                     "share nothing", id="twins themselves"),
    ],
)  # fmt: skip
def test_without_gains_over_twins_the_report_says_why(
    small_scenario: Path, home: Path, learn: dict[str, Any], model: dict[str, Any], text: str
) -> None:
    run = make_run(str(small_scenario), DAY, "r1")
    changes = {
        "learn": run.scenario.learn.model_copy(update={"twins": None, **learn}),
        "model": run.scenario.model.model_copy(update=model),
    }

    scenario = run.scenario.model_copy(update=changes)

    assert text in describe_missing_gains(replace(run, scenario=scenario))


def test_a_published_night_says_what_could_not_be_measured_and_why(
    lake: Lake, write_night: WriteNight
) -> None:
    run = write_night(DAY, "r1")
    outcome = {"run_id": "r1", "seconds": 2.0}
    replace_day(lake, DIAGNOSTICS, DAY, [
        {**outcome, "diagnostic": "twin_gains", "status": "failed", "error": "RuntimeError: <no memory>"},
        {**outcome, "diagnostic": "field_importance", "status": "measured"},
    ])  # fmt: skip
    publish_run(run, lake)

    write_report(run, lake)

    page = report_path(run).read_text()
    assert "published, with no twin gains, which could not be measured" in page
    assert "RuntimeError: &lt;no memory&gt;" in page
    assert "field importance failed" not in page


def test_a_page_needs_no_network(lake: Lake, write_night: WriteNight) -> None:
    run = write_night(DAY, "r1")
    publish_run(run, lake)

    write_report(run, lake)

    assert not re.findall(r"(?:src|href)=|url\(|@import|<script|https?://", report_path(run).read_text())


def test_a_failed_run_says_what_failed_and_what_is_missing(
    lake: Lake, small_scenario: Path, record_stage: Callable[..., None]
) -> None:
    run = make_run(str(small_scenario), DAY, "r1")
    record_stage(run, "ingest", "failed", "ValueError: <transactions.parquet> is cut")

    write_report(run, lake)

    page = report_path(run).read_text()
    expected = (
        "ingest failed; the tables published before keep serving",
        "&lt;transactions.parquet&gt; is cut",
        "Nothing was read from the log",
        "No model was trained",
        "No recommendations were made",
    )
    assert [text for text in expected if text not in page] == []


def test_a_run_of_which_nothing_is_known_still_has_a_report(lake: Lake, small_scenario: Path) -> None:
    run = make_run(str(small_scenario), DAY, "r1")

    write_report(run, lake)

    assert "not published" in report_path(run).read_text()


@pytest.mark.parametrize(
    ("row", "best"),
    [
        ({"metric": "auc", "candidate": 0.8, "constant": 0.5}, "candidate"),
        ({"metric": "log_loss", "candidate": 0.8, "constant": 0.5}, "constant"),
        ({"metric": "calibration", "candidate": 1.3, "serving": 0.9}, "serving"),
        ({"metric": "auc"}, None),
    ],
)
def test_the_best_role(row: dict[str, Any], best: str | None) -> None:
    assert best_role(row) == best


def test_a_learning_curve_leaves_out_what_is_no_number() -> None:
    plot = learning_curve("loss", [(1, 3.0), (2, float("nan")), (3, 1.0)])

    assert plot.path.count(",") == 2
    assert learning_curve("loss", [(1, float("nan"))]).path


def test_small_probabilities_are_drawn_on_a_logarithmic_scale() -> None:
    plot = calibration_plot("purchase", CURVE)

    assert plot is not None
    assert [tick.text for tick in plot.x_ticks] == ["0.01", "0.1"]
    assert calibration_plot("coupon", []) is None


def test_ticks_are_round_and_inside() -> None:
    ticks = Scale(0.03, 0.97, 0, 100).ticks()

    assert [tick.text for tick in ticks] == ["0.2", "0.4", "0.6", "0.8"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.03125, "0.0312"), (1.25, "1.25"), (41_300, "41,300"), (0.00001, "1e-05")]
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert format_number(value) == text


def test_a_sparkline_has_its_largest_value_at_the_top() -> None:
    points = [tuple(map(float, point.split(","))) for point in sparkline([1.0, 3.0, 2.0]).split()]

    assert points == [(2.0, 18.0), (45.0, 2.0), (88.0, 10.0)]
    assert sparkline([5.0]) == ""
