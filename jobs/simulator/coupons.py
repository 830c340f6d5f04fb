"""Coupons: each week is a campaign; it targets users, and its coupons are good for a few items each."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.simulator.catalogue import count_categories, item_ids, items_in_category
from jobs.simulator.config import SimulationConfig
from jobs.simulator.population import Users, user_ids
from jobs.simulator.random_numbers import Bools, Floats, Ints, Keys, child_keys, root_keys, uniform, zipf
from jobs.simulator.words import CATEGORIES

REDEEM_CHANCE = 0.8
"""That a user who holds a coupon and buys before its end redeems it."""

CAMPAIGN_DAYS = 7
ITEMS_PER_COUPON = 20
_TARGETED_SHARE = 0.25
_COUPON_SHARE = 0.4  # of the categories, each week
_DISCOUNTS = np.array([0.1, 0.2, 0.3])


@dataclass(frozen=True)
class Campaign:
    """A week's coupons, one element per category; a coupon is good for `ITEMS_PER_COUPON` ranks."""

    week: int
    exists: Bools
    first_rank: Ints
    discount_rate: Floats


def campaign_of(config: SimulationConfig, week: int) -> Campaign:
    category = np.arange(count_categories(config))
    keys = root_keys(config.seed, "coupon", week * len(category) + category)
    return Campaign(
        week=week,
        exists=uniform(keys, "exists") < _COUPON_SHARE,
        first_rank=zipf(keys, "first rank", items_in_category(config, category)),
        discount_rate=_DISCOUNTS[(uniform(keys, "discount") * len(_DISCOUNTS)).astype(np.int64)],
    )


def is_targeted(user_keys: Keys, signup_day: Ints, week: int) -> Bools:
    """Whom a week's campaign targets; users who sign up after its first day are not among them."""
    drawn = uniform(child_keys(user_keys, np.full(1, week)), "campaign") < _TARGETED_SHARE
    return drawn & (signup_day <= week * CAMPAIGN_DAYS)


def discount_rate(campaign: Campaign, item: Ints, targeted: Bools) -> Floats:
    """The discount that the user's coupon gives on an item; 0 without a coupon."""
    category = item % len(campaign.exists)
    offset = item // len(campaign.exists) - campaign.first_rank[category]
    is_good = campaign.exists[category] & (offset >= 0) & (offset < ITEMS_PER_COUPON) & targeted
    return np.where(is_good, campaign.discount_rate[category], 0.0)


def coupon_ids(week: int, category: Ints) -> pa.Array:
    return pc.binary_join_element_wise(f"c{week}", pa.array(category).cast("string"), "-")


def promotions_table(config: SimulationConfig, week: int) -> pa.Table:
    """One row per coupon and item of a week's campaign."""
    campaign = campaign_of(config, week)
    category = np.repeat(np.flatnonzero(campaign.exists), ITEMS_PER_COUPON)
    rank = campaign.first_rank[category] + np.arange(len(category)) % ITEMS_PER_COUPON
    is_item = rank < items_in_category(config, category)
    category, rank = category[is_item], rank[is_item]
    return pa.table({
        "campaign_id": pa.repeat(f"week-{week}", len(category)),
        "coupon_id": coupon_ids(week, category),
        "item_id": item_ids(rank * len(campaign.exists) + category),
        "category": pa.array([name for _, name in CATEGORIES]).take(pa.array(category)),
        "discount_rate": campaign.discount_rate[category],
        **_validity(config, week, len(category)),
    })  # fmt: skip


def members_table(config: SimulationConfig, users: Users, week: int) -> pa.Table:
    """One row per user whom a week's campaign targets."""
    number = users.number[is_targeted(users.keys, users.signup_day, week)]
    return pa.table({
        "campaign_id": pa.repeat(f"week-{week}", len(number)),
        "user_id": user_ids(number),
        **_validity(config, week, len(number)),
    })  # fmt: skip


def _validity(config: SimulationConfig, week: int, count: int) -> dict[str, pa.Array]:
    first = np.datetime64(config.first_day) + week * CAMPAIGN_DAYS
    return {
        "valid_from": pa.repeat(pa.scalar(first.item()), count),
        "valid_to": pa.repeat(pa.scalar((first + CAMPAIGN_DAYS - 1).item()), count),
    }
