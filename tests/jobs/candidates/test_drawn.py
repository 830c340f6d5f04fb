from collections import Counter
from datetime import timedelta

import pytest
from pydantic import ValidationError

from jobs.candidates.build_candidates import sample_candidates
from jobs.candidates.channels import add_day_items, propose
from jobs.candidates.drawn import DRAWN_BIT, add_drawn
from jobs.examples.config import DrawnConfig, ExamplesConfig
from jobs.lake.day_tasks import DayDatabase
from tests.jobs.candidates.test_channels import CONFIG, DAY, make_database
from tests.jobs.day_database import rows_of

DRAWN = "SELECT user_id, item_id FROM proposed WHERE channels & {} != 0"


def drawn_database(drawn: DrawnConfig, num_users: int = 2, day: object = DAY) -> DayDatabase:
    database = make_database(fuel_line=1000)
    for number in range(2, num_users):
        database.execute("INSERT INTO anchored VALUES (?)", [f"u{number}"])
    add_day_items(database, DAY, 7, CONFIG.max_line_quantity)
    propose(database, CONFIG)
    add_drawn(database, CONFIG, drawn, day)
    return database


def test_items_are_drawn_as_often_as_they_are_popular_and_excluded_ones_never() -> None:
    database = drawn_database(DrawnConfig(by_popularity=1), num_users=4000)

    drawn = rows_of(database, DRAWN.format(DRAWN_BIT["by_popularity"]))

    counts = Counter(item for _, item in drawn)
    popularity = {"best": 90, "good": 80, "fair": 70, "other": 60, "loner": 50}
    fuel, total = 40, sum(popularity.values()) + 40
    assert set(counts) == set(popularity)
    for item, users in popularity.items():
        assert counts[item] / 4000 == pytest.approx(users / total, abs=0.025)
    assert 4000 - len(drawn) == pytest.approx(4000 * fuel / total, rel=0.2)


def test_draws_within_departments_are_of_those_that_the_user_chooses() -> None:
    database = drawn_database(DrawnConfig(within_departments=40))

    drawn = rows_of(database, DRAWN.format(DRAWN_BIT["within_departments"]))

    assert drawn == [("a", "best"), ("a", "fair"), ("a", "good"), ("b", "other")]


def test_pairs_stand_once_with_all_their_channels_and_are_drawn_alike_again_but_not_tomorrow() -> None:
    config = DrawnConfig(by_popularity=2, within_departments=1)

    first, again = (rows_of(drawn_database(config, 300), "FROM proposed") for _ in range(2))
    tomorrow = rows_of(drawn_database(config, 300, DAY + timedelta(days=1)), "FROM proposed")

    assert first == again != tomorrow
    assert len({row[:2] for row in first}) == len(first)


def test_drawn_pairs_are_kept_at_the_rate_of_all_negatives_and_all_that_were_acted_on() -> None:
    database = drawn_database(DrawnConfig(by_popularity=2), num_users=3000)
    pairs = rows_of(database, "SELECT user_id, item_id FROM proposed")
    acted = [pair for pair in pairs if pair[1] == "loner"]
    database.execute("CREATE TABLE acted (user_id VARCHAR, item_id VARCHAR)")
    database.executemany("INSERT INTO acted VALUES (?, ?)", acted)

    rows = sample_candidates(database, DAY, rate=0.2).to_pylist()

    rates = {(row["user_id"], row["item_id"]): row["sampling_rate"] for row in rows}
    assert {pair for pair, rate in rates.items() if rate == 1.0} == set(acted)
    num_kept = sum(rate == 0.2 for rate in rates.values())
    assert num_kept == len(rates) - len(acted)
    assert num_kept == pytest.approx(0.2 * (len(pairs) - len(acted)), rel=0.15)


def test_a_user_who_chooses_no_department_and_a_day_without_popular_items_draw_nothing() -> None:
    database = drawn_database(DrawnConfig(within_departments=3), num_users=3)
    assert rows_of(database, DRAWN.format(DRAWN_BIT["within_departments"]) + " AND user_id = 'u2'") == []

    empty = make_database()
    add_day_items(empty, DAY, 7, CONFIG.max_line_quantity)
    empty.execute("DELETE FROM item")
    propose(empty, CONFIG)
    add_drawn(empty, CONFIG, DrawnConfig(by_popularity=3, within_departments=3), DAY)
    assert rows_of(empty, DRAWN.format(sum(DRAWN_BIT.values()))) == []


def test_events_as_anchors_draw_nothing() -> None:
    with pytest.raises(ValidationError, match="drawn is for user-days"):
        ExamplesConfig.model_validate({
            "anchor": "impression", "label_window_days": 1, "training_weeks": 1,
            "negative_sampling_rate": 1.0, "drawn": {"by_popularity": 1},
        })  # fmt: skip
