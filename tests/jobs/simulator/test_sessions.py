from datetime import date, timedelta

import numpy as np
import pytest

from jobs.simulator import sessions
from jobs.simulator.population import describe_users
from jobs.simulator.sessions import (
    DAY,
    SessionRates,
    count_sessions,
    draw_requests,
    mean_visits,
    visit_factor,
)
from tests.jobs.simulator.small_world import FIRST_DAY, small_config

RATES = SessionRates(user=0.5, heavy_user=0.0)


def test_visits_follow_weekday_and_season_around_one() -> None:
    year = [visit_factor(date(2023, 1, 2) + timedelta(days=day)) for day in range(364)]

    assert np.mean(year) == pytest.approx(1.0, abs=0.01)
    assert visit_factor(date(2024, 6, 1)) > visit_factor(date(2024, 6, 4))  # Saturday, Tuesday
    assert visit_factor(date(2024, 12, 14)) > 1.5 * visit_factor(date(2024, 6, 15))


def test_users_come_as_often_as_planned_and_never_before_they_sign_up() -> None:
    config = small_config(users=100_000)
    users = describe_users(config, np.arange(config.users))

    per_day = np.stack([count_sessions(config, users, day, RATES) for day in range(config.days)], axis=1)

    assert per_day.sum() == pytest.approx(RATES.user * mean_visits(config)[0], rel=0.03)
    for day in range(config.days):
        assert per_day[users.signup_day > day, day].sum() == 0


def test_activity_has_a_heavy_tail() -> None:
    activity = describe_users(small_config(), np.arange(200_000)).activity

    assert activity.mean() == pytest.approx(1.0, rel=0.03)
    top = np.sort(activity)[-2000:].sum() / activity.sum()
    assert top > 0.15  # of the sessions, by one user in a hundred


def test_requests_of_a_session_are_in_order_and_end_on_its_day() -> None:
    config = small_config(users=5_000)
    users = describe_users(config, np.arange(config.users))
    midnight = (FIRST_DAY - date(1970, 1, 1)).days * DAY + 2 * DAY

    (requests,) = draw_requests(config, users, 2, count_sessions(config, users, 2, RATES))

    assert requests.shown_at.min() >= midnight
    assert requests.shown_at.max() < midnight + DAY
    is_same_session = ~requests.is_first[1:]
    assert (np.diff(requests.shown_at)[is_same_session] > 0).all()
    assert (np.diff(requests.number)[is_same_session] == 1).all()


def test_chunks_change_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config()
    users = describe_users(config, np.arange(config.users))
    counts = count_sessions(config, users, 1, RATES)
    (whole,) = draw_requests(config, users, 1, counts)

    monkeypatch.setattr(sessions, "_SESSIONS_AT_ONCE", 7)
    chunks = list(draw_requests(config, users, 1, counts))

    assert len(chunks) > 5
    assert max(chunk.is_first.sum() for chunk in chunks) == 7
    for column in ("user", "number", "keys", "surface", "shown_at", "category", "adjective"):
        assert np.array_equal(
            np.concatenate([getattr(chunk, column) for chunk in chunks]), getattr(whole, column)
        )


def test_a_day_without_visits_has_no_requests() -> None:
    config = small_config()
    users = describe_users(config, np.arange(config.users))

    assert list(draw_requests(config, users, 0, np.zeros(config.users, dtype=np.int64))) == []
