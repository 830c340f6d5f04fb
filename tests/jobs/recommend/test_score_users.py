import json
from datetime import date
from pathlib import Path

import pytest

from jobs.config import FeaturesConfig, load_scenario
from jobs.examples.feature_columns import item_feature_query
from jobs.recommend.score_users import add_shown, make_profiles
from mtl_model.config import DataSpec, ModelConfig, ModelDescription
from tests.jobs.day_database import day_database
from tests.mtl_model.small_model import write_folder


def test_what_is_proposed_has_the_features_of_the_first_place_of_the_surface() -> None:
    scenario = load_scenario("shop")
    declared = [one for one in scenario.features.declared if one.entity == "context"]
    config: FeaturesConfig = scenario.features.model_copy(update={"declared": tuple(declared)})
    name = "context_click_per_impression_rate_7d"
    database = day_database(
        proposed=("user_id VARCHAR, item_id VARCHAR", [("u", "i"), ("u", "j")]),
        context_event=(
            f"surface VARCHAR, position INTEGER, {name} DOUBLE",
            [("home", 0, 0.25), ("home", 1, 0.125), ("search", 0, 0.5)],
        ),
        item_level=("item_id VARCHAR", []),
        promoted=("item_id VARCHAR", []),
    )

    add_shown(database, scenario.recommend)
    rows = database.sql(item_feature_query("shown", config, [name])).to_arrow_table()

    assert scenario.recommend.surface == "home"
    assert rows.select(["item_id", name]).sort_by("item_id").to_pylist() == [
        {"item_id": "i", name: 0.25}, {"item_id": "j", name: 0.25},
    ]  # fmt: skip


@pytest.mark.parametrize("names", [("MEAT", "WINE"), ("GROCERY", "MEAT", "WINE", "ZOO")])
def test_a_users_interests_have_the_names_that_the_model_was_trained_with(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    scenario = load_scenario("grocery")
    task = next(task for task in scenario.model.tasks if task.name == scenario.interest_task)
    content = scenario.model.model_dump(mode="json") | {
        "fields": [{"kind": "id", "name": "user_id"}], "tasks": [task.model_dump(mode="json")], "slices": [],
        "factorization": None,
    }  # fmt: skip
    model = ModelConfig.model_validate_json(json.dumps(content))
    data = DataSpec(numeric_statistics={}, label_names={task.name: names}, negative_sampling_rate=1)
    folder = write_folder(tmp_path / "m", ModelDescription(model=model, data=data))
    database = day_database(
        users=(
            "user_id VARCHAR, user_basket_count_28d INTEGER, user_spend_28d BIGINT, "
            "user_days_since_last INTEGER, user_discount_share DOUBLE",
            [("u1", 1, 100, 3, 0.5), ("u2", 0, 0, 90, 0.0)],
        ),
        shelf=("user_id VARCHAR, expected_spend DOUBLE", [("u1", 2.5)]),
        item_level=("item_id VARCHAR, department_id VARCHAR", [("i", "BAKERY"), ("j", "MEAT")]),  # today's
    )

    profiles = make_profiles(database, scenario.model_copy(update={"model": model}), folder, date(2017, 5, 1))

    interests = profiles["interests"].to_pylist()
    assert [[name for name, _ in row] for row in interests] == [list(names)] * 2
    assert all(0 < float(share) < 1 for row in interests for _, share in row)
