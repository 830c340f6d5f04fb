from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.config import ScenarioConfig, load_runtime, load_scenario
from jobs.examples.build_examples import make_vocabularies, vocabulary_anchor_days
from jobs.examples.config import ExamplesConfig
from jobs.examples.tables import check_fields
from jobs.stage import Run

DAY = date(2017, 3, 1)


@pytest.fixture(scope="module")
def config() -> ScenarioConfig:
    return load_scenario("grocery")


def with_id_fields(config: ScenarioConfig, **min_counts: int) -> ScenarioConfig:
    fields = [{"kind": "id", "name": name, "min_count": count} for name, count in min_counts.items()]
    return with_fields(config, fields)


def with_fields(config: ScenarioConfig, fields: list[dict[str, Any]]) -> ScenarioConfig:
    model = {**config.model.model_dump(), "fields": fields, "slices": []}
    return ScenarioConfig.model_validate({**config.model_dump(), "model": model})


def test_rows_follow_from_the_night_on_which_a_value_had_been_seen_often_enough(
    spark: SparkSession, config: ScenarioConfig
) -> None:
    scenario = with_id_fields(config, brand=2, campaign_type=1)
    nights: dict[int, list[str | None]] = {
        0: ["b", "often", "often"], 1: ["once", "z", "z", None], 2: ["b", "a", "a"], 3: ["often", "0"]
    }  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (DAY + timedelta(days=night), brand, "A" if brand == "a" else None)
        for night, brands in nights.items()
        for brand in brands
    ]
    seen = spark.createDataFrame(rows, "closed_on date, brand string, campaign_type string")

    def rows_of(night: int) -> list[tuple[Any, ...]]:
        until = seen.where(F.col("closed_on") <= DAY + timedelta(days=night))
        made = make_vocabularies(until, scenario, DAY + timedelta(days=night)).sort("field", "row")
        assert {row.ds for row in made.collect()} <= {DAY + timedelta(days=night)}
        return [
            (row.field, row.row, row.value, row["count"], (row.since - DAY).days) for row in made.collect()
        ]

    def count(row: tuple[Any, ...], count: int) -> tuple[Any, ...]:
        return (*row[:3], count, row[4])

    often, z, a, b = (
        ("brand", 2, "often", 2, 0), ("brand", 3, "z", 2, 1), ("brand", 4, "a", 2, 2), ("brand", 5, "b", 2, 2)
    )  # fmt: skip
    assert rows_of(1) == [often, z]
    assert rows_of(2) == [often, z, a, b, ("campaign_type", 2, "A", 2, 2)]
    assert rows_of(3) == [count(often, 3), z, a, b, ("campaign_type", 2, "A", 2, 2)]


def test_all_nights_of_a_period_count_from_the_same_day_on(config: ScenarioConfig) -> None:
    first = config.logs.first_day
    nights = [first + timedelta(days=112 + age) for age in range(29)]  # four periods of 28 days into the log

    counted = [vocabulary_anchor_days(Run(config, load_runtime(), night, "r", Path())) for night in nights]

    assert {start for start, _ in counted[:28]} == {first + timedelta(days=112 + 27 - 6 - 90)}
    assert counted[28][0] == counted[0][0] + timedelta(days=28)
    assert [last for _, last in counted] == [night - timedelta(days=6) for night in nights]


def test_a_period_of_the_vocabularies_lies_within_the_training_weeks(config: ScenarioConfig) -> None:
    examples = {**config.examples.model_dump(), "training_weeks": 1, "vocabulary_days": 8}

    with pytest.raises(ValidationError, match=r"vocabulary_days \(8\) must not be more"):
        ExamplesConfig.model_validate(examples)


def test_a_list_with_a_vocabulary_of_its_own_has_each_of_its_values_in_it(
    spark: SparkSession, config: ScenarioConfig
) -> None:
    words = {"kind": "id_list", "name": "title_words", "max_length": 4, "min_count": 2}
    last = {"kind": "id_list", "name": "bought", "max_length": 4, "shares": "brand"}
    scenario = with_fields(config, [{"kind": "id", "name": "brand"}, words, last])
    rows = [
        ("a", ["red", "red", "mug"]),
        (None, ["mug", "red", None]),
        ("a", None),
        ("b", []),
        ("b", ["hat"]),
    ]
    seen = spark.createDataFrame(rows, "brand string, title_words array<string>")
    seen = seen.withColumn("closed_on", F.lit(DAY))

    vocabularies = make_vocabularies(seen, scenario, DAY).collect()

    assert sorted((row["field"], row["row"], row["value"], row["count"]) for row in vocabularies) == [
        ("brand", 2, "a", 2), ("brand", 3, "b", 2),
        ("title_words", 2, "mug", 2), ("title_words", 3, "red", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "field",
    [
        pytest.param({"kind": "id", "name": "title_words"}, id="a list as an id"),
        pytest.param({"kind": "id_list", "name": "brand", "max_length": 3}, id="a text as a list"),
        pytest.param({"kind": "numeric", "name": "brand"}, id="a text as a number"),
        pytest.param({"kind": "id", "name": "user_discount_share"}, id="a fraction as an id"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(config: ScenarioConfig, field: dict[str, Any]) -> None:
    scenario = with_fields(config, [field])

    with pytest.raises(ValueError, match=rf"model.fields: {field['name']} is a column of type"):
        check_fields(scenario)


def test_a_field_that_no_job_makes_is_named(config: ScenarioConfig) -> None:
    scenario = with_id_fields(config, brand=1, mood=1)

    with pytest.raises(ValueError, match=r"columns that no feature job makes: \['mood'\]"):
        check_fields(scenario)
