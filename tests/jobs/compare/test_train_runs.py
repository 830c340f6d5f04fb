import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.compare.combinations import Combination, list_combinations
from jobs.compare.judge_run import RESULT, read_influence, read_result
from jobs.compare.train_runs import Plan, PlannedRun, comparison_folder, hold_comparison, plan_run, train_runs
from jobs.compare.transfer import AVERAGE, compare_runs
from jobs.compare.write_page import describe_judging, write_page
from jobs.config import load_scenario
from jobs.exit_codes import RunHeldError
from jobs.stage import Run
from mtl_model.config import TrainSpec
from mtl_model.evaluation.evaluate import evaluate
from mtl_model.training.config import EarlyStoppingConfig


def plan(run: Run, base_spec: TrainSpec, *combinations: Combination) -> Plan:
    folder = comparison_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    runs = [plan_run(folder, base_spec, combination) for combination in combinations]
    return Plan(runs, example_count=2000, seconds_per_run=None)


def test_runs_are_trained_judged_kept_and_told_of(run: Run, base_spec: TrainSpec) -> None:
    tasks = ("purchase", "interest")
    twins = [Combination("single_task", "fixed", 7, twin_of=task) for task in tasks]
    joint = Combination("mmoe", "fixed", 7)
    two_tasks = [task for task in base_spec.model.tasks if task.name in tasks]
    base_spec = base_spec.model_copy(
        update={"model": base_spec.model.model_copy(update={"tasks": tuple(two_tasks)})}
    )
    trained: list[str] = []

    def note(planned: PlannedRun, number: int, total: int) -> None:
        trained.append(f"{planned.combination.name} {number}/{total}")

    train_runs(run, plan(run, base_spec, twins[0]), note)
    whole = plan(run, base_spec, *twins, joint)
    train_runs(run, whole, note)  # as after a kill
    weights = whole.runs[1].spec.output_dir / "model.safetensors"
    written = weights.stat().st_mtime_ns
    (whole.runs[1].folder / RESULT).unlink()
    train_runs(run, whole, note)  # as after a kill while it was judged
    rows = compare_runs(whole.runs)
    page = write_page(run, whole.runs, rows)

    assert trained == [
        "twin-purchase-seed7 1/1",
        "twin-interest-seed7 1/2",
        "mmoe-fixed-seed7 2/2",
        "twin-interest-seed7 1/1",
    ]
    assert weights.stat().st_mtime_ns == written
    assert whole.to_do == []
    judged = evaluate(whole.runs[2].spec.output_dir, base_spec.validation_files, weights="judged")
    result = read_result(whole.runs[2].folder)
    assert result.values["purchase"] == pytest.approx(judged["purchase"]["auc"])
    assert {gate: len(experts) for gate, experts in result.expert_loads.items()} == dict.fromkeys(tasks, 3)
    assert result.probabilities["purchase"]["log_loss"] == pytest.approx(judged["purchase"]["log_loss"])
    assert rows[0]["twin_parameters"] > rows[0]["parameters"] / 2
    assert [len(row) for row in result.cosines] == [2, 2]
    assert list(read_influence(whole.runs[0].folder)) == ["purchase"]
    assert [(row["task"], row["metric"]) for row in rows] == [
        ("purchase", "auc"),
        ("interest", "auc"),
        (AVERAGE, "gain"),
    ]
    assert rows[0]["mean"] == result.values["purchase"]
    assert rows[0]["gain"] == pytest.approx(rows[0]["mean"] / rows[0]["twin"] - 1)
    assert rows[0]["gain_low"] < rows[0]["gain"] < rows[0]["gain_high"]
    html = page.read_text()
    assert "expert 3" in html
    assert "judged on the newest 7 days of closed anchors, which" in html
    assert f"{rows[0]['twin_parameters']:,}" in html
    assert f"{rows[1]['twin_log_loss']:.4f}" in html
    assert "as the scenario" in html
    assert html.count("<svg") == 3 + 1  # gains of the average and of two tasks, one against the other
    assert not re.search(r"https?://|<script|<link", html)  # one file, no network


def test_other_settings_or_examples_are_another_run(run: Run, base_spec: TrainSpec, tmp_path: Path) -> None:
    other_examples = tmp_path / "other.parquet"
    pq.write_table(pq.read_table(base_spec.train_files[0]), other_examples)
    slower = base_spec.model.training.model_copy(update={"learning_rate": 0.005})
    combination = Combination("mmoe", "fixed", 1)

    specs = [
        base_spec,
        base_spec.model_copy(update={"train_files": (other_examples,)}),
        base_spec.model_copy(update={"model": base_spec.model.model_copy(update={"training": slower})}),
    ]

    folders = {plan_run(tmp_path, spec, combination).folder for spec in [*specs, base_spec]}
    assert len(folders) == 3


def test_every_combination_has_a_spec_of_the_same_examples(run: Run, base_spec: TrainSpec) -> None:
    combinations = list_combinations(base_spec.model, ["shared_bottom", "ple"], ["fixed", "famo"], 2)
    final = {"final_files": base_spec.validation_files, "new_values": base_spec.vocabularies}

    planned = plan(run, base_spec.model_copy(update=final), *combinations).runs

    assert len({one.folder for one in planned}) == len(combinations) == 2 * (4 + 4)
    assert {one.spec.train_files for one in planned} == {base_spec.train_files}
    assert all(one.spec.vocabularies == base_spec.vocabularies for one in planned)
    assert not any(one.spec.final_files or one.spec.new_values for one in planned)
    twin = next(one for one in planned if one.combination.twin_of == "purchase")
    assert [task.name for task in twin.spec.model.tasks] == ["purchase"]
    assert twin.spec.label_names == {}


@pytest.mark.parametrize("is_judged", [True, False])
def test_a_twin_stops_early_only_where_rows_judge_its_task(
    base_spec: TrainSpec, tmp_path: Path, is_judged: bool
) -> None:
    stopping = EarlyStoppingConfig(task="purchase", metric="auc", patience=1)
    training = base_spec.model.training.model_copy(update={"early_stopping": stopping})
    rows = pq.read_table(base_spec.validation_files[0])
    if not is_judged:
        position = rows.column_names.index("label_coupon")
        nulls = pa.nulls(rows.num_rows, rows.schema.field(position).type)
        rows = rows.set_column(position, "label_coupon", nulls)
    pq.write_table(rows, tmp_path / "judging.parquet")
    model = base_spec.model.model_copy(update={"training": training})
    changes = {"model": model, "validation_files": (tmp_path / "judging.parquet",)}
    spec = base_spec.model_copy(update=changes)

    twin = plan_run(tmp_path, spec, Combination("single_task", "fixed", 1, twin_of="coupon"))

    assert (twin.spec.model.training.early_stopping is not None) == is_judged


def test_two_comparisons_of_a_date_do_not_run_at_once(run: Run) -> None:
    with (
        hold_comparison(run),
        pytest.raises(RunHeldError, match="is being compared already"),
        hold_comparison(run),
    ):
        pass


@pytest.mark.parametrize(
    ("scenario", "judges"),
    [
        ("grocery", "the newest 7 days of closed anchors"),
        ("taobao", "the newest day of closed anchors"),
        ("movies_1m", "one of 5 folds of the examples"),
    ],
)
def test_the_page_tells_which_rows_judge(scenario: str, judges: str) -> None:
    assert describe_judging(load_scenario(scenario)) == judges
