"""From impressions to clicks, favorites, carts, purchases and redemptions: the chances, and what happens.

    click | impression         examined(surface, position) * sigmoid(click logit)
    favorite, cart | click     sigmoid(...), at most ten minutes after it
    purchase | click, cart     sigmoid(...), hours to days later

The chances of an impression's own events are independent of all other impressions, so they are exact.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from jobs.simulator.coupons import REDEEM_CHANCE
from jobs.simulator.impressions import SLOTS, Impressions, appeal
from jobs.simulator.random_numbers import Bools, Floats, Ints, Keys, exponential, geometric, uniform
from jobs.simulator.sessions import DAY, SECOND

EVENT_TYPES = ("impression", "click", "favorite", "cart", "purchase", "coupon_redeem")
IMPRESSION, CLICK, FAVORITE, CART, PURCHASE, REDEEM = range(6)

LONGEST_STEP = 600 * SECOND
"""From the impression to its click, and from the click to a favourite or cart."""

FIRST_PURCHASE = 2 * LONGEST_STEP
"""The soonest purchase after its impression."""

_SURFACE_LOGITS = np.array([-2.8, -2.1, -3.5])  # home, search, ads
_EXAMINED = np.array([1.0, 0.85, 1.0])[:, None] / (1 + np.arange(SLOTS) * np.array([0.25, 0.4, 0.5])[:, None])
_QUICK_SHARE = 0.6  # of the purchases
_QUICK_MEAN, _SLOW_MEAN = 3_600 * SECOND, 48 * 3_600 * SECOND
_MORE_PIECES = 0.25  # mean quantity after the first piece


@dataclass(frozen=True)
class Chances:
    """One element per impression; all but `click` are given the click (and the cart, or none)."""

    click: Floats
    favorite: Floats
    cart: Floats
    purchase_with_cart: Floats
    purchase_without_cart: Floats

    @property
    def purchase(self) -> Floats:
        """Of an impression, at any time after it."""
        given_click = self.cart * self.purchase_with_cart + (1 - self.cart) * self.purchase_without_cart
        return self.click * given_click


@dataclass(frozen=True)
class Events:
    """Events, one element each; `impression` is a row of Impressions.

    `with_coupon` marks redemptions and the purchases that they belong to.
    """

    impression: Ints
    event_type: Ints
    event_time: Ints
    with_coupon: Bools


def chances_of(shown: Impressions) -> Chances:
    examined = _EXAMINED[shown.surface, shown.position]
    decision = 0.5 * shown.quality - shown.burden + 3.0 * shown.discount_rate
    return Chances(
        click=examined * expit(_SURFACE_LOGITS[shown.surface] + appeal(shown)),
        favorite=expit(-2.8 + 0.8 * shown.interest + 0.5 * shown.quality),
        cart=expit(-2.2 + 0.6 * shown.interest + decision),
        purchase_with_cart=expit(-0.7 + 0.3 * shown.interest + decision),
        purchase_without_cart=expit(-4.2 + 0.3 * shown.interest + decision),
    )


def bought_within(horizon: Floats) -> Floats:
    """The share of purchases that come less than `horizon` microseconds after the impression."""
    wait = (horizon - FIRST_PURCHASE).clip(0)
    slow = np.exp(-wait / _SLOW_MEAN)
    return 1 - _QUICK_SHARE * np.exp(-wait / _QUICK_MEAN) - (1 - _QUICK_SHARE) * slow


def true_labels(shown: Impressions, chances: Chances, coupon_end: int, window_days: int) -> dict[str, Floats]:
    """The probability of each label within `window_days` of the impression, and the expected order value."""
    window = np.full(len(shown.item), float(window_days * DAY))
    until_coupon_ends = np.minimum(window, coupon_end - shown.shown_at)
    redeem = np.where(shown.discount_rate > 0, REDEEM_CHANCE, 0.0) * bought_within(until_coupon_ends)
    purchase = chances.purchase * bought_within(window)
    return {
        "p_click": chances.click,
        "p_favorite": chances.click * chances.favorite,
        "p_cart": chances.click * chances.cart,
        "p_purchase": purchase,
        "p_coupon_redeem": chances.purchase * redeem,
        "expected_value": purchase * shown.price * (1 + _MORE_PIECES),
    }


def draw_events(shown: Impressions, chances: Chances, coupon_end: int) -> Events:
    """What happens after the impressions (which are among the events), by type, then by impression."""
    keys = shown.keys
    click = np.flatnonzero(uniform(keys, "click") < chances.click)
    clicked_at = shown.shown_at[click] + _step(keys[click], "click delay")
    is_favorite = uniform(keys[click], "favorite") < chances.favorite[click]
    is_cart = uniform(keys[click], "cart") < chances.cart[click]
    purchase_chance = np.where(
        is_cart, chances.purchase_with_cart[click], chances.purchase_without_cart[click]
    )
    purchase = click[uniform(keys[click], "purchase") < purchase_chance]
    bought_at = shown.shown_at[purchase] + _purchase_delay(keys[purchase])
    has_coupon = (shown.discount_rate[purchase] > 0) & (bought_at < coupon_end)
    is_redeemed = has_coupon & (uniform(keys[purchase], "redeem") < REDEEM_CHANCE)
    parts = {
        IMPRESSION: (np.arange(len(keys)), shown.shown_at),
        CLICK: (click, clicked_at),
        FAVORITE: _later(keys, click, clicked_at, is_favorite, "favorite delay"),
        CART: _later(keys, click, clicked_at, is_cart, "cart delay"),
        PURCHASE: (purchase, bought_at),
        REDEEM: (purchase[is_redeemed], bought_at[is_redeemed]),
    }
    event_type = np.repeat(list(parts), [len(rows) for rows, _ in parts.values()])
    with_coupon = event_type == REDEEM
    with_coupon[event_type == PURCHASE] = is_redeemed
    return Events(
        impression=np.concatenate([rows for rows, _ in parts.values()]),
        event_type=event_type,
        event_time=np.concatenate([times for _, times in parts.values()]),
        with_coupon=with_coupon,
    )


def quantity_of(keys: Keys) -> Ints:
    """Pieces of a purchase, from 1."""
    return 1 + geometric(keys, "quantity", _MORE_PIECES)


def _later(keys: Keys, click: Ints, clicked_at: Ints, happens: Bools, delay: str) -> tuple[Ints, Ints]:
    rows = click[happens]
    return rows, clicked_at[happens] + _step(keys[rows], delay)


def _step(keys: Keys, purpose: str) -> Ints:
    """Microseconds from 1 to `LONGEST_STEP`, mostly short."""
    return 1 + (uniform(keys, purpose) ** 3 * (LONGEST_STEP - 1)).astype(np.int64)


def _purchase_delay(keys: Keys) -> Ints:
    mean = np.where(uniform(keys, "is quick") < _QUICK_SHARE, _QUICK_MEAN, _SLOW_MEAN)
    return FIRST_PURCHASE + (exponential(keys, "purchase delay") * mean).astype(np.int64)
