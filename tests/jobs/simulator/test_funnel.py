from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from tests.jobs.simulator.small_world import World, outcomes, simulate, small_config

DAY = timedelta(days=1)
STEP = timedelta(minutes=10)
SQUARED_QUANTITY = 1.2  # mean of the square over the square of the mean: 1.875 / 1.25^2


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(small_config(users=3_000, items=2_000, days=8, events=300_000))


@pytest.fixture(scope="module")
def told(world: World) -> pd.DataFrame:
    return outcomes(world)


def test_about_as_many_events_as_asked_for(world: World) -> None:
    assert len(world.events) == pytest.approx(300_000, rel=0.1)


def test_every_event_belongs_to_an_impression_and_none_happens_twice(
    world: World, told: pd.DataFrame
) -> None:
    assert world.events.event_id.is_unique
    assert told.impression.notna().all()
    assert len(told) == (world.events.event_type == "impression").sum()
    assert (told.impression == told.shown_at).all()


@pytest.mark.parametrize(
    ("first", "then", "latest"),
    [
        ("impression", "click", STEP),
        ("click", "favorite", STEP),
        ("click", "cart", STEP),
        ("click", "purchase", None),
        ("cart", "purchase", None),
    ],
)
def test_the_funnel_is_in_order(told: pd.DataFrame, first: str, then: str, latest: timedelta | None) -> None:
    both = told[told[then].notna() & (told[first].notna() | (first != "cart"))]
    delay = both[then] - both[first]

    assert len(both) > 100
    assert delay.min() > timedelta(0)  # a missing first event would be NaT and fail
    assert delay.notna().all()
    assert latest is None or delay.max() <= latest


def test_purchases_come_within_hours_or_after_days(told: pd.DataFrame) -> None:
    delay = (told.purchase - told.shown_at).dropna()

    assert delay.min() >= timedelta(minutes=20)
    assert 0.4 < (delay < timedelta(hours=2)).mean() < 0.7
    assert (delay > 2 * DAY).mean() > 0.05


def test_nothing_happens_after_the_last_day(world: World) -> None:
    end = pd.Timestamp(world.config.first_day, tz="UTC") + world.config.days * DAY

    assert world.events.event_time.max() < end


def test_redemptions_go_with_purchases_and_their_discount(world: World, told: pd.DataFrame) -> None:
    redeemed = told[told.coupon_redeem.notna()]
    purchases = world.events[world.events.event_type == "purchase"]

    assert len(redeemed) > 20
    assert (redeemed.coupon_redeem == redeemed.purchase).all()
    assert (purchases.coupon_id.notna() == (purchases.discount > 0)).all()
    assert purchases.coupon_id.notna().sum() == len(redeemed)


def test_money_adds_up(world: World) -> None:
    purchases = world.events[world.events.event_type == "purchase"]
    others = world.events[world.events.event_type != "purchase"]

    assert (purchases.value == purchases.price * purchases.quantity).all()
    assert purchases.quantity.min() == 1
    assert (purchases.discount <= 0.3 * purchases.value + 1).all()
    assert others[["quantity", "value", "discount"]].isna().all(axis=None)


def test_positions_count_from_zero_and_items_do_not_repeat_in_a_request(world: World) -> None:
    impressions = world.events[world.events.event_type == "impression"]
    by_request = impressions.groupby("request_id")

    assert (by_request.position.max() + 1 == by_request.size()).all()
    assert not impressions.duplicated(["request_id", "item_id"]).any()
    assert by_request.size()[by_request.surface.first() == "ads"].max() <= 3


def test_searches_have_words_and_nothing_else_has(world: World) -> None:
    is_search = world.events.surface == "search"

    assert (world.events["query"].notna() == is_search).all()
    assert world.events["query"].nunique() > 50


def test_position_bias_lowers_the_click_rate(told: pd.DataFrame, world: World) -> None:
    position = world.events.set_index("event_id").position.reindex(told.index)
    rate = told.click.notna().groupby(position.to_numpy()).mean()

    assert rate[0] > 2 * rate[5] > 2 * rate[9]


@pytest.mark.parametrize(
    ("label", "event"),
    [
        ("p_click", "click"),
        ("p_favorite", "favorite"),
        ("p_cart", "cart"),
        ("p_purchase", "purchase"),
        ("p_coupon_redeem", "coupon_redeem"),
        ("expected_value", "purchase"),
    ],
)
def test_truth_agrees_with_outcomes_in_every_decile(
    world: World, told: pd.DataFrame, label: str, event: str
) -> None:
    window = world.config.label_window_days * DAY
    end = pd.Timestamp(world.config.first_day, tz="UTC") + world.config.days * DAY
    mature = told[told.shown_at < end - window]
    happened = (mature[event] - mature.shown_at < window).to_numpy(dtype=float)
    truth = mature[label].to_numpy(dtype=float)
    variance = truth * (1 - truth)
    if label == "expected_value":
        happened *= mature.value.fillna(0).to_numpy(dtype=float)
        variance = truth**2 * (SQUARED_QUANTITY / mature.p_purchase.to_numpy(dtype=float) - 1)
    rows = np.argsort(truth, kind="stable")

    for decile in np.array_split(rows[truth[rows] > 0], 10):
        error = happened[decile].sum() - truth[decile].sum()
        assert abs(error) < 3 * np.sqrt(variance[decile].sum())
    assert happened[truth == 0].sum() == 0
