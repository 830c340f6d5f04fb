from datetime import date

import pytest

from jobs.lake.days import DayRange, days_between, days_to_build, merge_ranges, missing_ranges


def december(first: int, last: int) -> DayRange:
    return date(2017, 12, first), date(2017, 12, last)


def test_ranges_that_touch_or_overlap_are_one() -> None:
    merged = merge_ranges([december(5, 6), december(1, 2), december(3, 3), december(9, 9), december(2, 2)])

    assert merged == [december(1, 3), december(5, 6), december(9, 9)]


@pytest.mark.parametrize(
    ("built", "missing"),
    [
        pytest.param([], [december(3, 8)], id="nothing built"),
        pytest.param([december(1, 9)], [], id="all built"),
        pytest.param([december(4, 5)], [december(3, 3), december(6, 8)], id="a hole is filled on both sides"),
        pytest.param([december(1, 3), december(8, 9)], [december(4, 7)], id="both ends built"),
        pytest.param([december(1, 2), december(9, 10)], [december(3, 8)], id="built beside it"),
    ],
)
def test_missing_ranges(built: list[DayRange], missing: list[DayRange]) -> None:
    assert missing_ranges(december(3, 8), built) == missing


@pytest.mark.parametrize(
    ("built", "to_build"),
    [
        pytest.param([december(1, 8)], [december(8, 8)], id="a rerun builds its own day again"),
        pytest.param([december(1, 20)], [december(8, 8)], id="also when later days are built"),
        pytest.param([december(1, 7)], [december(8, 8)], id="the next night builds its day"),
        pytest.param([december(1, 5)], [december(6, 8)], id="missed nights are made up"),
    ],
)
def test_days_to_build(built: list[DayRange], to_build: list[DayRange]) -> None:
    assert days_to_build(december(1, 8), built) == to_build


def test_days_between_includes_both_ends_and_may_be_empty() -> None:
    assert days_between(*december(1, 3)) == [date(2017, 12, day) for day in (1, 2, 3)]
    assert days_between(*december(3, 2)) == []
