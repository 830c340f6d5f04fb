from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.config import load_runtime, load_scenario
from jobs.learn.training_days import plan_days
from jobs.stage import Run

SCENARIO, RUNTIME = load_scenario("grocery"), load_runtime()


def make_run(
    day: date, window: int, validation_days: int, weeks: int, calibration_days: int = 0, **changes: str
) -> Run:
    examples = SCENARIO.examples.model_copy(
        update={"label_window_days": window, "training_weeks": weeks, **changes}
    )
    days = {"validation_days": validation_days, "calibration_days": calibration_days}
    learn = SCENARIO.learn.model_copy(update=days)
    scenario = SCENARIO.model_copy(update={"examples": examples, "learn": learn})
    return Run(scenario, RUNTIME, day, "r", Path())


@given(
    day=st.dates(date(2017, 2, 24), date(2017, 12, 31)), window=st.integers(1, 14),
    validation_days=st.integers(1, 14), calibration_days=st.integers(0, 4), weeks=st.integers(5, 20),
)  # fmt: skip
def test_no_label_window_of_training_reaches_into_the_days_that_calibrate_or_judge(
    day: date, window: int, validation_days: int, calibration_days: int, weeks: int
) -> None:
    days = plan_days(make_run(day, window, validation_days, weeks, calibration_days))

    last_day_trained_on = days.train[1] + timedelta(window - 1)
    assert last_day_trained_on == days.held_out_from - timedelta(1)
    held_out = range(days.held_out_from.toordinal(), days.validation[0].toordinal())
    assert len(held_out) == calibration_days  # no day both calibrates and judges
    if days.calibration:
        assert days.calibration == (days.held_out_from, days.validation[0] - timedelta(1))
    assert days.validation[1] + timedelta(window - 1) == day  # the newest window has just closed
    assert (days.validation[1] - days.validation[0]).days + 1 == validation_days
    assert SCENARIO.logs.first_day < days.train[0] <= days.train[1]
    assert days.final == (days.train[1] + timedelta(1), days.validation[1])  # the refit misses no anchor


@given(day=st.dates(date(2017, 2, 24), date(2017, 12, 31)), window=st.integers(1, 14))
def test_the_windows_of_anchor_events_reach_one_day_further(day: date, window: int) -> None:
    days = plan_days(make_run(day, window, validation_days=3, weeks=5, anchor="impression"))

    assert days.validation[1] + timedelta(window) == day
    assert days.train[1] + timedelta(window) == days.held_out_from - timedelta(1)


def test_thirteen_weeks_of_anchors_are_used_where_the_log_is_long_enough() -> None:
    days = plan_days(make_run(date(2017, 12, 2), window=7, validation_days=7, weeks=13))

    assert days.validation == (date(2017, 11, 20), date(2017, 11, 26))
    assert days.train == (date(2017, 8, 28), date(2017, 11, 13))


@pytest.mark.parametrize(
    ("day", "is_enough"),
    [
        pytest.param(date(2017, 1, 20), False, id="too young"),
        pytest.param(date(2017, 1, 21), True, id="one anchor day"),
    ],
)
def test_a_log_too_young_to_train_on_is_refused(day: date, is_enough: bool) -> None:
    run = make_run(day, window=7, validation_days=7, weeks=13)

    if is_enough:
        assert plan_days(run).train == (date(2017, 1, 2), date(2017, 1, 2))
    else:
        with pytest.raises(ValueError, match=r"2017-01-20 is too early: .* lower learn\.validation_days"):
            plan_days(run)


def test_on_the_one_day_of_a_log_without_times_folds_do_what_days_do_elsewhere() -> None:
    day = date(2000, 2, 1)

    days = plan_days(Run(load_scenario("movies_1m"), RUNTIME, day, "r", Path()))

    assert days.train == days.validation == days.final == (day, day)
    assert (days.train_folds, days.held_out_folds) == ((1, 2, 3, 4), (0,))
    assert days.campaigns_held_out_from > day
