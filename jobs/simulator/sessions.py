"""Who comes when: sessions of a day, and the requests (pages) of each session."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from jobs.simulator.catalogue import count_categories
from jobs.simulator.config import SimulationConfig
from jobs.simulator.population import (
    FAVOURITE_WEIGHTS,
    HEAVY_USER,
    Users,
    active_share,
    popular_category,
)
from jobs.simulator.random_numbers import Bools, Floats, Ints, Keys, child_keys, geometric, uniform
from jobs.simulator.words import ADJECTIVES

SURFACES = ("home", "search", "ads")
HOME, SEARCH, ADS = range(3)
MAX_REQUESTS = 5  # of a session
SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
EXPLORED_SHARE = 0.25
"""Share of the shown or searched categories that are drawn by popularity, not by the user's interests."""

_SURFACE_CUTS = (0.5, 0.85)
_MORE_REQUESTS = 1.0  # mean number after the first
_ADJECTIVE_SHARE = 0.5  # of the queries
_WEEKDAYS = (0.95, 0.92, 0.93, 0.97, 1.05, 1.12, 1.06)  # Monday first
_YEARLY, _PEAK_DAY = 0.25, 350  # most visits before the end of the year
_BUSY_HOURS = (2, 1, 1, 1, 1, 2, 3, 5, 6, 6, 7, 8, 8, 7, 6, 6, 7, 8, 10, 12, 12, 10, 7)  # 0:00 to 23:00
_LONGEST_STAY = 8 * 60 * SECOND  # between two requests of a session
_SESSIONS_AT_ONCE = 4_000


@dataclass(frozen=True)
class SessionRates:
    """Mean sessions a day on a day with factor 1: of a user of activity 1, and of the heavy user."""

    user: float
    heavy_user: float


@dataclass(frozen=True)
class Requests:
    """Requests, one element each; `user` is a row of Users, `number` counts a user's requests of the day.

    `category` and `adjective` (the number of words: none) are what a search asks for.
    """

    user: Ints
    number: Ints
    keys: Keys
    is_first: Bools
    surface: Ints
    shown_at: Ints
    category: Ints
    adjective: Ints


def visit_factor(day: date) -> float:
    """1 on average over weekdays and the year."""
    angle = 2 * np.pi * (day.timetuple().tm_yday - _PEAK_DAY) / 365.25
    return float(_WEEKDAYS[day.weekday()] * (1 + _YEARLY * np.cos(angle)))


def mean_visits(config: SimulationConfig) -> tuple[float, float]:
    """(expected sessions of all users at rate 1, sessions of one user who was there all the time)."""
    factors = [visit_factor(config.first_day + timedelta(days=day)) for day in range(config.days)]
    return config.users * float(np.dot(factors, active_share(config))), sum(factors)


def count_sessions(config: SimulationConfig, users: Users, day: int, rates: SessionRates) -> Ints:
    """Sessions of each user on a day of the simulation.

    Geometric: visits at random, at a rate that itself varies from day to day as an exponential.
    """
    factor = visit_factor(config.first_day + timedelta(days=day))
    rate = rates.user * factor * users.activity * (users.signup_day <= day)
    sessions = geometric(child_keys(users.keys, np.full(1, day)), "sessions", rate)
    if config.heavy_user_share:
        sessions[users.number == HEAVY_USER] = round(rates.heavy_user * factor)
    return sessions


def draw_requests(config: SimulationConfig, users: Users, day: int, sessions: Ints) -> Iterator[Requests]:
    """Yields the requests of few sessions at a time, even when one user makes most of them."""
    ends = np.cumsum(sessions)
    for start in range(0, int(ends[-1]), _SESSIONS_AT_ONCE):
        index = np.arange(start, min(start + _SESSIONS_AT_ONCE, ends[-1]))
        user = np.searchsorted(ends, index, side="right")
        yield _requests_of(config, users, day, user, index - (ends - sessions)[user])


def _requests_of(config: SimulationConfig, users: Users, day: int, user: Ints, session: Ints) -> Requests:
    day_keys = child_keys(users.keys[user], np.full(1, day))
    session_keys = child_keys(day_keys, session)
    counts = 1 + geometric(session_keys, "requests", _MORE_REQUESTS).clip(max=MAX_REQUESTS - 1)
    row = np.repeat(np.arange(len(user)), counts)
    number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    keys = child_keys(session_keys[row], number)
    has_adjective = uniform(keys, "has adjective") < _ADJECTIVE_SHARE
    adjective = (uniform(keys, "adjective") * len(ADJECTIVES)).astype(np.int64)
    return Requests(
        user=user[row],
        number=session[row] * MAX_REQUESTS + number,
        keys=keys,
        is_first=number == 0,
        surface=np.searchsorted(_SURFACE_CUTS, uniform(keys, "surface"), side="right"),
        shown_at=_start_of_day(config, day) + _session_start(session_keys)[row] + _stay(keys, number),
        category=draw_category(users.favourites[user[row]], keys, count_categories(config)),
        adjective=np.where(has_adjective, adjective, len(ADJECTIVES)),
    )


def draw_category(favourites: Ints, keys: Keys, num_categories: int) -> Ints:
    """One of the user's favourite categories, (rows, 4), or now and then one that is popular."""
    cuts = np.cumsum(FAVOURITE_WEIGHTS)
    choice = np.searchsorted(cuts[:-1], uniform(keys, "interest"), side="right")
    favourite = np.take_along_axis(favourites, choice.reshape(len(favourites), -1), axis=1)
    explored = popular_category(uniform(keys, "explored category"), num_categories)
    return np.where(uniform(keys, "explores") < EXPLORED_SHARE, explored, favourite.reshape(keys.shape))


def _session_start(keys: Keys) -> Ints:
    """Microseconds after midnight; early enough for the session to end on its day."""
    cumulative = np.concatenate([[0.0], np.cumsum(_BUSY_HOURS)]) / sum(_BUSY_HOURS)
    hours: Floats = np.interp(uniform(keys, "start"), cumulative, np.arange(len(cumulative)))
    return (hours * 3600 * SECOND).astype(np.int64)


def _stay(keys: Keys, number: Ints) -> Ints:
    """Microseconds after the start of the session: each request later than the one before."""
    return ((number + 0.9 * uniform(keys, "stay")) * _LONGEST_STAY).astype(np.int64)


def _start_of_day(config: SimulationConfig, day: int) -> int:
    return (config.first_day - date(1970, 1, 1)).days * DAY + day * DAY
