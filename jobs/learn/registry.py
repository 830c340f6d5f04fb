"""Which model serves: the newest promoted one of a day or before it. Which one tonight's carries on."""

from datetime import date, timedelta
from typing import Any

import pyarrow.compute as pc

from jobs.lake.lake import Lake
from jobs.learn.tables import MODEL_RUNS


def model_of_run(lake: Lake, run_id: str, day: date) -> dict[str, Any]:
    """The registry's row of a run of a day.

    Raises:
        ValueError: if the run has trained no model.
    """
    runs = lake.read_arrow(MODEL_RUNS, (day, day))
    rows = runs.filter(pc.equal(runs["run_id"], run_id)).to_pylist()
    if not rows:
        raise ValueError(
            f"model_runs has no row of run {run_id} on {day}: run the stage train with this --run-id first"
        )
    return dict(rows[0])


def serving_model(lake: Lake, day: date, but_run: str = "") -> dict[str, Any] | None:
    """The model that serves on `day`, leaving one run aside; None before the first promotion."""
    return next(iter(promoted_models(lake, day, but_run)), None)


def promoted_models(lake: Lake, day: date, but_run: str = "", own_run: str = "") -> list[dict[str, Any]]:
    """The models that may serve on `day`, leaving one run aside: the first does, or the next if it cannot.

    The newest comes first. A day that was run again has several: there the model of `own_run` comes first,
    then the last trained.
    """
    runs = lake.read_arrow(MODEL_RUNS)
    is_candidate = pc.and_(pc.equal(runs["status"], "promoted"), pc.less_equal(runs["ds"], day))
    promoted = runs.filter(pc.and_(is_candidate, pc.not_equal(runs["run_id"], but_run)))
    models = promoted.filter(pc.less_equal(promoted["trained_through"], day)).to_pylist()
    return sorted(
        models,
        key=lambda model: (model["ds"], model["run_id"] == own_run, model["trained_at"]),
        reverse=True,
    )


def model_to_carry_on(lake: Lake, day: date, max_age_days: int, config_digest: str) -> dict[str, Any] | None:
    """The newest promoted model that was trained from scratch with this configuration, before `day`."""
    runs = lake.read_arrow(MODEL_RUNS)
    is_in_time = pc.and_(
        pc.greater_equal(runs["ds"], day - timedelta(days=max_age_days)), pc.less(runs["ds"], day)
    )
    is_of_config = pc.and_(
        pc.equal(runs["config_digest"], config_digest), pc.equal(runs["status"], "promoted")
    )
    from_scratch = pc.is_null(runs["warm_started_from"])
    models = runs.filter(pc.and_(is_in_time, pc.and_(is_of_config, from_scratch))).to_pylist()
    return max(models, key=lambda model: (model["ds"], model["trained_at"]), default=None)
