"""The registry: the stages of a night in their order; what each reads and writes, and for which days.

All that must know of stages or tables follows from it: the nightly run, the DAGs (dags/stages.json), `plan`,
the days that late rows make dirty, what a changed setting builds anew, and docs/tables.md.
"""

from collections.abc import Mapping
from importlib import import_module

from jobs.config import ScenarioConfig
from jobs.lake.built_days import Settings
from jobs.lake.columns import Table
from jobs.lake.days import DayRange, merge_ranges
from jobs.lake.lake import Lake
from jobs.stage import RUN_STAGES, Build, Run
from jobs.stage_graph import Made, Stage, settings_of
from jobs.stage_tables import (
    ANCHOR_DAYS,
    AS_OF_DAYS,
    LOG_DAYS,
    RUN_DATE,
    made_candidates,
    made_examples,
    made_features,
    made_judgements,
    made_logs,
    made_models,
    made_publications,
    made_recommendations,
    made_tiles,
)

_ALL = (
    Stage("ingest", "jobs.logs.ingest_logs:ingest_logs", LOG_DAYS, made_logs, needs_spark=True),
    Stage("tiles", "jobs.features.build_tiles:build_tiles", LOG_DAYS, made_tiles, needs_spark=True),
    Stage(
        "features", "jobs.features.build_features:build_features", AS_OF_DAYS, made_features, needs_spark=True
    ),
    Stage(
        "candidates",
        "jobs.candidates.build_candidates:build_candidates",
        ANCHOR_DAYS,
        made_candidates,
        needs_spark=True,
    ),
    Stage(
        "examples",
        "jobs.examples.build_examples:build_examples",
        ANCHOR_DAYS,
        made_examples,
        needs_spark=True,
    ),
    Stage(
        "train",
        "jobs.learn.train_model:train_model",
        RUN_DATE,
        made_models,
        needs_spark=False,
        also_reads=("model_runs",),
        files="models/{scenario}/",
    ),
    Stage(
        "evaluate",
        "jobs.learn.evaluate_model:evaluate_model",
        RUN_DATE,
        made_judgements,
        needs_spark=False,
        also_writes=("model_runs",),
    ),
    Stage(
        "recommend",
        "jobs.recommend.build_recommendations:build_recommendations",
        RUN_DATE,
        made_recommendations,
        needs_spark=True,
    ),
    Stage("publish", "jobs.publish.publish_run:publish_run", RUN_DATE, made_publications, needs_spark=False),
    Stage(
        "report",
        "jobs.publish.write_report:write_report",
        RUN_DATE,
        lambda _: (),
        needs_spark=False,
        also_reads=("all of the run",),
        files="reports/{scenario}/{date}.html",
    ),
)
STAGES = {stage.name: stage for stage in _ALL}
BULK_STAGES = tuple(name for name, stage in STAGES.items() if stage.days is not RUN_DATE)


def load_stage(stage: str) -> Build:
    """The function of a stage, imported when its turn comes: the early ones need no torch."""
    module, function = STAGES[stage].entry.split(":")
    build: Build = getattr(import_module(module), function)
    return build


def made_tables(scenario: ScenarioConfig) -> dict[str, Made]:
    """Every table that a stage makes, by its name, what it is made from before it."""
    return {made.table.name: made for stage in STAGES.values() for made in stage.makes(scenario)}


def all_tables(scenario: ScenarioConfig) -> list[Table]:
    """Every table in the order of the flow; last the one in which every stage records itself."""
    return [*(made.table for made in made_tables(scenario).values()), RUN_STAGES]


def table_settings(scenario: ScenarioConfig) -> Mapping[str, Settings]:
    """What each table whose days are kept is made by; tables of a run are made by each run anew."""
    kept = [made for made in made_tables(scenario).values() if made.days is not RUN_DATE]
    return settings_of(kept, scenario)


def missing_days(run: Run, lake: Lake, *tables: Table) -> list[DayRange]:
    """The days of a run that any of some tables, made together, lacks; and the newest, as `run` has it."""
    made = made_tables(run.scenario)
    missing = [
        days
        for table in tables
        for days in run.days_to_build(made[table.name].days.of(run), lake.built_days(table))
    ]
    return merge_ranges(missing)
