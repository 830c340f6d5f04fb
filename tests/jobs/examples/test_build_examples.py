from datetime import date
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.config import ScenarioConfig, load_scenario
from jobs.examples.build_examples import make_vocabularies
from jobs.examples.tables import check_fields

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


def test_vocabularies_hold_frequent_values_the_most_frequent_first(
    spark: SparkSession, config: ScenarioConfig
) -> None:
    scenario = with_id_fields(config, brand=2, campaign_type=1)
    brands = ["b", "a", "often", "often", "often", "a", "b", "once", None]
    rows: list[tuple[Any, ...]] = [(brand, "A" if brand == "a" else None) for brand in brands]
    seen = spark.createDataFrame(rows, "brand string, campaign_type string")

    vocabularies = make_vocabularies(seen, scenario, DAY).collect()

    names = ("field", "row", "value", "count", "ds")
    assert sorted(tuple(row[name] for name in names) for row in vocabularies) == [
        ("brand", 2, "often", 3, DAY), ("brand", 3, "a", 2, DAY), ("brand", 4, "b", 2, DAY),
        ("campaign_type", 2, "A", 2, DAY),
    ]  # fmt: skip


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

    vocabularies = make_vocabularies(seen, scenario, DAY).collect()

    assert sorted((row["field"], row["row"], row["value"], row["count"]) for row in vocabularies) == [
        ("brand", 2, "a", 2), ("brand", 3, "b", 2),
        ("title_words", 2, "red", 3), ("title_words", 3, "mug", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "field",
    [
        pytest.param({"kind": "id", "name": "title_words"}, id="a list as an id"),
        pytest.param({"kind": "id_list", "name": "brand", "max_length": 3}, id="a text as a list"),
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
