from collections.abc import Sequence
from typing import Any

import pytest

from jobs.candidates.channels import BIT
from jobs.config import RecommendConfig
from jobs.lake.day_tasks import DayDatabase
from jobs.recommend.shelves import rank_shelves, utility_sql
from tests.jobs.day_database import day_database

CONFIG = RecommendConfig(
    surface="home", items_per_user=3, utility={"purchase": 1.0}, max_per_category=2, coupons_per_user=1,
    complements_per_item=1, min_baskets_together=1,
)  # fmt: skip
_SCORED = (
    "user_id VARCHAR, item_id VARCHAR, category_id VARCHAR, p_purchase DOUBLE, expected_spend DOUBLE, "
    "p_buys_on_discount DOUBLE, channels INTEGER, user_item_line_count BIGINT, "
    "user_item_days_since_last BIGINT, user_item_mean_interval DOUBLE, type_id VARCHAR"
)


def scored(*rows: tuple[str, str, str | None, float]) -> DayDatabase:
    """Rows are (user, item, category, probability of purchase)."""
    return day_database(scored=(_SCORED, [(*row, 250.0, 0.5, 1, None, None, None, None) for row in rows]))


def test_utility_is_the_weighted_sum_of_predictions_spend_in_whole_units() -> None:
    weights = {"purchase": 2.0, "spend": 0.1, "buys_on_discount": -1.0}

    (utility,) = scored(("u", "i", "c", 0.3)).sql(f"SELECT {utility_sql(weights)} FROM scored").fetchall()[0]

    assert utility == pytest.approx(2 * 0.3 + 0.1 * 2.50 - 0.5)


def test_a_shelf_tells_the_prediction_of_each_task_of_the_utility() -> None:
    database = scored(("u", "i", "c", 0.3))
    rules = CONFIG.model_copy(update={"utility": {"purchase": 1.0, "spend": 0.1}})

    (row,) = rank_shelves(database, rules).to_pylist()

    assert dict(row["predictions"]) == {"purchase": 0.3, "spend": 250.0}


def test_a_shelf_holds_the_best_within_the_cap_per_category_ranked_from_1() -> None:
    database = scored(
        ("u", "a", "milk", 0.9), ("u", "b", "milk", 0.8), ("u", "third of milk", "milk", 0.7),
        ("u", "c", "beer", 0.2), ("u", "d", "beer", 0.1),
        ("nulls", "x", None, 0.3), ("nulls", "y", None, 0.2), ("nulls", "z", None, 0.1),
        ("ties", "9", "p", 0.5), ("ties", "10", "q", 0.5), ("ties", "11", "r", 0.5), ("ties", "12", "s", 0.5),
        ("one", "i", "c", 0.0),
    )  # fmt: skip

    shelves: dict[str, list[tuple[int, str]]] = {}
    for row in rank_shelves(database, CONFIG).to_pylist():
        shelves.setdefault(row["user_id"], []).append((row["rank"], row["item_id"]))

    assert shelves == {
        "u": [(1, "a"), (2, "b"), (3, "c")],
        "nulls": [(1, "x"), (2, "y"), (3, "z")],  # no cap where there is no category
        "ties": [(1, "10"), (2, "11"), (3, "12")],  # in the order of the text
        "one": [(1, "i")],
    }
    assert list(shelves) == sorted(shelves)


_REASONS: list[tuple[list[str], tuple[int, int, float | None] | None, str]] = [
    # channels; lines of the pair, days since the last, mean interval; the reason
    (["bought_before"], (1, 1, None), "Bought once, last yesterday"),
    (["popular", "bought_before"], (12, 3, 6.6), "Bought 12 times, last 3 days ago; usually every 7 days"),
    (["bought_before"], (9, 2, 1.2), "Bought 9 times, last 2 days ago; usually every day"),
    (["bought_before", "on_promotion"], (1, 30, None), "Bought once, last 30 days ago, on promotion"),
    (["popular_in_type", "popular"], None, "The favourite in Pasta: Long, which this user often chooses"),
    (
        ["popular_in_department", "on_promotion"],
        None,
        "Popular in a department this user often chooses: Pasta: Long, on promotion",
    ),
    (["on_promotion"], None, "On offer in Pasta: Long, which this user often chooses"),
    (["popular", "on_promotion"], None, "On offer in Pasta: Long, which this user often chooses"),
    (["popular"], None, "Popular with everyone"),
]


def test_reasons_are_readable() -> None:
    cases = [(channels, pair, "GROCERY / DRY / PASTA: LONG") for channels, pair, _ in _REASONS]

    assert reasons_of(cases) == [text for *_, text in _REASONS]


def test_an_item_without_a_type_has_a_reason_as_well() -> None:
    """The catalogue knows some products by their department only."""
    assert reasons_of([(["popular_in_department"], None, None), (["popular"], None, None)]) == [
        "Popular in a department this user often chooses", "Popular with everyone"
    ]  # fmt: skip


def reasons_of(cases: Sequence[tuple[list[str], Any, str | None]]) -> list[str]:
    """Each case is a user with one item."""
    rows = []
    for number, (channels, pair, type_id) in enumerate(cases):
        mask = sum(BIT[name] for name in channels)
        rows.append((f"u{number}", "i", "c", 0.5, 1.0, 0.5, mask, *(pair or (None, None, None)), type_id))
    shelves = rank_shelves(day_database(scored=(_SCORED, rows)), CONFIG).to_pylist()
    found = sorted(shelves, key=lambda row: int(row["user_id"][1:]))
    assert [sorted(row["channels"]) for row in found] == [sorted(channels) for channels, *_ in cases]
    return [row["reason"] for row in found]
