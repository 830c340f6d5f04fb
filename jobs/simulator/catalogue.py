"""Items: everything about an item is a function of its number, so that no task holds the catalogue.

Item n is the (n // C)-th most popular one of category n % C, of C categories. Its public id is a
one-to-one scramble of n: an id tells nothing.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.simulator.config import SimulationConfig
from jobs.simulator.random_numbers import Floats, Ints, Keys, normal, root_keys, uniform
from jobs.simulator.words import ADJECTIVES, BRANDS, CATEGORIES

NEW_ITEM_SHARE = 0.15
"""Share of the items that are released during the simulated days."""

HOT_ITEM = 0
"""The item that `hot_item_share` of the sessions are shown first thing."""

ITEMS_PER_TASK = 200_000

_ITEMS_PER_CATEGORY = 20  # at least
_SCRAMBLE = 2654435761  # odd, hence one-to-one modulo 2^32
_PRICE_SPREAD = 0.5


@dataclass(frozen=True)
class Items:
    """Attributes of items, one element per item: prices in cents, release as a day of the simulation."""

    category: Ints
    adjective: Ints
    price: Ints
    relative_price: Floats
    quality: Floats
    release_day: Ints


def count_categories(config: SimulationConfig) -> int:
    return min(len(CATEGORIES), config.items // _ITEMS_PER_CATEGORY)


def items_in_category(config: SimulationConfig, category: Ints) -> Ints:
    categories = count_categories(config)
    return np.asarray((config.items - category + categories - 1) // categories)


def describe_items(config: SimulationConfig, item: Ints) -> Items:
    """`release_day` is -1 for items older than the log; `relative_price` is standard normal per category."""
    keys = root_keys(config.seed, "item", item)
    category = item % count_categories(config)
    relative_price = normal(keys, "relative price")
    release_day = arrival_day(keys, NEW_ITEM_SHARE, config.days)
    if config.hot_item_share:
        release_day[item == HOT_ITEM] = -1
    price = _category_prices(config)[category] * np.exp(_PRICE_SPREAD * relative_price)
    return Items(
        category=category,
        adjective=(uniform(keys, "adjective") * len(ADJECTIVES)).astype(np.int64),
        price=np.rint(price).astype(np.int64),
        relative_price=relative_price,
        quality=normal(keys, "quality"),
        release_day=release_day,
    )  # fmt: skip


def arrival_day(keys: Keys, new_share: float, days: int) -> Ints:
    """-1 for what is older than the log, else a day of the simulation, all equally likely."""
    draw = uniform(keys, "arrival") / new_share
    return np.where(draw < 1, draw * days, -1).astype(np.int64)


def item_ids(item: Ints) -> pa.Array:
    """The public ids: "i" and a number that tells nothing."""
    return pc.binary_join_element_wise("i", pa.array(item * _SCRAMBLE % 2**32).cast("string"), "")


def _category_prices(config: SimulationConfig) -> Floats:
    """The median price of each category in cents: 5 to 150 of the currency, evenly in logarithms."""
    keys = root_keys(config.seed, "category", np.arange(count_categories(config)))
    return 500 * 30 ** uniform(keys, "price")


def items_table(config: SimulationConfig, item: Ints) -> pa.Table:
    """What the shop knows of its items; quality is not among it."""
    items = describe_items(config, item)
    names = pa.array([name for _, name in CATEGORIES]).take(pa.array(items.category))
    brand_draw = uniform(root_keys(config.seed, "item", item), "brand")
    brands = pa.array(BRANDS).take(pa.array((brand_draw * len(BRANDS)).astype(np.int64)))
    adjectives = pa.array(ADJECTIVES).take(pa.array(items.adjective))
    released = np.datetime64(config.first_day) + items.release_day
    return pa.table({
        "item_id": item_ids(item),
        "department": pa.array([name for name, _ in CATEGORIES]).take(pa.array(items.category)),
        "category": names,
        "brand": brands,
        "price": items.price,
        "title": pc.binary_join_element_wise(brands, adjectives, names, " "),
        "released_on": pa.array(released, mask=items.release_day < 0),
    })  # fmt: skip
