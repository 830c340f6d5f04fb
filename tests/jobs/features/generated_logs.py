"""Logs of random events for the oracle of declared features, and the catalogue of their items."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from jobs.config import FeaturesConfig, ScenarioConfig, load_scenario
from jobs.features.categories import item_levels
from jobs.logs.tables import EVENTS, ITEMS
from tests.jobs import drawn_logs as shared
from tests.jobs.features.declared_oracle import Event

FIRST_DAY, NUM_DAYS = date(2017, 11, 25), 9
DAYS = [FIRST_DAY + timedelta(days=number) for number in range(NUM_DAYS + 2)]
TYPES = ("cart", "purchase", "rating", "email_sent")
_PATHS = {
    "i0": "D0 / C / T",
    "i1": "D0 / C / S",
    "i2": "D1 / C / T",
    "cheap": "D0 / C / T",
    "dear": "D1 / C / T",
}
_BRANDS = {"i0": "b0", "i2": "b0", "i3": "b1"}  # i1 has none
_PRICES = {"i0": 500, "i1": 70, "i2": 500, "i3": None, "cheap": 499, "dear": 501}
_PRICE_QUANTILES = {"i0": 0.75, "i1": 0.5, "i2": 0.25}  # within their types; i3 has no category and no price


def scenario_with(features: FeaturesConfig) -> ScenarioConfig:
    return load_scenario("taobao").model_copy(update={"features": features})


def drawn_logs() -> st.SearchStrategy[list[list[Event]]]:
    return shared.drawn_logs(random_event).map(_of_own)


def random_logs(count: int) -> list[list[Event]]:
    return _of_own(shared.seeded_logs(random_event, count))


def random_event(chance: random.Random) -> Event:
    """Days and values are few, and ties common."""
    day = chance.choice(DAYS[:NUM_DAYS])
    kind = chance.choice(TYPES)
    item = "" if kind == "email_sent" else f"i{chance.randint(0, 3)}"
    position = chance.choice([None, 0, 1])
    return {
        "ds": day,
        "event_time": datetime(day.year, day.month, day.day, chance.randint(0, 1), tzinfo=UTC),
        "user_id": f"u{chance.randint(0, 1)}",
        "item_id": item or None,
        "event_type": kind,
        "surface": chance.choice([None, "home", "ads"]),
        "position": position,
        "quantity": chance.choice([0, 1, 2]) if kind == "purchase" else None,
        "value": chance.choice([None, 0, 5, 199]),
        "rating": chance.choice([0.5, 3.0, 4.5]) if kind == "rating" else None,
        "day": day,
        "place": -1 if position is None else position,
        **_of_item(item),
    }


def _of_own(logs: list[list[Event]]) -> list[list[Event]]:
    """Users, items and surfaces that no other log has."""
    return [
        [_renamed(event, case, number) for number, event in enumerate(log)] for case, log in enumerate(logs)
    ]


def _renamed(event: Event, case: int, number: int) -> Event:
    names = {
        name: event[name] and f"{case}-{event[name]}" for name in ("user_id", "item_id", "surface")
    }  # fmt: skip
    own = {"event_id": f"{case}-{number}", "user": names["user_id"], "item": names["item_id"]}
    return {**event, **names, **own}


def _of_item(suffix: str) -> dict[str, Any]:
    """What the catalogue says of an item."""
    path = _PATHS.get(suffix)
    names = path.split(" / ") if path else []
    levels = ("department", "category", "type")
    return {
        **{level: " / ".join(names[:depth]) or None for depth, level in enumerate(levels, start=1)},
        "brand": _BRANDS.get(suffix),
        "price_quantile": _PRICE_QUANTILES.get(suffix),
    }


def frame(spark: SparkSession, events: list[Event]) -> DataFrame:
    return spark.createDataFrame(pa.Table.from_pylist([dict(e) for e in events], EVENTS.arrow_schema()))


def catalogue(events: list[Event]) -> pa.Table:
    """The catalogue of all cases: their items, and one that is cheaper than i0, one dearer than i2."""
    rows = [
        {
            "ds": FIRST_DAY,
            "item_id": f"{case}-{suffix}",
            "category_path": _PATHS[suffix].split(" / ") if suffix in _PATHS else [],
            "brand": _BRANDS.get(suffix),
            "price": price,
        }
        for case in sorted({event["user_id"].split("-")[0] for event in events})
        for suffix, price in _PRICES.items()
    ]
    return pa.Table.from_pylist(rows, ITEMS.arrow_schema())


def levels_of(spark: SparkSession, events: list[Event]) -> DataFrame:
    return item_levels(spark.createDataFrame(catalogue(events)))
