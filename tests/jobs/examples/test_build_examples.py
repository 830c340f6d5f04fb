from typing import Any

import pytest

from jobs.config import ScenarioConfig, load_scenario
from jobs.examples.tables import check_fields


@pytest.fixture(scope="module")
def config() -> ScenarioConfig:
    return load_scenario("grocery")


def with_id_fields(config: ScenarioConfig, **min_counts: int) -> ScenarioConfig:
    fields = [{"kind": "id", "name": name, "min_count": count} for name, count in min_counts.items()]
    return with_fields(config, fields)


def with_fields(config: ScenarioConfig, fields: list[dict[str, Any]]) -> ScenarioConfig:
    model = {**config.model.model_dump(), "fields": fields, "slices": []}
    return ScenarioConfig.model_validate({**config.model_dump(), "model": model})


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
