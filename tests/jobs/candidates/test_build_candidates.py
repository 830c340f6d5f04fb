from datetime import date
from typing import Any

import pytest

from jobs.candidates.build_candidates import add_acted, measure_recall, sample_candidates
from jobs.candidates.channels import BIT, CHANNELS, add_anchored
from jobs.config import FeaturesConfig
from jobs.features.config import DeclaredLabel
from jobs.lake.day_tasks import DayDatabase
from tests.jobs.day_database import day_database, rows_of

DAY = date(2017, 3, 1)
_PAIR = "user_id VARCHAR, item_id VARCHAR"
_TILES = f"{_PAIR}, line_count BIGINT, spend BIGINT, discount_line_count BIGINT"


def test_bought_sums_the_tiles_of_anchored_users_without_excluded_items() -> None:
    tiles = [
        ("u", "i", 1, 100, 0), ("u", "i", 2, 50, 1), ("u", "j", 1, 7, 0), ("u", "fuel", 1, 900, 0),
        ("not anchored", "i", 1, 1, 1),
    ]  # fmt: skip
    database = day_database(
        purchase=(_TILES, tiles),
        anchored=("user_id VARCHAR", [("u",), ("bought nothing",)]),
        excluded=("item_id VARCHAR", [("fuel",)]),
    )

    add_acted(database, ())

    assert rows_of(database, "SELECT * FROM acted") == [("u", "i", 3, 150, 1), ("u", "j", 1, 7, 0)]


def test_declared_labels_stand_beside_what_was_bought() -> None:
    label = {"name": "label_cart", "events": ["cart"]}
    mean = {
        "name": "label_mean", "events": ["rating"], "measure": "mean", "of": "rating", "given": ["rating"]
    }  # fmt: skip
    tiles = [
        ("u", "i", "cart", 2, None, None), ("u", "k", "cart", 1, None, None),
        ("u", "k", "rating", 2, 2, 7_000_000), ("u", "j", "favorite", 1, None, None),
        ("u", None, "cart", 1, None, None), ("u", "fuel", "cart", 1, None, None),
        ("not anchored", "i", "cart", 1, None, None),
    ]  # fmt: skip
    database = day_database(
        purchase=(_TILES, [("u", "i", 1, 100, 0), ("u", "l", 1, 7, 0)]),
        label_tile=(
            f"{_PAIR}, event_type VARCHAR, event_count BIGINT, rating_count BIGINT, rating_sum BIGINT", tiles
        ),
        anchored=("user_id VARCHAR", [("u",)]),
        excluded=("item_id VARCHAR", [("fuel",)]),
    )  # fmt: skip

    add_acted(database, [DeclaredLabel.model_validate(one) for one in (label, mean)])

    assert rows_of(database, "SELECT item_id, line_count, label_cart, label_mean FROM acted") == [
        ("i", 1, 1, None), ("k", None, 1, 3.5), ("l", 1, None, None)
    ]  # fmt: skip


def test_the_users_with_features_of_items_are_anchored() -> None:
    user = "user_id VARCHAR"
    database = day_database(
        user_item=(user, [("bought",), ("bought",)]),
        user_category=(user, [("bought",)]),
        user_item_event=(user, [("only looked",)]),
    )
    declared = {"entity": "user_item", "measure": "count", "events": ["cart"]}
    config = FeaturesConfig.model_validate(
        {"windows_days": [28], "half_lives_days": [1], "declared": [declared]}
    )

    add_anchored(database, config)

    assert rows_of(database, "SELECT * FROM anchored") == [("bought",), ("only looked",)]


def proposed_database(bought: list[tuple[str, str]], proposed: list[tuple[str, str, int]]) -> DayDatabase:
    return day_database(acted=(_PAIR, bought), proposed=(f"{_PAIR}, channels INTEGER", proposed))


PROPOSED = [(f"u{user}", f"i{item}", BIT["popular"]) for user in range(40) for item in range(100)]


def test_sampling_keeps_what_was_bought_and_about_the_rate_of_the_rest() -> None:
    bought = [(f"u{user}", f"i{user}") for user in range(40)]

    rows = sample_candidates(proposed_database(bought, PROPOSED), DAY, rate=0.2)
    again = sample_candidates(proposed_database(bought, PROPOSED[::-1]), DAY, rate=0.2)
    next_day = sample_candidates(proposed_database(bought, PROPOSED), date(2017, 3, 2), rate=0.2)

    kept: dict[Any, Any] = {
        (row["user_id"], row["item_id"]): row["sampling_rate"] for row in rows.to_pylist()
    }
    assert len(kept) == rows.num_rows
    assert {pair for pair, rate in kept.items() if rate == 1.0} == set(bought)
    rest = [rate for rate in kept.values() if rate != 1.0]
    assert set(rest) == {0.2}
    assert len(rest) == pytest.approx(0.2 * 3960, rel=0.15)
    assert rows.equals(again)  # sorted, and drawn by the pair itself
    assert not rows["item_id"].equals(next_day["item_id"])
    assert set(rows["ds"].to_pylist()) == {DAY}


def test_a_rate_of_1_keeps_every_pair() -> None:
    assert sample_candidates(proposed_database([], PROPOSED), DAY, rate=1.0).num_rows == 4000


def test_recall_counts_the_bought_pairs_that_a_channel_proposed() -> None:
    own, popular = BIT["bought_before"], BIT["popular"]
    proposed = [("u", "i", own | popular), ("u", "j", popular), ("u", "not bought", own), ("v", "i", own)]
    bought = [("u", "i"), ("u", "j"), ("u", "missed"), ("v", "i")]

    recall = measure_recall(proposed_database(bought, proposed), DAY, CHANNELS).to_pylist()

    assert {row["channel"] for row in recall} == {*BIT, "union"}
    assert {row["bought_count"] for row in recall} == {4}
    found = {row["channel"]: (row["found_count"], row["recall"]) for row in recall if row["found_count"]}
    assert found == {"bought_before": (2, 0.5), "popular": (2, 0.5), "union": (3, 0.75)}


def test_a_day_without_purchases_has_no_recall() -> None:
    assert measure_recall(proposed_database([], PROPOSED), DAY, CHANNELS).num_rows == 0
