"""What the checks of a scenario measure on the tables that are about to be published."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from statistics import fmean

from jobs.config import CheckConfig
from jobs.features.tables import USER_DAYS
from jobs.lake.columns import Table
from jobs.lake.lake import Lake
from jobs.publish.outputs import OUTPUT_TABLES, aggregate_days
from jobs.publish.publications import Publication

_TRAILING_DAYS = 7


@dataclass(frozen=True)
class Subject:
    """One night's output before anyone sees it: the day, and the snapshot of each table that holds it."""

    lake: Lake
    day: date
    snapshots: Mapping[str, int]
    published: Mapping[date, Publication]


def judge(check: CheckConfig, subject: Subject) -> dict[str, object]:
    """Measures a check; returns its row of `quality_checks` (without run id and day)."""
    value = measure(check, subject)
    return {
        "check": check.name,
        "table": check.table,
        "measure": check.measure,
        "value": value,
        "at_least": check.at_least,
        "at_most": check.at_most,
        "blocking": check.blocking,
        "passed": is_within(value, check.at_least, check.at_most),
    }


def is_within(value: float | None, at_least: float | None, at_most: float | None) -> bool:
    """Whether a measure lies within its bounds, both included; one with nothing to compare with does."""
    if value is None:
        return True
    return (at_least is None or value >= at_least) and (at_most is None or value <= at_most)


def measure(check: CheckConfig, subject: Subject) -> float | None:
    """The value of a check's measure; None where there is nothing to compare with.

    Raises:
        ValueError: if the check names a column that the table lacks.
    """
    table = OUTPUT_TABLES[check.table]
    if check.measure == "user_share":
        return _ratio(_count(subject, table, "count(DISTINCT user_id)"), count_active_users(subject))
    rows = _count(subject, table)
    if check.measure == "null_share":
        if check.column not in table.column_names:
            raise ValueError(f"check {check.name!r}: {table.name} has no column {check.column!r}")
        return _ratio(_count(subject, table, f'count_if("{check.column}" IS NULL)'), rows)
    if check.measure == "duplicate_keys":
        return float(rows - _count(subject, table, f"count(DISTINCT ({', '.join(unique_columns(table))}))"))
    if check.measure == "rows_against_trailing_mean":
        return _against_trailing_mean(subject, table, rows)
    return float(rows)


def unique_columns(table: Table) -> list[str]:
    """What may not occur twice: an item on a user's shelf, else the table's key."""
    if {"user_id", "item_id"} <= set(table.column_names):
        return [name for name in table.column_names if name in {"surface", "user_id", "item_id"}]
    return list(table.key)


def count_active_users(subject: Subject) -> int:
    """Users with a purchase in the log so far."""
    snapshot = subject.lake.snapshot_id(USER_DAYS)
    days = (date.min, subject.day)
    count = aggregate_days(
        subject.lake, USER_DAYS, days, snapshot, "count(DISTINCT user_id)", where="line_count > 0"
    )
    return int(count or 0)


def _against_trailing_mean(subject: Subject, table: Table, rows: int) -> float | None:
    before = sorted(day for day in subject.published if day < subject.day)[-_TRAILING_DAYS:]
    counts = []
    for day in before:
        snapshot = subject.published[day].snapshots.get(table.name)
        counts.append(aggregate_days(subject.lake, table, (day, day), snapshot, "count(*)") or 0)
    return _ratio(rows, fmean(counts)) if counts else None


def _count(subject: Subject, table: Table, what: str = "count(*)") -> int:
    days = (subject.day, subject.day)
    return int(aggregate_days(subject.lake, table, days, subject.snapshots.get(table.name), what) or 0)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0
