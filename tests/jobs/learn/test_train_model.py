import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.config import load_runtime, load_scenario
from jobs.examples.campaigns import finish_campaigns
from jobs.examples.tables import campaign_examples, examples
from jobs.lake.lake import Lake
from jobs.learn.tables import MODEL_RUNS
from jobs.learn.train_model import (
    carry_on,
    example_files,
    find_earlier_model,
    make_spec,
    models_folder,
    read_statistics,
)
from jobs.learn.training_days import plan_days
from jobs.stage import Run
from mtl_model.config import DataSpec, ModelConfig, ModelDescription, NumericStatistics, TrainSpec, WarmStart
from mtl_model.model_folder import write_manifest
from mtl_model.training.config import Precision

DAY = date(2017, 12, 2)


@pytest.fixture
def run(home: Path) -> Run:
    return Run(load_scenario("grocery"), load_runtime(), DAY, "r", home)


def write_examples(spark: SparkSession, lake: Lake, run: Run, days: Sequence[date]) -> None:
    """30 examples a day of one item; each third was bought without being proposed."""
    rows = [(day, f"u{number}", "i", number % 3 > 0) for day in days for number in range(30)]
    pairs = spark.createDataFrame(rows, "ds date, user_id string, item_id string, from_candidates boolean")
    table = examples(run.scenario)
    nulls = {
        field.name: F.lit(None).cast(field.dataType)
        for field in table.spark_schema()
        if field.name not in pairs.columns
    }
    with_nulls = pairs.withColumns({**nulls, "example_kind": F.lit("user_item")})
    lake.replace_days(with_nulls, table, (min(days), max(days)))


def write_campaigns(spark: SparkSession, lake: Lake, run: Run, ages: Sequence[int]) -> None:
    """One member of each campaign, which closed so many days before the run date."""
    closed = [(DAY - timedelta(age), "u0", f"closed {age}") for age in ages]
    members = spark.createDataFrame(closed, "ds date, user_id string, campaign_id string")
    table = campaign_examples(run.scenario)
    lake.replace_days(finish_campaigns(members, table), table, (DAY - timedelta(max(ages)), DAY))


def campaigns_of(files: Iterable[Path | str]) -> set[str]:
    names = {name for path in files for name in pq.read_table(path, columns=["campaign_id"])[0].to_pylist()}
    return names - {None}


def days_of(files: Iterable[Path | str]) -> set[date]:
    return {day for path in files for day in pq.read_table(path, partitioning=None)["ds"].to_pylist()}


def test_training_reads_candidates_of_its_anchors_and_campaigns_that_closed(
    spark: SparkSession, lake: Lake, run: Run
) -> None:
    first, last = DAY - timedelta(9), DAY - timedelta(8)
    write_examples(spark, lake, run, (first - timedelta(1), first, last, last + timedelta(1)))
    write_campaigns(spark, lake, run, ages=(0, 1, 2))

    files = example_files(run, lake, (first, last), (DAY - timedelta(9), DAY - timedelta(1)))

    read = pa.concat_tables([pq.read_table(path, partitioning=None) for path in files]).to_pylist()
    assert {row["campaign_id"] for row in read if row["example_kind"] == "user_campaign"} == {
        "closed 1",
        "closed 2",
    }
    of_items = [row for row in read if row["example_kind"] == "user_item"]
    assert {row["ds"] for row in of_items} == {first, last}
    assert len(of_items) == 2 * 20
    assert all(row["from_candidates"] for row in of_items)
    written = lake.read_arrow(examples(run.scenario))
    assert written["from_candidates"].to_pylist().count(False) == 4 * 10  # they stay in the table


def test_the_newest_campaigns_judge_before_they_are_refitted_on(
    spark: SparkSession, lake: Lake, run: Run, earlier: Run, tmp_path: Path
) -> None:
    days = plan_days(run)
    write_examples(spark, lake, run, [days.train[1], days.validation[0]])
    write_campaigns(spark, lake, run, ages=(0, 34, 35, 37, 38))

    afresh = make_spec(run, lake, days, tmp_path)
    carried_on = make_spec(run, lake, days, tmp_path, find_earlier_model(run, lake))

    newest = {"closed 0", "closed 34"}
    assert campaigns_of(afresh.train_files) == {"closed 35", "closed 37", "closed 38"}
    for spec in (afresh, carried_on):
        assert campaigns_of(spec.validation_files) == campaigns_of(spec.final_files) == newest
    assert campaigns_of(carried_on.train_files) == {
        "closed 35",
        "closed 37",
    }  # 38 trained the model of three days ago


def test_auto_is_chosen_once_and_kept_by_the_run_and_by_the_home(
    spark: SparkSession, lake: Lake, run: Run, tmp_path: Path
) -> None:
    """Whichever precision it is on this machine."""
    days = plan_days(run)
    write_examples(spark, lake, run, [days.train[1], days.validation[0]])
    model = run.scenario.model
    auto = replace(run, scenario=run.scenario.model_copy(update={"model": model.with_precision("auto")}))

    def choose(folder: Path) -> Precision:
        folder.mkdir(exist_ok=True)
        return make_spec(auto, lake, days, folder).model.training.precision

    chosen = choose(tmp_path / "one")
    (memory,) = (run.home / "precision").glob("*.json")
    kept = json.loads(memory.read_bytes())
    other: Precision = "fp32" if chosen == "bf16" else "bf16"
    memory.write_text(json.dumps(kept | {"precision": other}))

    assert kept["precision"] == chosen
    assert choose(tmp_path / "two") == other  # the home remembers
    begun = make_spec(auto, lake, days, tmp_path / "two").model_copy(
        update={"model": model.with_precision(chosen)}
    )
    (tmp_path / "one" / "spec.json").write_text(begun.model_dump_json())
    assert choose(tmp_path / "one") == chosen  # and the run what it began with
    assert make_spec(run, lake, days, tmp_path).model.training.precision == "fp32"  # as its YAML says


def test_training_without_examples_names_the_stage_to_run(lake: Lake, run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="examples has no rows for 2017-08-28 to 2017-11-13: run build_examples"
    ):
        make_spec(run, lake, plan_days(run), tmp_path)


@pytest.fixture
def earlier(lake: Lake, run: Run) -> Run:
    """The run of three days before, whose model was promoted."""
    days_before = replace(run, date=DAY - timedelta(3), run_id="before")
    row = {"ds": days_before.date, "run_id": "before", "model_version": "m", "status": "promoted"}
    row |= {"trained_at": datetime(2017, 11, 30, tzinfo=UTC), "config_digest": run.config_digest}
    lake.append(MODEL_RUNS, [row], replacing={"run_id": "before"})
    model = run.scenario.model
    numbers = {field.name: NumericStatistics(mean=1.0, std=2.0) for field in model.numeric_fields}
    data = DataSpec(
        numeric_statistics=numbers, label_names={"category_interest": ()}, negative_sampling_rate=0.1
    )
    folder = models_folder(run) / "m"
    folder.mkdir(parents=True)
    description = ModelDescription(model=model, data=data).model_dump_json()
    (folder / "model.json").write_text(description, encoding="utf-8")
    write_manifest(folder)
    return days_before


def test_a_model_is_carried_on_with_what_has_closed_since_and_is_judged_on_what_it_has_not_seen(
    spark: SparkSession, lake: Lake, run: Run, earlier: Run, tmp_path: Path
) -> None:
    days, days_before = plan_days(run), plan_days(earlier)
    all_days = [days.train[1] - timedelta(6) + timedelta(number) for number in range(21)]
    write_examples(spark, lake, run, all_days)

    found = find_earlier_model(run, lake)
    assert found is not None
    spec = make_spec(run, lake, days, tmp_path, found)

    assert days_of(spec.train_files) == {days_before.train[1] + timedelta(number) for number in (1, 2, 3)}
    assert days_of(spec.validation_files).isdisjoint(days_of(spec.train_files))
    assert min(days_of(spec.validation_files)) == days.held_out_from > days_before.train[1] + timedelta(6)
    assert spec.warm_start is not None
    assert (spec.warm_start.model_dir.name, spec.warm_start.weights) == ("m", "judged")
    assert spec.numeric_statistics == found.data.numeric_statistics
    training = spec.model.training
    assert (training.epochs, training.learning_rate) == (1, training.final_learning_rate)


@pytest.mark.parametrize(("epochs", "stays"), [(1, False), (None, True)])
def test_a_model_that_is_carried_on_has_thawed_but_for_what_is_frozen_for_good(
    run: Run, epochs: int | None, stays: bool
) -> None:
    slices = ({"name": "new", "column": "user_item_line_count", "at_least": 1.0},)
    transfer = {
        "target": "new",
        "instance_weighting": {},
        "freeze": {"parts": ["embedding"], "epochs": epochs},
    }
    content = run.scenario.model.model_dump(mode="json") | {"slices": slices, "transfer": transfer}
    model = ModelConfig.model_validate_json(json.dumps(content))

    carried_on = carry_on(model)

    assert carried_on.transfer.freeze == (model.transfer.freeze if stays else None)
    assert carried_on.transfer.instance_weighting == model.transfer.instance_weighting is not None


def test_a_model_with_other_labels_is_not_carried_on(lake: Lake, run: Run, earlier: Run) -> None:
    assert find_earlier_model(run, lake) is not None
    description = models_folder(run) / "m" / "model.json"
    text = description.read_text(encoding="utf-8")

    description.write_text(text.replace('"category_interest":[]', '"category_interest":["NEW"]'), "utf-8")
    write_manifest(description.parent)

    assert find_earlier_model(run, lake) is None


@pytest.mark.parametrize("damaged", ["model.json", "manifest.json", "."])
def test_a_model_that_is_gone_or_damaged_is_not_carried_on(
    lake: Lake, run: Run, earlier: Run, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = models_folder(run) / "m"
    if damaged == ".":
        shutil.rmtree(folder)
    else:
        (folder / damaged).write_text("{")

    assert find_earlier_model(run, lake) is None
    assert "training from scratch: model m cannot be carried on" in caplog.text


def test_a_scenario_without_warm_start_trains_from_scratch(lake: Lake, run: Run, earlier: Run) -> None:
    learn = run.scenario.learn.model_copy(update={"warm_start": None})

    cold = replace(run, scenario=run.scenario.model_copy(update={"learn": learn}))

    assert find_earlier_model(run, lake) is not None
    assert find_earlier_model(cold, lake) is None


def test_a_model_may_begin_as_one_of_another_scenario(
    spark: SparkSession, lake: Lake, run: Run, earlier: Run, tmp_path: Path
) -> None:
    days = plan_days(run)
    write_examples(spark, lake, run, [days.train[1], days.validation[0]])

    def begin(folder: str) -> TrainSpec:
        learn = run.scenario.learn.model_copy(update={"start_from": Path(folder), "warm_start": None})
        there = replace(run, scenario=run.scenario.model_copy(update={"learn": learn}))
        return make_spec(there, lake, days, tmp_path)

    spec = begin("models/grocery/m")

    assert spec.warm_start == WarmStart(model_dir=run.home / "models" / "grocery" / "m", weights="model")
    assert set(spec.numeric_statistics.values()) == {NumericStatistics(mean=1.0, std=2.0)}
    assert spec.model == run.scenario.model
    first, *others = run.scenario.model.numeric_fields
    changed = [field for field in run.scenario.model.fields if field.name != first.name]
    changed.append(first.model_copy(update={"log1p": not first.log1p}))
    model = run.scenario.model.model_copy(update={"fields": tuple(changed)})
    folder = run.home / "models" / "grocery" / "m"
    assert read_statistics(folder, model).keys() == {field.name for field in others}
    with pytest.raises(ValueError, match=r"learn.start_from: .*movies/m is no model folder"):
        begin("models/movies/m")
