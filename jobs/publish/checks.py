"""What the checks of a scenario measure on tonight's tables before anyone sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean

from jobs.candidates.tables import CANDIDATES
from jobs.examples.tables import examples
from jobs.features.tables import USER_DAYS, item_features, user_features, user_item_features
from jobs.lake.columns import Table
from jobs.lake.days import DayRange
from jobs.lake.lake import Lake
from jobs.logs.tables import EVENTS, ITEMS
from jobs.publish.config import CheckConfig
from jobs.publish.measures import population_stability_index, share_out_of_order, unknown_share
from jobs.publish.outputs import OUTPUT_TABLES, aggregate_days
from jobs.publish.publications import Publication
from jobs.stage import Run

_TRAILING_DAYS = 7


@dataclass(frozen=True)
class Subject:
    """One night's tables before anyone sees them: the run, and the snapshot of each output table."""

    run: Run
    lake: Lake
    snapshots: Mapping[str, int]
    published: Mapping[date, Publication]


@dataclass(frozen=True)
class Rows:
    """The newest day of a table, as of a snapshot."""

    table: Table
    day: date
    snapshot_id: int | None
    is_output: bool

    @property
    def days_before(self) -> DayRange:
        return self.day - timedelta(days=_TRAILING_DAYS), self.day - timedelta(days=1)


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
    rows = find_rows(check, subject)
    if check.column is not None and check.column not in rows.table.column_names:
        raise ValueError(f"check {check.name!r}: {rows.table.name} has no column {check.column!r}")
    match check.measure:
        case "row_count":
            return float(_count(subject, rows))
        case "user_share":
            return _ratio(_count(subject, rows, "count(DISTINCT user_id)"), count_active_users(subject))
        case "null_share":
            return _ratio(_count(subject, rows, f'count_if("{check.column}" IS NULL)'), _count(subject, rows))
        case "duplicate_keys":
            keys = f"count(DISTINCT ({', '.join(unique_columns(rows.table))}))"
            return float(_count(subject, rows) - _count(subject, rows, keys))
    return _measure_against_others(check, subject, rows)


def _measure_against_others(check: CheckConfig, subject: Subject, rows: Rows) -> float | None:
    """Of tonight's rows and those of the days before, or the catalogue."""
    if check.measure == "rows_against_trailing_mean":
        return _against_trailing_mean(subject, rows)
    tonight, before = (_files(subject, rows, days) for days in ((rows.day, rows.day), rows.days_before))
    if check.funnel:
        return share_out_of_order(tonight, before, check.funnel)
    column = check.column or ""
    if check.measure == "psi":
        return population_stability_index(tonight, before, column)
    return unknown_share(tonight, subject.lake.files(ITEMS), column)


def find_rows(check: CheckConfig, subject: Subject) -> Rows:
    """Tonight's rows of the checked table: of the run date, of tonight's anchors, or of the newest closed."""
    scenario, day = subject.run.scenario, subject.run.date
    if check.table in OUTPUT_TABLES:
        return Rows(OUTPUT_TABLES[check.table], day, subject.snapshots.get(check.table), is_output=True)
    tonight, closed = day + timedelta(days=1), day - timedelta(days=scenario.examples.closes_after_days)
    table, of_day = {
        "events": (EVENTS, day),
        "user_features": (user_features(scenario.features), tonight),
        "item_features": (item_features(scenario.features), tonight),
        "user_item_features": (user_item_features(scenario.features), tonight),
        "candidates": (CANDIDATES, tonight),
        "examples": (examples(scenario), closed),
    }[check.table]
    return Rows(table, of_day, subject.lake.snapshot_id(table), is_output=False)


def unique_columns(table: Table) -> list[str]:
    """What may not occur twice: an item on a user's shelf, else the table's key."""
    if {"surface", "user_id", "item_id"} <= set(table.column_names):
        return ["surface", "user_id", "item_id"]
    return list(table.key)


def count_active_users(subject: Subject) -> int:
    """Users with a purchase in the log so far."""
    snapshot = subject.lake.snapshot_id(USER_DAYS)
    days = (date.min, subject.run.date)
    count = aggregate_days(
        subject.lake, USER_DAYS, days, snapshot, "count(DISTINCT user_id)", where="line_count > 0"
    )
    return int(count or 0)


def _against_trailing_mean(subject: Subject, rows: Rows) -> float | None:
    """An output against its nights published before, another table against its days before that have rows."""
    count = _count(subject, rows)
    if not rows.is_output:
        mean = aggregate_days(
            subject.lake, rows.table, rows.days_before, rows.snapshot_id, "count(*) / count(DISTINCT ds)"
        )
        return _ratio(count, mean) if mean else None
    before = sorted(day for day in subject.published if day < rows.day)[-_TRAILING_DAYS:]
    counts = []
    for day in before:
        snapshot = subject.published[day].snapshots.get(rows.table.name)
        counts.append(aggregate_days(subject.lake, rows.table, (day, day), snapshot, "count(*)") or 0)
    return _ratio(count, fmean(counts)) if counts else None


def _files(subject: Subject, rows: Rows, days: DayRange) -> list[str]:
    return subject.lake.files(rows.table, days, rows.snapshot_id) if rows.snapshot_id else []


def _count(subject: Subject, rows: Rows, what: str = "count(*)") -> int:
    days = (rows.day, rows.day)
    return int(aggregate_days(subject.lake, rows.table, days, rows.snapshot_id, what) or 0)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0
