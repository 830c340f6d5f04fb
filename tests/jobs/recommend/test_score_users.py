from jobs.config import FeaturesConfig, load_scenario
from jobs.examples.feature_columns import item_feature_query
from jobs.recommend.score_users import add_shown
from tests.jobs.day_database import day_database


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
