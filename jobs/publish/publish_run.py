"""Checks tonight's tables while nobody sees them; then one row of publications makes them visible together.

A failed blocking check stops here: yesterday's tables keep serving.
"""

import logging
import sys
from collections.abc import Mapping, Sequence

from jobs.lake.lake import Lake
from jobs.publish.checks import Subject, judge
from jobs.publish.outputs import OUTPUT_TABLES, distinct_values
from jobs.publish.publications import (
    PUBLISHED,
    Publication,
    publish,
    read_publications,
    utc_now,
    visible_publications,
)
from jobs.publish.tables import QUALITY_CHECKS
from jobs.recommend.tables import RECOMMENDATIONS
from jobs.recommend.tables import TABLES as RECOMMEND_TABLES
from jobs.stage import RowCounts, Run, stage_main

logger = logging.getLogger(__name__)


class ChecksFailedError(ValueError):
    """Tonight's tables must not be seen; the message names each failed check."""


def publish_run(run: Run, lake: Lake) -> RowCounts:
    """Judges the run's output and publishes it; returns rows per table."""
    snapshots = current_snapshots(lake)
    refuse_other_runs(run, lake, snapshots)
    published = visible_publications(read_publications(lake))
    subject = Subject(run, lake, snapshots, published)
    results = [judge(check, subject) for check in run.scenario.publish.checks]
    if results:
        rows = [{"ds": run.date, "run_id": run.run_id, **result} for result in results]
        lake.append(QUALITY_CHECKS, rows, replacing={"run_id": run.run_id})
    refuse_failures(results)
    models = distinct_values(
        lake, RECOMMENDATIONS, run.date, snapshots[RECOMMENDATIONS.name], "model_version"
    )
    visible = {**snapshots, **current_snapshots(lake, (QUALITY_CHECKS.name,))}
    publish(lake, Publication(run.date, run.run_id, utc_now(), PUBLISHED, ", ".join(models), visible))
    return {"quality_checks": len(results), "publications": 1}


def current_snapshots(lake: Lake, names: Sequence[str] = tuple(OUTPUT_TABLES)) -> dict[str, int]:
    """Table -> its current snapshot; tables that were never written are left out."""
    found = {name: lake.snapshot_id(OUTPUT_TABLES[name]) for name in names}
    return {name: snapshot for name, snapshot in found.items() if snapshot is not None}


def refuse_other_runs(run: Run, lake: Lake, snapshots: Mapping[str, int]) -> None:
    """Two runs of one day must not be published as one.

    Raises:
        ValueError: if the day has no recommendations, or holds rows of another run.
    """
    for table in RECOMMEND_TABLES:
        found = distinct_values(lake, table, run.date, snapshots.get(table.name), "run_id")
        if table is RECOMMENDATIONS and not found:
            raise ValueError(f"{table.name} has no rows for ds={run.date}: run the stage recommend first")
        if set(found) - {run.run_id}:
            raise ValueError(
                f"{table.name} of ds={run.date} holds rows of {', '.join(found)}, not of {run.run_id}: "
                "another run wrote the day meanwhile; let it publish, or run the stage recommend again"
            )


def refuse_failures(results: Sequence[Mapping[str, object]]) -> None:
    """Logs every failed check.

    Raises:
        ChecksFailedError: if one of them blocks the publication.
    """
    failed = [result for result in results if not result["passed"]]
    for result in failed:
        logger.warning("check failed: %s", describe(result))
    if blocking := [describe(result) for result in failed if result["blocking"]]:
        raise ChecksFailedError("not published, the tables of before keep serving: " + "; ".join(blocking))


def describe(result: Mapping[str, object]) -> str:
    """One check in words."""
    bounds = [f"{word} {result[key]}" for key, word in (("at_least", "at least"), ("at_most", "at most"))
              if result[key] is not None]  # fmt: skip
    found = f"{result['measure']} of {result['table']} is {result['value']:.6g}"
    return f"{result['check']!r}: {found}, should be {' and '.join(bounds)}"


def main(argv: Sequence[str] | None = None) -> int:
    return stage_main(__doc__, "publish", publish_run, argv)


if __name__ == "__main__":
    sys.exit(main())
