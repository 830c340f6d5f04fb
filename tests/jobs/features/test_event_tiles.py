from jobs.config import load_scenario
from jobs.features.config import DeclaredFeature, DeclaredLabel
from jobs.features.event_tiles import value_columns


def test_tiles_hold_what_features_and_labels_ask_of_the_events() -> None:
    scenario = load_scenario("shop")
    declared = (
        DeclaredFeature(entity="user", measure="mean", events=("click",), of="price"),
        DeclaredFeature(entity="item", measure="last", events=("click",), of="discount"),
    )
    label = DeclaredLabel(name="label_spend_on_it", measure="sum", events=("purchase",), of="value")
    changed = {
        "features": scenario.features.model_copy(update={"declared": declared}),
        "examples": scenario.examples.model_copy(update={"labels": (label,)}),
    }

    names = [column.name for column in value_columns(scenario.model_copy(update=changed))]

    of_features = ["price_count", "price_sum", "discount_count", "discount_last", "discount_last_at"]
    assert names == ["value_sum", *of_features]
