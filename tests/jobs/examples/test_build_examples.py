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


def test_a_field_that_no_job_makes_is_named(config: ScenarioConfig) -> None:
    scenario = with_id_fields(config, brand=1, mood=1)

    with pytest.raises(ValueError, match=r"columns that no feature job makes: \['mood'\]"):
        check_fields(scenario)
