"""A judged model -> field_importance, field_attributions, twin_gains; diagnostics says what became of each.

They explain the model and decide nothing: one that fails is logged, recorded and told of in the report, and
the night goes on.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from jobs.lake.columns import Table
from jobs.lake.lake import Lake
from jobs.learn.explain_model import Records, measure_attributions, measure_importance
from jobs.learn.tables import DIAGNOSTICS, FIELD_ATTRIBUTIONS, FIELD_IMPORTANCE, TWIN_GAINS
from jobs.stage import RowCounts, Run

logger = logging.getLogger(__name__)


def diagnose_model(run: Run, lake: Lake, model: Mapping[str, Any]) -> RowCounts:
    """Replaces what the run has measured before, also by nothing; returns row counts."""
    counts, outcomes = {}, []
    for table, measure in MEASURES.items():
        start = time.monotonic()
        records: Records = []
        status, message = "failed", None
        try:
            records = measure(run, lake, model)
            status = "measured" if records else "skipped"
        except Exception as error:
            logger.exception("%s could not be measured; the night goes on", table.name)
            message = f"{type(error).__name__}: {error}"[:2000]
        outcome = {
            "ds": run.date,
            "run_id": run.run_id,
            "model_version": model["model_version"],
            "diagnostic": table.name,
            "status": status,
            "seconds": round(time.monotonic() - start, 3),
            "error": message,
        }
        outcomes.append(outcome)
        counts[table.name] = len(records)
        _replace(lake, table, run, records)
    lake.append(DIAGNOSTICS, outcomes, replacing={"run_id": run.run_id})
    return counts


def _replace(lake: Lake, table: Table, run: Run, records: Records) -> None:
    if records:
        lake.append(table, records, replacing={"run_id": run.run_id})
    else:
        lake.remove(table, {"run_id": run.run_id, "ds": run.date})


def _compare_with_twins(run: Run, lake: Lake, model: Mapping[str, Any]) -> Records:
    if not run.scenario.learn.has_twins_on(run.date):
        return []
    from jobs.compare.twins_of_night import compare_with_twins  # torch: only where it is needed

    return compare_with_twins(run, lake, model["model_version"])


MEASURES: dict[Table, Callable[[Run, Lake, Mapping[str, Any]], Records]] = {
    FIELD_IMPORTANCE: measure_importance,
    FIELD_ATTRIBUTIONS: measure_attributions,
    TWIN_GAINS: _compare_with_twins,
}
