"""Users: how often they come, since when, what they like and how much they mind the price."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.simulator.catalogue import arrival_day, count_categories
from jobs.simulator.config import SimulationConfig
from jobs.simulator.random_numbers import Floats, Ints, Keys, normal, root_keys, uniform
from jobs.simulator.words import AGES, INCOMES, REGIONS

HEAVY_USER = 0
"""The user who makes `heavy_user_share` of all events."""

NEW_USER_SHARE = 0.3
"""Share of the users who sign up during the simulated days."""

FAVOURITE_WEIGHTS = np.array([0.45, 0.25, 0.18, 0.12])

_TAIL, _LARGEST = 1.3, 300.0  # activity: a Pareto tail, cut at this multiple of the smallest
_INCOME_CUTS = (0.3, 0.75)
_SENSITIVITY = np.array([0.9, 0.5, 0.2])  # mean by income


@dataclass(frozen=True)
class Users:
    """Users, one element each; favourites are (users, 4) categories, the dearest first."""

    number: Ints
    keys: Keys
    signup_day: Ints
    activity: Floats
    favourites: Ints
    price_sensitivity: Floats


def describe_users(config: SimulationConfig, number: Ints) -> Users:
    """`signup_day` is -1 for users older than the log; activity has mean 1."""
    keys = root_keys(config.seed, "user", number)
    signup_day = arrival_day(keys, NEW_USER_SHARE, config.days)
    if config.heavy_user_share:
        signup_day[number == HEAVY_USER] = -1
    favourites = [uniform(keys, f"favourite {rank}") for rank in range(len(FAVOURITE_WEIGHTS))]
    sensitivity = _SENSITIVITY[_incomes(keys)] + 0.2 * normal(keys, "price sensitivity")
    return Users(
        number=number,
        keys=keys,
        signup_day=signup_day,
        activity=_activity(uniform(keys, "activity")),
        favourites=popular_category(np.stack(favourites, axis=1), count_categories(config)),
        price_sensitivity=sensitivity.clip(0),
    )


def popular_category(draw: Floats, num_categories: int) -> Ints:
    """A category for a draw in [0, 1): the first ones are the more popular."""
    return (draw**1.5 * num_categories).astype(np.int64)


def active_share(config: SimulationConfig) -> Floats:
    """The expected share of users who have signed up, per day."""
    return 1 - NEW_USER_SHARE * (1 - (np.arange(config.days) + 1) / config.days)


def user_ids(number: Ints) -> pa.Array:
    return pc.binary_join_element_wise("u", pa.array(number).cast("string"), "")


def users_table(config: SimulationConfig, users: Users) -> pa.Table:
    """What the shop knows of its users; income hints at the price sensitivity, age and region at nothing."""
    signed_up = np.datetime64(config.first_day) + users.signup_day
    return pa.table({
        "user_id": user_ids(users.number),
        "signed_up_on": pa.array(signed_up, mask=users.signup_day < 0),
        "income": pa.array(INCOMES).take(pa.array(_incomes(users.keys))),
        "age": _pick(AGES, users.keys, "age"),
        "region": _pick(REGIONS, users.keys, "region"),
    })  # fmt: skip


def _activity(draw: Floats) -> Floats:
    """A Pareto number between 1 and `_LARGEST`, divided by its mean."""
    kept = 1 - _LARGEST**-_TAIL
    mean = _TAIL / (_TAIL - 1) * (1 - _LARGEST ** (1 - _TAIL)) / kept
    return np.asarray((1 - draw * kept) ** (-1 / _TAIL) / mean)


def _incomes(keys: Keys) -> Ints:
    return np.searchsorted(_INCOME_CUTS, uniform(keys, "income"), side="right")


def _pick(words: tuple[str, ...], keys: Keys, purpose: str) -> pa.Array:
    return pa.array(words).take(pa.array((uniform(keys, purpose) * len(words)).astype(np.int64)))
