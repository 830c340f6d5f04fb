"""What a model knows of ids, words and lists: what stands in the examples that it is trained on."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from safetensors.torch import load_file

from jobs.config import ScenarioConfig, load_runtime, load_scenario
from jobs.examples.tables import examples
from jobs.lake.lake import Lake
from jobs.learn.train_model import EarlierModel, make_spec
from jobs.learn.training_days import plan_days
from jobs.stage import Run
from mtl_model.config import TrainSpec
from mtl_model.predict import load_predictor
from mtl_model.training.process_group import join_process_group
from mtl_model.training.train import train

ROWS_PER_DAY = 60
FIELDS: list[dict[str, Any]] = [
    {"kind": "id", "name": "brand", "min_count": 2},
    {"kind": "id_list", "name": "category_path", "max_length": 3, "shares": "brand"},
    {"kind": "id_list", "name": "title_words", "max_length": 3, "min_count": 2},
    {"kind": "hashed_id", "name": "type_id", "num_hash_rows": 10},
    {"kind": "numeric", "name": "item_price_quantile", "num_buckets": 4},
]
TRAINING = {
    "num_processes": 1,
    "global_batch_size": 32,
    "epochs": 3,
    "learning_rate": 0.02,
    "final_learning_rate": 0.01,
    "embedding_optimizer": "rowwise_adagrad",
    "embedding_learning_rate": 0.05,
    "seed": 1,
}
Rows = list[dict[str, Any]]


def scenario_of(name: str, task: str) -> ScenarioConfig:
    """The scenario with a small model of one task."""
    content = load_scenario(name).model_dump(mode="json")
    training = TRAINING | {"early_stopping": {"metric": "auc", "patience": 1, "task": task}}
    content["model"] = {
        "embedding_dim": 4,
        "fields": FIELDS,
        "sharing": {"name": "shared_bottom", "hidden_dims": [8]},
        "tower_hidden_dims": [],
        "tasks": [{"name": task, "head": "binary", "label": f"label_{task}", "loss_weight": 1.0}],
        "training": training,
    }
    content["recommend"] |= {"utility": {task: 1.0}, "reasons": None}
    content["learn"]["promotion"]["task"] = task
    return ScenarioConfig.model_validate(content)


def make_rows(day: date, task: str, fold: int = 1) -> Rows:
    """Examples of a day, whose titles name it."""
    rng = np.random.default_rng([day.toordinal(), fold])
    brands = [[f"b{value}" for value in rng.integers(0, 9, 3)] for _ in range(ROWS_PER_DAY)]
    return [
        {
            "ds": day,
            "fold": fold,
            "from_candidates": True,
            "example_id": day.toordinal() * 10_000 + fold * 1000 + number,
            "example_kind": "user_item",
            "sampling_rate": 1.0,
            "user_id": f"u{number % 7}",
            "brand": brand,
            "category_path": others,
            "title_words": [str(day), *others],
            "type_id": brand,
            "item_price_quantile": float(rng.random()),
            f"label_{task}": int(brand < "b4") ^ int(rng.random() < 0.1),
        }
        for number, (brand, *others) in enumerate(brands)
    ]


def plant(rows: pa.Table, name: str) -> pa.Table:
    """The rows with values called `name`, which only they have, in all their columns."""
    planted = {
        "brand": [f"{name} brand"] * len(rows),
        "category_path": [[*path, f"{name} brand"] for path in rows["category_path"].to_pylist()],
        "title_words": [[*words, f"{name} word"] for words in rows["title_words"].to_pylist()],
    }
    for column, values in planted.items():
        field = rows.schema.field(column)
        rows = rows.set_column(rows.column_names.index(column), field, pa.array(values, field.type))
    return rows


def write_rows(spark: SparkSession, lake: Lake, run: Run, rows: Rows) -> None:
    """Replaces the days of the rows."""
    table = examples(run.scenario)
    schema = table.spark_schema()
    named = [{field.name: row.get(field.name) for field in schema} for row in rows]
    days = [row["ds"] for row in rows]
    frame = spark.createDataFrame(named, schema).withColumn("ds", F.col("ds").cast("date"))
    lake.replace_days(frame, table, (min(days), max(days)))


def values_of(paths: dict[str, Path]) -> dict[str, list[str]]:
    return {name: pq.read_table(path)["value"].to_pylist() for name, path in paths.items()}


def train_on(run: Run, lake: Lake, folder: Path) -> TrainSpec:
    folder.mkdir()
    spec = make_spec(run, lake, plan_days(run), folder)
    with join_process_group() as group:
        train(spec, group)
    return spec


@pytest.mark.parametrize(
    ("scenario", "task", "day"),
    [
        pytest.param("grocery", "purchase", date(2017, 12, 2), id="days"),
        pytest.param("movies_1m", "like", date(2000, 2, 1), id="folds of an undated log"),
    ],
)
def test_values_of_what_judges_a_model_are_unknown_to_it(
    spark: SparkSession, lake: Lake, home: Path, tmp_path: Path, scenario: str, task: str, day: date
) -> None:
    run = Run(scenario_of(scenario, task), load_runtime(), day, "r", home)
    days = plan_days(run)
    trained_on = [row for fold in days.train_folds or (1,) for row in make_rows(days.train[1], task, fold)]
    judging = make_rows(days.validation[0], task, fold=0)
    for rows in [trained_on + judging] if days.train_folds else [trained_on, judging]:
        write_rows(spark, lake, run, rows)

    plain = train_on(run, lake, tmp_path / "plain")
    [judging_file] = plain.validation_files
    table = pq.read_table(judging_file, partitioning=None)
    without, carrying = table.slice(0, ROWS_PER_DAY // 2), table.slice(ROWS_PER_DAY // 2)
    pq.write_table(pa.concat_tables([without, plant(carrying, "planted")]), judging_file)
    spec = train_on(run, lake, tmp_path / "planted")

    weights = [load_file(each.output_dir / "judged.safetensors") for each in (plain, spec)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    assert values_of(spec.vocabularies) == values_of(plain.vocabularies)
    new = values_of(spec.new_values)
    assert ("planted brand" in new["brand"], "planted word" in new["title_words"]) == (True, True)
    judged, served = load_predictor(spec.output_dir, weights="judged"), load_predictor(spec.output_dir)
    of_plain = load_predictor(plain.output_dir, weights="judged")
    assert np.array_equal(judged.predict(without)[task], of_plain.predict(without)[task])
    planted, unknown = plant(carrying, "planted"), plant(carrying, "never seen")
    assert np.array_equal(judged.predict(planted)[task], judged.predict(unknown)[task])
    assert not np.allclose(served.predict(planted)[task], served.predict(unknown)[task], rtol=1e-3)


def test_a_model_that_is_carried_on_knows_what_one_from_scratch_does(
    spark: SparkSession, lake: Lake, home: Path, tmp_path: Path
) -> None:
    run = Run(scenario_of("grocery", "purchase"), load_runtime(), date(2017, 12, 2), "r", home)
    days, days_before = plan_days(run), plan_days(replace(run, date=run.date - timedelta(days=3)))
    oldest, last = days.train[0], days.train[1]
    gap = last + timedelta(days=1)
    for day in (oldest - timedelta(days=1), oldest, last, gap, days.validation[0]):
        write_rows(spark, lake, run, make_rows(day, "purchase"))
    folders = [tmp_path / "scratch", tmp_path / "carried on"]
    for folder in folders:
        folder.mkdir()

    scratch = make_spec(run, lake, days, folders[0])
    earlier = EarlierModel("m", tmp_path / "m", days_before, scratch)
    carried_on = make_spec(run, lake, days, folders[1], earlier)

    assert len(carried_on.train_files) < len(scratch.train_files)
    for spec in (scratch, carried_on):
        known = {word for word in values_of(spec.vocabularies)["title_words"] if word.startswith("2017")}
        assert known == {str(oldest), str(last)}
        assert values_of(spec.new_values)["title_words"] == [str(gap), str(days.validation[0])]
