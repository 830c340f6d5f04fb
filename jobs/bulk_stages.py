"""The stages whose tables rest on the log alone, and how several nights of one scenario build them at once.

Each of these stages looks which days are missing, reads, and commits. Two nights that did so side by side
could commit an older reading over a newer one, and record a day as built of what the other has just
forgotten (`jobs/late_days.py`): late rows would be lost for good. So of each scenario one such stage is at
work at a time. No lock can be held from one stage to the next, which may be another process: before its own
work a stage builds what has been forgotten of the stages before it. What is on record as built is then built
of what is on record (docs/decisions/0002-lake.md). The events are what all this rests on: what ingestion has
marked dirty and not loaded yet, it marks again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.locks import hold

if TYPE_CHECKING:
    from jobs.lake.lake import Lake
    from jobs.stage import Build, RowCounts, Run

logger = logging.getLogger(__name__)


def build_in_turn(stage: str, build: "Build", run: "Run", lake: "Lake") -> "RowCounts":
    """Builds the tables of a stage: a bulk stage's once no other run is at work on those of any."""
    from jobs.stages import BULK_STAGES  # the registry is made of modules that know of runs

    if stage not in BULK_STAGES:
        return build(run, lake)
    with hold_bulk_stages(run, stage):
        return {**build_forgotten(stage, run), **build(run, lake)}


@contextmanager
def hold_bulk_stages(run: "Run", stage: str) -> Iterator[None]:
    """Waits until no other run is at work on the tables of the scenario that rest on the log alone."""
    with hold(run.home / "locks" / f"{run.scenario.name}.bulk", {"run_id": run.run_id, "stage": stage}, True):
        yield


def build_forgotten(stage: str, run: "Run") -> "RowCounts":
    """Builds what is missing of the stages before this one but ingestion; returns the rows that it wrote."""
    from jobs.stages import BULK_STAGES, load_stage

    counts = dict[str, int]()
    for before in BULK_STAGES[1 : BULK_STAGES.index(stage)]:
        build = load_stage(before)
        counts |= build(replace(run, builds_missing_only=True), run.lake(before))
    written = {table: count for table, count in counts.items() if count}
    if written:
        logger.info("%s: built what was missing of the stages before: %s", stage, written)
    return written
