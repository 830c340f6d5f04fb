"""Items got together on a day, against a count of the baskets."""

import random
from collections import Counter
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError
from pyspark.sql import SparkSession

from jobs.config import FeaturesConfig
from jobs.features.co_purchases import MAX_ITEMS_A_DAY, add_co_purchased, co_purchase_frame
from jobs.features.config import CoPurchases
from tests.jobs.day_database import day_database, rows_of

FIRST_DAY = date(2024, 1, 1)
RULES = CoPurchases(events=("cart", "purchase"), window_days=4, per_item=2, min_together=2)

Tile = tuple[date, str, str | None, str]


def co_purchases(tiles: list[Tile], day: date) -> dict[tuple[str, str], tuple[int, float]]:
    """The oracle."""
    baskets: dict[tuple[date, str], set[str]] = {}
    for ds, user, item, kind in tiles:
        if item and kind in RULES.events and day - timedelta(days=RULES.window_days) <= ds < day:
            baskets.setdefault((ds, user), set()).add(item)
    small = [basket for basket in baskets.values() if len(basket) <= MAX_ITEMS_A_DAY]
    counts = Counter(pair for basket in small for pair in product(basket, basket))
    found = {}
    for item in {one for one, _ in counts}:
        others = [(-n, other) for (one, other), n in counts.items() if one == item != other and n > 1]
        for n, other in sorted(others)[: RULES.per_item]:
            found[item, other] = (-n, -n / counts[item, item])
    return found


def test_pairs_of_500_logs_equal_what_the_baskets_say(spark: SparkSession) -> None:
    """Items are of their log alone, so that all logs go through one job."""
    chance, tiles = random.Random(7), list[Tile]()
    for case in range(500):
        for _ in range(chance.randint(0, 60)):
            day = FIRST_DAY + timedelta(days=chance.randint(0, 7))
            item = None if chance.random() < 0.05 else f"{case}-i{chance.randint(0, 3)}"
            user, kind = f"{case}-u{chance.randint(0, 1)}", chance.choice(["cart", "purchase", "click"])
            tiles.append((day, user, item, kind))
    crowd = [(FIRST_DAY + timedelta(days=5), f"c{n}", f"x{i}", "cart") for n in (0, 1) for i in range(101)]
    tiles = sorted({*tiles, *crowd}, key=repr)
    days = (FIRST_DAY + timedelta(days=5), FIRST_DAY + timedelta(days=7))
    event_days = spark.createDataFrame(tiles, "ds date, user_id string, item_id string, event_type string")

    rows = co_purchase_frame(event_days.repartition(3), RULES, days).toArrow().to_pylist()

    for day in (days[0], days[1]):
        found = {
            (row["item_id"], row["other_item_id"]): (row["basket_count"], row["confidence"])
            for row in rows if row["ds"] == day
        }  # fmt: skip
        assert found == co_purchases(tiles, day)
        assert len(found) > 500


def with_co_purchases(**recent: Any) -> FeaturesConfig:
    last = {"entity": "user", "measure": "last_n", "of": "item", "events": ["cart"], "length": 3, **recent}
    rules = {"events": ["cart"], "window_days": 4, "per_item": 2, "min_together": 2}
    windows = {"windows_days": [28], "half_lives_days": [1]}
    return FeaturesConfig.model_validate({**windows, "declared": [last], "co_purchases": rules})


def test_a_user_and_an_item_are_as_close_as_the_likeliest_of_the_last_items() -> None:
    last = [("u", ["a", "b", "a"]), ("v", ["c"]), ("none", None)]
    pairs = [("a", "x", 0.2), ("b", "x", 0.5), ("b", "a", 0.1), ("d", "y", 0.9)]
    database = day_database(
        user_event=("user_id VARCHAR, user_cart_item_last_3 VARCHAR[]", last),
        co_purchase=("item_id VARCHAR, other_item_id VARCHAR, confidence DOUBLE", pairs),
    )

    add_co_purchased(database, with_co_purchases())

    assert rows_of(database, "FROM co_purchased") == [("u", "a", 0.1), ("u", "x", 0.5)]


def test_without_a_sequence_of_the_same_events_they_are_refused() -> None:
    with pytest.raises(ValidationError, match="co_purchases need a declared last_n of user"):
        with_co_purchases(events=["click"])
