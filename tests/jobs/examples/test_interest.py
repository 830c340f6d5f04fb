from typing import Any

import pytest
from pydantic import ValidationError

from jobs.examples.config import ExamplesConfig, InterestConfig
from jobs.examples.interest import category_names, category_query, label_users
from tests.jobs.day_database import day_database, rows_of

PATHS = {
    "milk": ["DAIRY", "MILK"], "beer": ["ALCOHOL"], "soap": ["DRUG", "MILK", "SOAP"], "bare": [],
    "unknown": None,
}  # fmt: skip
CATALOGUE = ("item_id VARCHAR, category_path VARCHAR[]", list(PATHS.items()))
ITEM_LEVEL = (
    "item_id VARCHAR, department_id VARCHAR, category_id VARCHAR, type_id VARCHAR",
    [
        ("milk", "DAIRY", "DAIRY / MILK", None), ("beer", "ALCOHOL", None, None),
        ("soap", "DRUG", "DRUG / MILK", "DRUG / MILK / SOAP"), ("unknown", None, None, None),
    ],
)  # fmt: skip
LABELS = "SELECT user_id, label_category_interest FROM labelled_user"


def examples_config(**changes: Any) -> ExamplesConfig:
    given = {"label_window_days": 7, "training_weeks": 13, "negative_sampling_rate": 0.1, **changes}
    return ExamplesConfig.model_validate(given)


def test_interest_has_one_row_per_anchored_user_in_the_order_of_departments() -> None:
    bought = [("u", "milk"), ("u", "milk"), ("u", "beer"), ("u", "unknown"), ("other", "soap")]
    database = day_database(
        anchored=("user_id VARCHAR", [("u",), ("bought nothing",)]),
        purchase=("user_id VARCHAR, item_id VARCHAR", bought),
        item_level=ITEM_LEVEL,
    )

    label_users(database, examples_config())

    assert rows_of(database, LABELS) == [("bought nothing", [0, 0, 0]), ("u", [1, 1, 0])]


def test_declared_interest_is_of_the_events_of_the_window_from_their_bound_on() -> None:
    tiles = [
        ("u", "milk", "rating", 4_000_000),
        ("u", "soap", "rating", 3_999_999),
        ("u", "beer", "click", 5),
    ]
    database = day_database(
        anchored=("user_id VARCHAR", [("u",), ("v",)]),
        label_tile=("user_id VARCHAR, item_id VARCHAR, event_type VARCHAR, rating_max BIGINT", tiles),
        item_level=ITEM_LEVEL,
        catalogue=CATALOGUE,
    )
    liked = {"events": ["rating"], "of": "rating", "at_least": 4}

    label_users(database, examples_config(interest={**liked, "level": "every"}))

    assert category_names(PATHS.values(), "every") == ("ALCOHOL", "DAIRY", "DRUG", "MILK", "SOAP")
    assert rows_of(database, LABELS) == [("u", [0, 1, 0, 1, 0]), ("v", [0, 0, 0, 0, 0])]
    label_users(database, examples_config(interest={"events": ["rating", "click"], "level": "category"}))
    assert rows_of(database, LABELS) == [("u", [1, 1]), ("v", [0, 0])]


def test_with_anchor_events_a_user_counts_once_a_day_by_what_is_attributed() -> None:
    events = [
        ("u", "milk", "impression", None), ("u", "milk", "impression", None), ("u", "milk", "rating", 4.0),
        ("u", "soap", "impression", None), ("u", "soap", "rating", 3.5), ("v", "beer", "impression", None),
    ]  # fmt: skip
    database = day_database(
        anchored=("user_id VARCHAR", [("u",), ("not here today",)]),
        attributed=("user_id VARCHAR, item_id VARCHAR, event_type VARCHAR, rating DOUBLE", events),
        item_level=ITEM_LEVEL,
    )
    liked = {"events": ["rating"], "of": "rating", "at_least": 4}

    label_users(database, examples_config(anchor="impression", interest=liked))

    assert rows_of(database, LABELS) == [("u", [0, 1, 0]), ("v", [0, 0, 0])]


@pytest.mark.parametrize("level", ["department", "category", "type", "every"])
def test_the_names_are_those_of_the_labels_in_their_order(level: Any) -> None:
    database = day_database(catalogue=CATALOGUE, item_level=ITEM_LEVEL)

    query = f"SELECT DISTINCT name FROM ({category_query(level)}) ORDER BY name"

    assert category_names(PATHS.values(), level) == tuple(name for (name,) in database.sql(query).fetchall())


def test_a_bound_needs_a_column() -> None:
    with pytest.raises(ValidationError, match="belong together"):
        InterestConfig.model_validate({"events": ["rating"], "at_least": 4})
