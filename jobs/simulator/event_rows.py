"""Events of a day as rows of the log: ids, words and money; and the truth that stands beside them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.simulator.catalogue import count_categories, item_ids
from jobs.simulator.config import SimulationConfig
from jobs.simulator.coupons import CAMPAIGN_DAYS, coupon_ids
from jobs.simulator.faults import Landed, spoil
from jobs.simulator.funnel import EVENT_TYPES, PURCHASE, Events, quantity_of
from jobs.simulator.impressions import SLOTS, Impressions
from jobs.simulator.population import Users, user_ids
from jobs.simulator.random_numbers import Bools, Floats, Ints
from jobs.simulator.sessions import SEARCH, SURFACES, Requests
from jobs.simulator.words import ADJECTIVES, CATEGORIES

_INSTANT = pa.timestamp("us", tz="UTC")
_QUERIES = tuple(f"{word} {name}".strip() for _, name in CATEGORIES for word in (*ADJECTIVES, ""))
_EVENT_NUMBERS = tuple(f"{slot}-{kind}" for slot in range(SLOTS) for kind in range(len(EVENT_TYPES)))


@dataclass(frozen=True)
class Scene:
    """What the events of some sessions point into."""

    config: SimulationConfig
    day: int
    users: Users
    requests: Requests
    shown: Impressions


def event_table(scene: Scene, events: Events, landed: Landed) -> pa.Table:
    """The columns of the log, one row per landed row."""
    impression, event_type = events.impression[landed.event], events.event_type[landed.event]
    shown = scene.shown
    request, item = shown.request[impression], shown.item[impression]
    user_column, request_column = _request_columns(scene)
    request_id = _take(request_column, request)
    table = pa.table({
        "event_id": _event_ids(request_id, shown.position[impression], event_type),
        "event_time": _instants(scene, landed.event_time),
        "ingested_at": _instants(scene, landed.ingested_at),
        "user_id": _take(user_column, request),
        "item_id": item_ids(item),
        "event_type": _take(pa.array(EVENT_TYPES), event_type),
        "request_id": request_id,
        "surface": _take(pa.array(SURFACES), shown.surface[impression]),
        "position": pa.array(shown.position[impression].astype(np.int32)),
        "price": shown.price[impression],
        **_money(scene, events, landed.event),
        "query": _queries(scene.requests, request),
    })  # fmt: skip
    return spoil(table, landed.fault) if landed.fault.any() else table


def truth_table(scene: Scene, labels: dict[str, Floats]) -> pa.Table:
    """One row per impression, named by the id of its event: the true probability of each label."""
    shown = scene.shown
    user_column, request_column = _request_columns(scene)
    request_id = _take(request_column, shown.request)
    return pa.table({
        "event_id": _event_ids(request_id, shown.position, np.zeros_like(shown.item)),
        "user_id": _take(user_column, shown.request),
        "item_id": item_ids(shown.item),
        "shown_at": pa.array(shown.shown_at).cast(_INSTANT),
        **{name: values.astype(np.float32) for name, values in labels.items()},
    })  # fmt: skip


def _request_columns(scene: Scene) -> tuple[pa.Array, pa.Array]:
    """(user id, request id) of each request."""
    users = user_ids(scene.users.number[scene.requests.user])
    number = pa.array(scene.requests.number).cast("string")
    return users, pc.binary_join_element_wise(users, str(scene.day), number, "-")


def _event_ids(request_id: pa.Array, position: Ints, event_type: Ints) -> pa.Array:
    numbers = _take(pa.array(_EVENT_NUMBERS), position * len(EVENT_TYPES) + event_type)
    return pc.binary_join_element_wise(request_id, numbers, "-")


def _instants(scene: Scene, microseconds: Ints) -> pa.Array:
    """Timestamps; texts where the format has none."""
    instants = pa.array(microseconds).cast(_INSTANT)
    return instants if scene.config.format == "parquet" else instants.cast("string")


def _money(scene: Scene, events: Events, event: Ints) -> dict[str, pa.Array]:
    """Quantity, value (before the coupon) and discount of purchases; the coupon where one is redeemed."""
    shown, impression = scene.shown, events.impression[event]
    is_purchase, with_coupon = events.event_type[event] == PURCHASE, events.with_coupon[event]
    bought = impression[is_purchase]
    quantity = quantity_of(shown.keys[bought])
    value = quantity * shown.price[bought]
    discount = np.rint(value * shown.discount_rate[bought] * with_coupon[is_purchase]).astype(np.int64)
    num_categories = count_categories(scene.config)
    coupons = coupon_ids(scene.day // CAMPAIGN_DAYS, np.arange(num_categories))
    return {
        "quantity": _spread(quantity, is_purchase),
        "value": _spread(value, is_purchase),
        "discount": _spread(discount, is_purchase),
        "coupon_id": _take(coupons, shown.item[impression] % num_categories, with_coupon),
    }


def _queries(requests: Requests, request: Ints) -> pa.Array:
    """The words of searches; null for other requests."""
    number = requests.category * (len(ADJECTIVES) + 1) + requests.adjective
    return _take(pa.array(_QUERIES), number[request], requests.surface[request] == SEARCH)


def _spread(values: Ints, rows: Bools) -> pa.Array:
    """`values` on the rows that are marked, null on the others."""
    spread = np.zeros(len(rows), dtype=np.int64)
    spread[rows] = values
    return pa.array(spread, mask=~rows)


def _take(values: pa.Array, index: Ints, rows: Bools | None = None) -> pa.Array:
    """`values[index]`, null on the rows that are not marked."""
    return values.take(pa.array(index, mask=None if rows is None else ~rows))
