from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from jobs.candidates.channels import BIT, CHANNELS, add_day_items, channels_of, check_channels, propose
from jobs.config import CandidatesConfig, load_scenario
from jobs.lake.day_tasks import DayDatabase
from tests.jobs.day_database import day_database, rows_of

DAY = date(2017, 3, 1)  # a Wednesday
CONFIG = CandidatesConfig(
    bought_before=2, popular=1, popular_departments=1, popular_per_department=2, popular_types=2,
    popular_per_type=1, on_promotion=1, min_promotion_share=0.5, max_line_quantity=100,
)  # fmt: skip
_ITEMS = {  # item: (path, rank, rank in department, rank in type, users in 28 days)
    "best": (["D1", "C", "T1"], 1, 1, 1, 90),
    "good": (["D1", "C", "T2"], 2, 2, 1, 80),
    "fair": (["D1", "C", "T2"], 3, 3, 2, 70),
    "other": (["D2", "C", "T3"], 4, 1, 1, 60),
    "loner": ([], 5, 1, 1, 50),
    "fuel": (["D1", "C", "T1"], 6, 4, 2, 40),
}
_T1, _T2, _T3 = "D1 / C / T1", "D1 / C / T2", "D2 / C / T3"
_PROMOTION = (
    "item_id VARCHAR, kind VARCHAR, valid_from DATE, valid_to DATE, display_share DOUBLE, mailer_share DOUBLE"
)
_WEEK = (DAY, DAY + timedelta(6))

Proposals = dict[str, set[tuple[str, str]]]


def make_database(fuel_line: int = 1, promotions: tuple[tuple[Any, ...], ...] | None = None) -> DayDatabase:
    """User `a` shops T1 and T2 of D1, and less in T3 of D2; user `b` shops T3 only."""
    category = [
        ("a", "department", "D1", 1, 0.9), ("a", "department", "D2", 2, 0.1),
        ("a", "type", _T1, 1, 0.6), ("a", "type", _T2, 2, 0.3), ("a", "type", _T3, 3, 0.1),
        ("b", "department", "D2", 1, 1.0), ("b", "type", _T3, 1, 1.0),
    ]  # fmt: skip
    own = [("a", "best", 1), ("a", "loner", 2), ("a", "fair", 3), ("b", "fuel", 1)]
    items = [(item, *values[1:], fuel_line if item == "fuel" else 3) for item, values in _ITEMS.items()]
    on_offer = promotions or (
        ("fair", "placement", *_WEEK, 0.5, 0.0), ("good", "placement", *_WEEK, 0.0, 0.6),
        ("other", "placement", *_WEEK, 0.4, 0.49),
    )  # fmt: skip
    return day_database(
        anchored=("user_id VARCHAR", [("a",), ("b",)]),
        user_item=("user_id VARCHAR, item_id VARCHAR, user_item_rank BIGINT", own),
        user_category=(
            "user_id VARCHAR, level VARCHAR, category_id VARCHAR, user_category_rank BIGINT, "
            "user_category_share DOUBLE",
            category,
        ),
        item=(
            "item_id VARCHAR, item_rank BIGINT, item_rank_in_department BIGINT, item_rank_in_type BIGINT, "
            "item_user_count_28d BIGINT, item_max_line_quantity BIGINT",
            items,
        ),
        promotion=(_PROMOTION, on_offer),
        catalogue=(
            "item_id VARCHAR, brand VARCHAR, title VARCHAR, price BIGINT, category_path VARCHAR[]",
            [(item, "b", "t", 1, values[0]) for item, values in _ITEMS.items()],
        ),
    )


@pytest.fixture
def proposals() -> Callable[[int], Proposals]:
    """What each channel proposes where fuel was sold in a line of so many units."""

    def of(fuel_line: int) -> Proposals:
        database = make_database(fuel_line)
        add_day_items(database, DAY, 7, CONFIG.max_line_quantity)
        rows = propose(database, CONFIG).fetchall()
        assert len({row[:2] for row in rows}) == len(rows)  # each pair once
        found: Proposals = defaultdict(set)
        for user, item, channels in rows:
            for channel, bit in BIT.items():
                if channels & bit:
                    found[channel].add((user, item))
        return found

    return of


def test_each_channel_proposes_its_quota(proposals: Callable[[int], Proposals]) -> None:
    found = proposals(100)

    assert found == {
        "bought_before": {("a", "best"), ("a", "loner"), ("b", "fuel")},
        "popular": {("a", "best"), ("b", "best")},
        "popular_in_department": {("a", "best"), ("a", "good"), ("b", "other")},
        "popular_in_type": {("a", "best"), ("a", "good"), ("b", "other")},
        # of T2 both are strong enough: 0.3 x 80 users beats 0.3 x 70; `other` is below the share
        "on_promotion": {("a", "good")},
    }
    assert set(found) == set(channels_of(CONFIG)) == set(CHANNELS) - {"acted_on"}


def test_what_a_user_acted_on_is_proposed_up_to_its_quota() -> None:
    database = make_database()
    columns = "user_id VARCHAR, item_id VARCHAR, user_item_event_rank BIGINT"
    rows = [("a", "other", 1), ("a", "fair", 2), ("a", "good", 3)]
    database.register("user_item_event", day_database(event=(columns, rows)).table("event").to_arrow_table())
    add_day_items(database, DAY, 7, CONFIG.max_line_quantity)

    found = propose(database, CONFIG.model_copy(update={"acted_on": 2})).fetchall()

    bit = BIT["acted_on"]
    assert {(user, item) for user, item, mask in found if mask & bit} == {("a", "other"), ("a", "fair")}


def add_view(database: DayDatabase, name: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    database.register(name, day_database(event=(columns, rows)).table("event").to_arrow_table())


def test_where_nothing_is_sold_items_are_popular_by_their_events_and_what_is_known_is_left_out() -> None:
    database = make_database()
    for view in ("item", "user_item", "user_category"):
        database.execute(f"DELETE FROM {view}")
    ratings = [("good", 9), ("fair", 7), ("best", 7), ("other", 1), ("loner", 3), ("fuel", 0)]
    add_view(database, "item_event", "item_id VARCHAR, item_rating_count_28d BIGINT", ratings)
    shares = "user_id VARCHAR, level VARCHAR, category_id VARCHAR, user_category_rating_share DOUBLE"
    liked = [("a", "department", "D2", 0.6), ("a", "department", "D1", 0.4), ("b", "type", _T2, 1.0)]
    add_view(database, "user_category_event", shares, liked)
    known = "user_id VARCHAR, item_id VARCHAR, user_item_event_rank BIGINT"
    add_view(database, "user_item_event", known, [("b", "good", 1)])
    add_day_items(database, DAY, 7, CONFIG.max_line_quantity)
    by_events = {
        "popular": 3, "acted_on": 5, "exclude_known": True, "popular_by": "item_rating_count_28d",
        "favourite_by": "user_category_rating_share", "popular_per_type": 2,
    }  # fmt: skip

    found: Proposals = defaultdict(set)
    for user, item, channels in propose(database, CONFIG.model_copy(update=by_events)).fetchall():
        for channel, bit in BIT.items():
            if channels & bit:
                found[channel].add((user, item))

    assert found == {
        "popular": {("a", "good"), ("a", "best"), ("a", "fair"), ("b", "best"), ("b", "fair")},
        "popular_in_department": {("a", "other")},
        "popular_in_type": {("b", "fair")},
    }


def test_channels_go_by_declared_features_only() -> None:
    features = load_scenario("movies").features

    check_channels(load_scenario("movies").candidates, features)
    with pytest.raises(ValueError, match=r"candidates go by item_sales: declare it of item; .*item_rating"):
        check_channels(CONFIG.model_copy(update={"popular_by": "item_sales"}), features)


def test_an_item_that_was_sold_in_a_large_line_is_not_proposed(proposals: Callable[[int], Proposals]) -> None:
    found = proposals(101)

    assert found["bought_before"] == {("a", "best"), ("a", "loner")}


def test_items_have_the_levels_that_their_path_reaches() -> None:
    database = day_database(
        item=("item_id VARCHAR, item_max_line_quantity BIGINT", []),
        promotion=(_PROMOTION, []),
        catalogue=(
            "item_id VARCHAR, brand VARCHAR, title VARCHAR, price BIGINT, category_path VARCHAR[]",
            [("full", "b", "t", 1, ["D", "C", "T", "more"]), ("one", "b", "t", 1, ["D"]),
             ("none", "b", "t", 1, []), ("null", None, None, None, None)],
        ),
    )  # fmt: skip

    add_day_items(database, DAY, 7, 100)

    assert rows_of(database, "SELECT item_id, department_id, category_id, type_id FROM item_level") == [
        ("full", "D", "D / C", "D / C / T"), ("none", None, None, None), ("null", None, None, None),
        ("one", "D", None, None),
    ]  # fmt: skip


def test_an_item_has_the_words_of_its_title_and_its_place_among_the_prices_of_its_category() -> None:
    titles = {
        "a": "Été -- Toy Story 2 (1999)",
        "b": "!",
        "c": "",
        "d": None,
        "none": "RED mug",
        "twin": "x x",
    }
    prices = {"a": 10, "b": 20, "c": 20, "d": 30, "none": None, "twin": 5}
    rows = [(item, "b", titles.get(item), price, ["D", "C"]) for item, price in prices.items()]
    database = day_database(
        item=("item_id VARCHAR, item_max_line_quantity BIGINT", []),
        promotion=(_PROMOTION, []),
        catalogue=(
            "item_id VARCHAR, brand VARCHAR, title VARCHAR, price BIGINT, category_path VARCHAR[]",
            [*rows, ("alone", "b", "y", 7, ["D"])],
        ),
    )

    add_day_items(database, DAY, 7, 100)

    found = rows_of(database, "SELECT item_id, title_words, price_quantile FROM item_catalogue")
    assert found == [
        ("a", ["été", "toy", "story", "2", "1999"], 300), ("alone", ["y"], 500), ("b", [], 600),
        ("c", [], 600), ("d", None, 900), ("none", ["red", "mug"], None), ("twin", ["x", "x"], 100),
    ]  # fmt: skip


def test_promoted_share_is_the_mean_over_the_days_of_the_label_window() -> None:
    monday, week = date(2017, 2, 27), timedelta(days=6)
    database = make_database(
        promotions=(
            # five days of the window, Wednesday to Sunday, and its last two days
            ("x", "placement", monday, monday + week, 0.5, 0.0),
            ("x", "placement", monday + timedelta(7), monday + timedelta(13), 1.0, 0.7),
            ("ends", "placement", DAY - timedelta(3), DAY, 0.7, 0.0),
            ("ended", "placement", DAY - timedelta(7), DAY - timedelta(1), 1.0, 1.0),
            ("last", "placement", DAY + timedelta(6), DAY + timedelta(9), 0.0, 1.0),
            ("after", "placement", DAY + timedelta(7), DAY + timedelta(9), 1.0, 1.0),
            ("c1", "coupon", DAY, DAY + timedelta(9), 1.0, 1.0),
        )
    )

    add_day_items(database, DAY, 7, CONFIG.max_line_quantity)

    assert rows_of(database, "SELECT * FROM promoted") == [
        ("ends", pytest.approx(0.1), 0.0),
        ("last", 0.0, pytest.approx(1 / 7)),
        ("x", pytest.approx((5 * 0.5 + 2 * 1.0) / 7), pytest.approx(2 * 0.7 / 7)),
    ]
