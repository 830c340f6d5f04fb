from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from jobs.config import ScenarioConfig, load_scenario
from jobs.examples.day_examples import finish_examples, label_events, label_pairs
from jobs.examples.tables import examples
from jobs.features.config import DeclaredLabel
from jobs.lake.day_tasks import DayDatabase
from tests.jobs.day_database import day_database, rows_of
from tests.jobs.examples.test_feature_columns import feature_views

DAY = date(2017, 3, 1)
_PAIR = "user_id VARCHAR, item_id VARCHAR"
_CANDIDATE = f"{_PAIR}, channels INTEGER, sampling_rate DOUBLE"
_BOUGHT = f"{_PAIR}, line_count BIGINT, spend BIGINT, discount_line_count BIGINT"


@pytest.fixture(scope="module")
def config() -> ScenarioConfig:
    return load_scenario("grocery")


def test_candidates_are_labelled_with_what_was_bought_and_masked_where_nothing_was() -> None:
    database = day_database(
        candidate=(_CANDIDATE, [("u", name, 1, 0.1) for name in ("bought", "on discount", "never")]),
        acted=(
            _BOUGHT,
            [("u", "bought", 1, 250, 0), ("u", "on discount", 3, 300, 1), ("u", "missed", 1, 999, 1)],
        ),
    )

    label_pairs(database, ())

    assert rows_of(database, "SELECT * FROM labelled_pair") == [
        ("u", "bought", True, 0.1, 1, 250, 0),
        ("u", "missed", False, 1.0, 1, 999, 1),  # bought, though no channel proposed it
        ("u", "never", True, 0.1, 0, 0, None),
        ("u", "on discount", True, 0.1, 1, 300, 1),
    ]


def test_a_declared_label_is_0_where_nothing_happened_unless_it_is_masked_there() -> None:
    labels = [
        {"name": "label_cart", "events": ["cart"]},
        {"name": "label_like", "events": ["favorite"], "given": ["click"]},
        {"name": "label_rating", "events": ["rating"], "measure": "last", "of": "rating"},
    ]
    database = day_database(
        candidate=(_CANDIDATE, [("u", "never", 1, 0.1), ("u", "clicked", 1, 1.0)]),
        acted=(
            f"{_BOUGHT}, label_cart INTEGER, label_like INTEGER, label_rating DOUBLE",
            [("u", "clicked", None, None, None, 0, 0, None), ("u", "missed", 1, 5, 0, None, None, None),
             ("u", "rated", None, None, None, 1, None, 4.5)],
        ),
    )  # fmt: skip

    label_pairs(database, [DeclaredLabel.model_validate(label) for label in labels])

    names = "item_id, from_candidates, label_purchase, label_cart, label_like, label_rating"
    assert rows_of(database, f"SELECT {names} FROM labelled_pair") == [
        ("clicked", True, 0, 0, 0, None), ("missed", False, 1, 0, None, None),
        ("never", True, 0, 0, None, None), ("rated", False, 0, 1, None, 4.5),
    ]  # fmt: skip


def labelled_database(config: ScenarioConfig, pairs: list[tuple[str, str]]) -> DayDatabase:
    return day_database(
        **feature_views(),
        labelled_pair=(
            f"{_PAIR}, from_candidates BOOLEAN, sampling_rate DOUBLE, label_purchase INTEGER, "
            "label_spend BIGINT, label_buys_on_discount INTEGER",
            [(*pair, True, 0.1, 1, 5, None) for pair in pairs],
        ),
        labelled_user=(
            "user_id VARCHAR, from_candidates BOOLEAN, sampling_rate DOUBLE, "
            "label_category_interest INTEGER[]",
            [(user, True, 1.0, [0, 1]) for user in sorted({user for user, _ in pairs})],
        ),
    )


def finished(config: ScenarioConfig, pairs: list[tuple[str, str]], day: date = DAY) -> pa.Table:
    return finish_examples(labelled_database(config, pairs), day, config, examples(config))


def test_finished_rows_have_all_columns_in_order_and_an_id_of_their_own(config: ScenarioConfig) -> None:
    pairs = [(f"u{user}", f"i{item}") for user in range(20) for item in range(20)]
    pairs += [("u1", "1i"), ("u11", "i"), ("u", "i")]

    rows = finished(config, pairs)
    next_day = finished(config, pairs, date(2017, 3, 2))

    assert rows.column_names == examples(config).column_names
    ids = rows["example_id"].to_pylist()
    assert ids == sorted(ids)
    assert len({*ids, *next_day["example_id"].to_pylist()}) == 2 * (len(pairs) + 21)
    of_pair: dict[str, Any] = next(
        row for row in rows.to_pylist() if row["item_id"] == "i" and row["user_id"] == "u"
    )
    assert (of_pair["example_kind"], of_pair["ds"], of_pair["user_item_rank"]) == ("user_item", DAY, 1)
    assert (of_pair["label_spend"], of_pair["label_category_interest"], of_pair["label_coupon"]) == (
        5,
        None,
        None,
    )
    of_user = next(
        row for row in rows.to_pylist() if row["example_kind"] == "user_day" and row["user_id"] == "u"
    )
    assert (of_user["item_id"], of_user["label_purchase"], of_user["item_rank"]) == (None, None, None)
    assert (of_user["user_day_count"], of_user["label_category_interest"]) == (1, [0, 1])
    assert rows.schema.field("label_category_interest").type == pa.list_(pa.int32())


def test_an_example_keeps_its_id_whatever_other_rows_there_are(config: ScenarioConfig) -> None:
    alone, beside = finished(config, [("u", "i")]), finished(config, [("u", "i"), ("v", "i")])

    ids = [
        next(row["example_id"] for row in rows.to_pylist() if (row["user_id"], row["item_id"]) == ("u", "i"))
        for rows in (alone, beside)
    ]

    assert ids[0] == ids[1]


_ATTRIBUTED = (
    "user_id VARCHAR, item_id VARCHAR, anchor_id VARCHAR, event_id VARCHAR, event_type VARCHAR, "
    "event_time TIMESTAMPTZ, surface VARCHAR, position INTEGER, query VARCHAR, price BIGINT, "
    "quantity BIGINT, value BIGINT, discount BIGINT, rating DOUBLE"
)


def attributed_row(anchor: str, event: str, kind: str, minute: int = 0, **money: Any) -> list[Any]:
    given = [money.get(name) for name in ("price", "quantity", "value", "discount", "rating")]
    at = datetime(2017, 3, 1, 18, minute, tzinfo=UTC)
    return ["u", "i", anchor, event, kind, at, "home", 3, "Red mug", *given]


def labelled_events(rows: list[list[Any]], labels: list[dict[str, Any]], rate: float = 1.0) -> DayDatabase:
    database = day_database(attributed=(_ATTRIBUTED, rows))
    label_events(database, [DeclaredLabel.model_validate(label) for label in labels], rate, "Asia/Shanghai")
    return database


def test_an_anchor_event_is_labelled_with_what_was_attributed_to_it() -> None:
    database = labelled_events(
        [
            attributed_row("a", "a", "impression"),
            attributed_row("a", "click", "click"),
            attributed_row("a", "buy 1", "purchase", value=250, discount=0),
            attributed_row("a", "buy 2", "purchase", value=100, discount=10),
            attributed_row("b", "b", "impression", minute=1),
        ],
        [
            {"name": "label_click", "events": ["click"]},
            {"name": "label_cart", "events": ["cart"], "given": ["click"]},
        ],
    )

    names = "event_id, label_click, label_cart, label_purchase, label_spend, label_buys_on_discount"
    assert rows_of(database, f"SELECT {names} FROM labelled_pair") == [
        ("a", 1, 0, 1, 350, 1),
        ("b", 0, None, 0, 0, None),
    ]
    context = "item_id, surface, position, anchor_hour, query_words"
    assert rows_of(database, f"SELECT DISTINCT {context} FROM labelled_pair") == [
        ("i", "home", 3, 2, ["red", "mug"])  # 18:00 UTC is 2 o'clock in Shanghai
    ]


def test_a_rating_is_its_own_anchor_and_a_like_from_four_on() -> None:
    database = labelled_events(
        [attributed_row(name, name, "rating", rating=value) for name, value in (("a", 3.5), ("b", 4.0))],
        [
            {"name": "label_like", "measure": "last", "of": "rating", "at_least": 4, "events": ["rating"]},
            {"name": "label_rating", "measure": "last", "of": "rating", "events": ["rating"]},
        ],
    )

    assert rows_of(database, "SELECT event_id, label_like, label_rating FROM labelled_pair") == [
        ("a", 0, 3.5), ("b", 1, 4.0)
    ]  # fmt: skip


def test_anchor_events_that_nothing_followed_are_kept_at_the_rate_that_they_carry() -> None:
    shown = [attributed_row(f"a{number}", f"a{number}", "impression") for number in range(2000)]
    followed = [attributed_row(f"a{number}", f"c{number}", "click") for number in range(100)]
    label = [{"name": "label_click", "events": ["click"]}]

    rows = rows_of(
        labelled_events([*shown, *followed], label, 0.25),
        "SELECT label_click, sampling_rate, count(*), min(event_id) FROM labelled_pair GROUP BY ALL",
    )
    again = labelled_events([*followed, *shown[::-1]], label, 0.25)

    (_, low_rate, num_others, _), (_, full_rate, num_clicked, _) = rows
    assert (low_rate, full_rate, num_clicked) == (0.25, 1.0, 100)
    assert abs(num_others - 475) < 60
    assert rows == rows_of(
        again, "SELECT label_click, sampling_rate, count(*), min(event_id) FROM labelled_pair GROUP BY ALL"
    )
