import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from jobs.simulator.catalogue import items_table
from jobs.simulator.coupons import members_table, promotions_table
from jobs.simulator.population import describe_users
from tests.jobs.simulator.small_world import World, simulate, small_config

WEEKS = range(2)


@pytest.fixture(scope="module")
def world() -> World:
    """Eight days: two campaigns; 42 items in a category: twice as many as a coupon is good for."""
    return simulate(small_config(users=4_000, items=4_000, days=8, events=400_000))


@pytest.fixture(scope="module")
def redemptions(world: World) -> pd.DataFrame:
    return world.events.query("event_type == 'coupon_redeem'")


@pytest.fixture(scope="module")
def promotions(world: World) -> pd.DataFrame:
    tables = [promotions_table(world.config, week) for week in WEEKS]
    return pd.DataFrame(pa.concat_tables(tables).to_pandas())


def test_coupons_are_redeemed_on_their_items_while_they_are_valid(
    redemptions: pd.DataFrame, promotions: pd.DataFrame
) -> None:
    joined = redemptions.merge(promotions, on=["coupon_id", "item_id"], validate="many_to_one")
    day = joined.event_time.dt.date

    assert len(joined) == len(redemptions) > 100
    assert ((joined.valid_from <= day) & (day <= joined.valid_to)).all()


def test_coupons_are_redeemed_by_those_whom_the_campaign_targets(
    world: World, redemptions: pd.DataFrame
) -> None:
    users = describe_users(world.config, np.arange(world.config.users))
    members = pd.concat([members_table(world.config, users, week).to_pandas() for week in WEEKS])
    campaign = "week-" + redemptions.coupon_id.str.extract(r"c(\d+)-", expand=False)

    targeted = set(zip(members.campaign_id, members.user_id, strict=True))

    assert set(zip(campaign, redemptions.user_id, strict=True)) <= targeted
    assert 0.2 < len(targeted) / (len(WEEKS) * world.config.users) < 0.3


def test_the_discount_is_the_coupon_s(world: World, promotions: pd.DataFrame) -> None:
    purchases = world.events[world.events.coupon_id.notna() & (world.events.event_type == "purchase")]
    joined = purchases.merge(promotions, on=["coupon_id", "item_id"])

    assert len(joined) == len(purchases)
    assert (joined.discount - joined.discount_rate * joined.value).abs().max() <= 0.5


def test_promotions_name_items_of_the_catalogue(world: World, promotions: pd.DataFrame) -> None:
    items = items_table(world.config, np.arange(world.config.items)).to_pandas()
    joined = promotions.merge(items, on="item_id", suffixes=("", "_of_item"))

    assert len(joined) == len(promotions)
    assert (joined.category == joined.category_of_item).all()
    assert promotions.groupby("coupon_id").item_id.nunique().max() == 20
