"""Logs of random events for the oracle of declared features, and the catalogue of their items."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from jobs.config import FeaturesConfig, ScenarioConfig, load_scenario
from jobs.features.categories import item_levels
from jobs.logs.tables import EVENTS, ITEMS
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


def random_log(seed: int, size: int = 12) -> list[Event]:
    """A log whose users, items and surfaces no other seed has; days and values are few, and ties common."""
    chance = random.Random(seed)
    return [random_event(chance, seed, number) for number in range(chance.randint(1, size))]


def random_event(chance: random.Random, case: int, number: int) -> Event:
    day = chance.choice(DAYS[:NUM_DAYS])
    kind = chance.choice(TYPES)
    user, item = f"{case}-u{chance.randint(0, 1)}", f"i{chance.randint(0, 3)}"
    if kind == "email_sent":
        item = ""
    surface = chance.choice([None, f"{case}-home", f"{case}-ads"])
    position = chance.choice([None, 0, 1])
    row = {
        "ds": day,
        "event_id": f"{case}-{number}",
        "event_time": datetime(day.year, day.month, day.day, chance.randint(0, 1), tzinfo=UTC),
        "user_id": user,
        "item_id": f"{case}-{item}" if item else None,
        "event_type": kind,
        "surface": surface,
        "position": position,
        "quantity": chance.choice([0, 1, 2]) if kind == "purchase" else None,
        "value": chance.choice([None, 0, 5, 199]),
        "rating": chance.choice([0.5, 3.0, 4.5]) if kind == "rating" else None,
    }
    return {
        **row,
        "user": user,
        "item": row["item_id"],
        "day": day,
        "place": -1 if position is None else position,
        **_of_item(item),
    }


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
