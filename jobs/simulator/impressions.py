"""What is shown: the items of each request, placed by the shop's ranker of the time."""

from dataclasses import dataclass, fields, replace

import numpy as np

from jobs.simulator.catalogue import HOT_ITEM, count_categories, describe_items, items_in_category
from jobs.simulator.config import SimulationConfig
from jobs.simulator.coupons import CAMPAIGN_DAYS, campaign_of, discount_rate, is_targeted
from jobs.simulator.population import FAVOURITE_WEIGHTS, Users
from jobs.simulator.random_numbers import (
    Bools,
    Floats,
    Ints,
    Keys,
    child_keys,
    exponential,
    normal,
    root_keys,
    uniform,
    zipf,
)
from jobs.simulator.sessions import ADS, SEARCH, Requests, draw_category

SLOTS = 10
_AD_SLOTS = 3
_NOVELTY_DAYS = 7.0
_TASTE_SPREAD = 0.3
_YEARLY = 0.4
_RANKER_NOISE = 1.0


@dataclass(frozen=True)
class Impressions:
    """Impressions, one element each; `request` is a row of Requests.

    `interest`, `burden` (of the price), `quality` and `age` (in days since the release, infinite for items
    older than the log) are what users decide on.
    """

    request: Ints
    keys: Keys
    item: Ints
    position: Ints
    surface: Ints
    shown_at: Ints
    price: Ints
    discount_rate: Floats
    interest: Floats
    burden: Floats
    quality: Floats
    age: Floats


def show_items(config: SimulationConfig, users: Users, day: int, requests: Requests) -> Impressions:
    """The impressions of the requests, by request; a position says where on the page."""
    slot_keys = child_keys(requests.keys[:, None], np.arange(SLOTS))
    items = _draw_items(config, users, requests, slot_keys)
    is_shown = ~_repeats(items)
    is_shown[requests.surface == ADS, _AD_SLOTS:] = False
    request, slot = np.nonzero(is_shown)
    shown = _describe(config, users, day, requests, request, slot_keys[request, slot], items[request, slot])
    return _place(_select(shown, shown.age >= 0), len(requests.user))


def appeal(shown: Impressions) -> Floats:
    """What an impression has for its user, as a part of the click's logit."""
    novelty = 0.5 * np.exp(-shown.age / _NOVELTY_DAYS)
    return shown.interest + 0.5 * shown.quality - shown.burden + novelty + 2.0 * shown.discount_rate


def draw_hot_sessions(config: SimulationConfig, requests: Requests) -> Bools:
    """The requests that begin with the hot item: the first ones of a share of the sessions."""
    return requests.is_first & (uniform(requests.keys, "hot item") < config.hot_item_share)


def _draw_items(config: SimulationConfig, users: Users, requests: Requests, keys: Keys) -> Ints:
    """Items, (requests, slots): the category by interest, the rank within it by popularity.

    Ads come from all ranks alike: who advertises is not yet popular.
    """
    categories = count_categories(config)
    drawn = draw_category(users.favourites[requests.user], keys, categories)
    category = np.where((requests.surface == SEARCH)[:, None], requests.category[:, None], drawn)
    counts = items_in_category(config, category)
    popular = zipf(keys, "rank", counts)
    advertised = (uniform(keys, "advertised rank") * counts).astype(np.int64)
    rank = np.where((requests.surface == ADS)[:, None], advertised, popular)
    items = rank * categories + category
    items[draw_hot_sessions(config, requests), 0] = HOT_ITEM
    return items


def _repeats(items: Ints) -> Bools:
    """Marks the slots, (requests, slots), whose item stands in an earlier slot of the request already."""
    order = np.argsort(items, axis=1, kind="stable")
    in_order = np.take_along_axis(items, order, axis=1)
    repeats = np.zeros(items.shape, dtype=bool)
    np.put_along_axis(repeats, order[:, 1:], in_order[:, 1:] == in_order[:, :-1], axis=1)
    return repeats


def _describe(
    config: SimulationConfig,
    users: Users,
    day: int,
    requests: Requests,
    request: Ints,
    keys: Keys,
    item: Ints,
) -> Impressions:
    user, items = requests.user[request], describe_items(config, item)
    week = day // CAMPAIGN_DAYS
    targeted = is_targeted(users.keys[requests.user], users.signup_day[requests.user], week)[request]
    is_search = requests.surface[request] == SEARCH
    is_asked_for = is_search & (requests.adjective[request] == items.adjective)
    interest = _interest(users, user, items.category) + _season(config, day)[items.category]
    return Impressions(
        request=request,
        keys=keys,
        item=item,
        position=np.zeros_like(item),
        surface=requests.surface[request],
        shown_at=requests.shown_at[request],
        price=items.price,
        discount_rate=discount_rate(campaign_of(config, week), item, targeted),
        interest=interest + 0.6 * is_asked_for,
        burden=0.6 * users.price_sensitivity[user] * items.relative_price,
        quality=items.quality,
        age=np.where(items.release_day < 0, np.inf, day - items.release_day),
    )


def _interest(users: Users, user: Ints, category: Ints) -> Floats:
    """The weight of the category among the user's favourites, and a taste that nothing tells."""
    taste = _TASTE_SPREAD * normal(child_keys(users.keys[user], category), "taste")
    for rank, weight in enumerate(FAVOURITE_WEIGHTS):
        taste += 3.0 * weight * (users.favourites[user, rank] == category)
    return taste


def _season(config: SimulationConfig, day: int) -> Floats:
    """Each category has its time of the year."""
    keys = root_keys(config.seed, "category", np.arange(count_categories(config)))
    year = (config.first_day.timetuple().tm_yday + day) / 365.25
    return _YEARLY * np.cos(2 * np.pi * (year - uniform(keys, "season")))


def _select(shown: Impressions, rows: Bools) -> Impressions:
    return Impressions(*(getattr(shown, field.name)[rows] for field in fields(shown)))


def _place(shown: Impressions, num_requests: int) -> Impressions:
    """Gives positions from 0 by appeal, which the ranker knows up to (Gumbel) noise."""
    noise = -np.log(exponential(shown.keys, "ranker") + 2.0**-60)
    order = np.lexsort((-appeal(shown) - _RANKER_NOISE * noise, shown.request))
    counts = np.bincount(shown.request, minlength=num_requests)
    position = np.empty_like(shown.item)
    position[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return replace(shown, position=position)
