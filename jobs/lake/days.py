"""Sets of days as sorted, inclusive ranges: which days of a table have been built."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

DayRange = tuple[date, date]


def days_between(first: date, last: date) -> list[date]:
    """All days from `first` to `last`, both included; empty if `last` is earlier."""
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def merge_ranges(ranges: Iterable[DayRange]) -> list[DayRange]:
    """Sorts ranges and joins those that touch or overlap."""
    merged: list[DayRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + timedelta(days=1):
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def missing_ranges(wanted: DayRange, built: Sequence[DayRange]) -> list[DayRange]:
    """The parts of `wanted` that no range of `built` covers."""
    missing: list[DayRange] = []
    start, last = wanted
    for built_first, built_last in merge_ranges(built):
        if built_last < start or built_first > last:
            continue
        if built_first > start:
            missing.append((start, built_first - timedelta(days=1)))
        start = max(start, built_last + timedelta(days=1))
    if start <= last:
        missing.append((start, last))
    return missing


def days_to_build(wanted: DayRange, built: Sequence[DayRange]) -> list[DayRange]:
    """The ranges of `wanted` that were not built, and always its last day: a rerun rebuilds its own day."""
    last = wanted[1]
    before = [(first, min(end, last - timedelta(days=1))) for first, end in built if first < last]
    return missing_ranges(wanted, before)
