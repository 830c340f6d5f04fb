"""Late rows of the log -> which days of which tables have to be built again, and no others.

A row that belongs to an event day d but was learned later changes the tiles of d and what counts as a first
purchase after it; the features as of every day after d, whose windows reach back to it; the candidates and
examples of the anchors with such features, or with d in their label window.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from jobs.candidates.tables import CANDIDATE_RECALL, CANDIDATES
from jobs.examples.tables import attributed_events, campaign_examples, examples
from jobs.features.declared_states import state_tables
from jobs.features.event_tiles import tile_tables
from jobs.features.tables import feature_tables
from jobs.lake.columns import Table
from jobs.lake.days import DayRange
from jobs.lake.lake import Lake
from jobs.logs.tables import EVENTS
from jobs.stage import Run


def dirty_days(run: Run, late_days: Sequence[date]) -> list[tuple[Table, list[DayRange]]]:
    """What rests on the late days (sorted), tables that rest on others first and `events` last."""
    first, last = late_days[0], run.date + timedelta(days=1)
    as_of = (first + timedelta(days=1), last)
    anchors = (first - timedelta(days=run.scenario.examples.closes_after_days), last)
    of_anchors = (examples(run.scenario), attributed_events(run.scenario), CANDIDATES, CANDIDATE_RECALL)
    return [
        (campaign_examples(run.scenario), [(first, last)]),
        *[(table, [anchors]) for table in of_anchors],
        *[(table, [as_of]) for table in feature_tables(run.scenario.features)],
        *[(table, [as_of]) for table in state_tables(run.scenario)],
        *[(table, [(first, last)]) for table in tile_tables(run.scenario)],
        (EVENTS, [(day, day) for day in late_days]),
    ]


def forget_late_days(run: Run, lake: Lake, late_days: Sequence[date]) -> None:
    """Marks dirty what rests on the late days; a run that dies between finds the same days again."""
    for table, days in dirty_days(run, late_days):
        lake.forget_days(table, days)
