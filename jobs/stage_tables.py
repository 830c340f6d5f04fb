"""The tables of each stage: what each is made from, by which settings, and for which days of a run.

A table also rests on the settings of what it is made from, which is above it: late rows and changed settings
reach them in this order.
"""

from collections.abc import Iterator, Sequence
from typing import get_args

from jobs.candidates.tables import CANDIDATE_RECALL, CANDIDATES
from jobs.config import CandidatesConfig, ScenarioConfig
from jobs.examples.day_sequences import day_sequences
from jobs.examples.tables import attributed_events, campaign_examples, examples
from jobs.features.anchors import as_of_days, training_anchor_days, user_as_of_days
from jobs.features.config import Entity
from jobs.features.declared import horizon_days, label_type
from jobs.features.declared_states import state_plans
from jobs.features.event_tiles import (
    context_days,
    declared_types,
    event_days,
    has_contexts,
    sequence_length,
    sequence_types,
    value_columns,
)
from jobs.features.tables import (
    CO_PURCHASE_FEATURES,
    ITEM_DAYS,
    USER_DAYS,
    USER_ITEM_DAYS,
    category_features,
    declared_tables,
    item_features,
    user_category_features,
    user_features,
    user_item_features,
)
from jobs.learn.tables import (
    DIAGNOSTICS,
    FIELD_ATTRIBUTIONS,
    FIELD_IMPORTANCE,
    MODEL_RUNS,
    TASK_METRICS,
    TWIN_GAINS,
)
from jobs.logs.sources import promotion_days
from jobs.logs.tables import (
    CAMPAIGN_MEMBERS,
    EVENTS,
    INGEST_COUNTS,
    ITEMS,
    PROMOTIONS,
    QUARANTINE,
    SOURCE_COLUMNS,
    USERS,
)
from jobs.publish.tables import PUBLICATIONS, QUALITY_CHECKS
from jobs.recommend.tables import COUPON_RECOMMENDATIONS, ITEM_COMPLEMENTS, RECOMMENDATIONS, USER_PROFILES
from jobs.recommend.tables import TABLES as RECOMMEND_TABLES
from jobs.stage_graph import Days, Made, Read, Setting, whole

# ---- which days

LOG_DAYS = Days("the days of the log", lambda run: (run.scenario.logs.first_day, run.date))
FIRST_DAY = Days("the log's first day", lambda run: (run.scenario.logs.first_day,) * 2)
PLANNED = Days("all days of which plans are known", lambda run: promotion_days(run.scenario.logs, run.date))
USER_AS_OF_DAYS = Days("the as-of days of the log", user_as_of_days)
AS_OF_DAYS = Days("the as-of days of the training anchors, and of tonight's shelves", as_of_days)
TONIGHT = Days("the as-of day of tonight's shelves", lambda run: (as_of_days(run)[1],) * 2)
ANCHOR_DAYS = Days("the training anchors", training_anchor_days)
RUN_DATE = Days("the run date", lambda run: (run.date, run.date))

# ---- which settings

_FILES = whole("logs.source", "logs.path")
_EVENTS = whole("logs.first_day", "logs.last_day", "logs.time_zone", "logs.late_horizon_days", "logs.events")
_USER_FILES = whole("features.user_files_per_day")
_WINDOWS, _HALF_LIVES = whole("features.windows_days"), whole("features.half_lives_days")
_QUOTAS = whole(*[f"candidates.{name}" for name in CandidatesConfig.model_fields])
_WINDOW, _RATE = whole("examples.label_window_days"), whole("examples.negative_sampling_rate")
_DECLARED = "features.declared|co_purchases or examples.labels|interest"
_EVENT_TYPES = Setting(_DECLARED, declared_types)
_ANCHORED = Setting("examples.anchor|label_window_days", lambda of: of.examples.anchor_every_days)
_KIND = Setting("examples.anchor", lambda of: of.examples.has_anchor_events)
_COLUMNS = (
    Setting("model.fields", lambda of: of.model.columns),
    Setting("model.tasks", lambda of: sorted({task.label for task in of.model.tasks})),
)


def _declared_of(entity: Entity) -> Setting:
    def value(of: ScenarioConfig) -> object:
        return [one for one in of.features.declared if one.entity == entity], horizon_days(of.features)

    return Setting("features.declared", value)


# ---- what stages make


def made_logs(scenario: ScenarioConfig) -> tuple[Made, ...]:
    of_events, of_first_day = (*_FILES, *_EVENTS), (*_FILES, *whole("logs.first_day"))
    return (
        Made(EVENTS, LOG_DAYS, settings=of_events),
        Made(ITEMS, FIRST_DAY, settings=(*of_first_day, *whole("logs.items"))),
        Made(USERS, FIRST_DAY, settings=(*of_first_day, *whole("logs.users"))),
        Made(PROMOTIONS, PLANNED, settings=_FILES),
        Made(CAMPAIGN_MEMBERS, PLANNED, settings=_FILES),
        Made(QUARANTINE, LOG_DAYS, settings=of_events),
        Made(INGEST_COUNTS, LOG_DAYS, settings=of_events),
        Made(SOURCE_COLUMNS, RUN_DATE),
    )


def made_tiles(scenario: ScenarioConfig) -> Iterator[Made]:
    first_purchases = (Read("events"), Read("user_item_days", 0, None))
    yield Made(USER_ITEM_DAYS, LOG_DAYS, (Read("events"),))
    yield Made(USER_DAYS, LOG_DAYS, first_purchases)
    yield Made(ITEM_DAYS, LOG_DAYS, first_purchases)
    if declared_types(scenario):
        files = "features.user_files_per_day or examples.anchor|label_window_days"
        settings = (
            _EVENT_TYPES,
            Setting(_DECLARED, value_columns),
            Setting("features.declared", lambda of: (sequence_types(of), sequence_length(of))),
            Setting(files, lambda of: event_days(of).files_per_day),
        )
        yield Made(event_days(scenario), LOG_DAYS, (Read("events"),), settings)
    if has_contexts(scenario):
        values = Setting(_DECLARED, lambda of: [one for one in value_columns(of) if not one.is_newest])
        yield Made(context_days(scenario), LOG_DAYS, (Read("events"),), (_EVENT_TYPES, values))


def made_features(scenario: ScenarioConfig) -> Iterator[Made]:
    config, items = scenario.features, Read("items", 0, None)
    of_users = (Read("user_days", 1, None), Read("campaign_members"))
    of_items, of_pairs = (Read("item_days", 1, None), items), (Read("user_item_days", 1, None), items)
    anchored = (_ANCHORED, *_USER_FILES, *_WINDOWS, *_HALF_LIVES)
    large, top = whole("candidates.max_line_quantity"), whole("candidates.bought_before")
    yield Made(user_features(config), USER_AS_OF_DAYS, of_users, anchored)
    yield Made(item_features(config), AS_OF_DAYS, of_items, (*_WINDOWS, *large))
    yield Made(category_features(config), AS_OF_DAYS, of_items, _WINDOWS)
    yield Made(user_item_features(config), AS_OF_DAYS, of_pairs, (*anchored, *top))
    yield Made(user_category_features(config), AS_OF_DAYS, of_pairs, anchored)
    for plan in (*state_plans(scenario, of_users=True), *state_plans(scenario, of_users=False)):
        reads, declared = (Read(plan.tiles.name, 1, None), items), _declared_of(plan.entity)
        yield Made(plan.state, TONIGHT, reads, (declared,))
        of_anchors = (_ANCHORED, *_USER_FILES) if "user_id" in plan.features.key else ()
        newest = whole("candidates.acted_on") if plan.entity == "user_item" else ()
        of_state = (*reads, Read(plan.state.name))
        yield Made(plan.features, AS_OF_DAYS, of_state, (declared, *of_anchors, *newest))
    if config.co_purchases:
        settings = whole("features.co_purchases")
        yield Made(CO_PURCHASE_FEATURES, AS_OF_DAYS, (Read("event_days", 1, None),), settings)


def _of_label_window(scenario: ScenarioConfig) -> tuple[Read, ...]:
    """What tells what users did in the label windows of their anchors."""
    tiles = ("user_item_days", *(("event_days",) if scenario.examples.label_events else ()))
    return tuple(Read(name, 1 - scenario.examples.label_window_days) for name in tiles)


def _declared_features(scenario: ScenarioConfig, entities: Sequence[Entity]) -> list[Read]:
    tables = {
        **declared_tables(scenario.features, of_users=True),
        **declared_tables(scenario.features, of_users=False),
    }
    return [Read(table.name) for entity, table in tables.items() if entity in entities]


def made_candidates(scenario: ScenarioConfig) -> tuple[Made, ...]:
    names = ("user_item_features", "user_category_features", "item_features")
    reads = (
        *map(Read, names),
        *_declared_features(scenario, ("user_item", "user_category", "item")),
        *_of_label_window(scenario),
        Read("items", 0, None),
        Read("promotions", 0, None),
    )
    settings = (*_QUOTAS, *_WINDOW, *_RATE, _KIND, *whole("examples.drawn", "examples.labels"))
    return tuple(Made(table, ANCHOR_DAYS, reads, settings) for table in (CANDIDATES, CANDIDATE_RECALL))


def made_examples(scenario: ScenarioConfig) -> Iterator[Made]:
    names = ["candidates", "user_item_features", "user_category_features", "item_features"]
    names += ["user_features", "category_features"]
    names += [CO_PURCHASE_FEATURES.name] if scenario.features.co_purchases else []
    reads = [*map(Read, names), *_declared_features(scenario, get_args(Entity))]
    reads += [*_of_label_window(scenario), Read("items", 0, None), Read("promotions", 0, None)]
    if scenario.examples.has_anchor_events:
        events = (Read("events", -scenario.examples.closes_after_days),)
        of_labels = "examples.labels|interest"
        types = Setting(of_labels, lambda of: sorted(of.examples.label_events))
        settings = (*whole("examples.anchor", "examples.attributed_within"), *_WINDOW, *_USER_FILES, types)
        yield Made(attributed_events(scenario), ANCHOR_DAYS, events, settings)
        reads.append(Read("attributed_events"))
    if day_sequences(scenario):
        reads.append(Read("events"))
    labels = whole("examples.anchor", "examples.labels", "examples.interest", "examples.folds")
    settings = (*labels, *_WINDOW, *_RATE, *_COLUMNS, *whole("candidates.max_line_quantity"))
    yield Made(examples(scenario), ANCHOR_DAYS, tuple(reads), settings)
    campaigns = ("events", "user_features", "user_item_days", "campaign_members", "promotions")
    names_of_labels = Setting(
        "examples.labels", lambda of: [(one.name, label_type(one)) for one in of.examples.labels]
    )
    yield Made(
        campaign_examples(scenario),
        LOG_DAYS,
        tuple(Read(name, 0, None) for name in campaigns),
        (*_COLUMNS, _KIND, names_of_labels),
    )


def made_models(scenario: ScenarioConfig) -> tuple[Made, ...]:
    names = ("examples", "campaign_examples", "items")
    return (Made(MODEL_RUNS, RUN_DATE, tuple(map(Read, names))),)


def made_judgements(scenario: ScenarioConfig) -> tuple[Made, ...]:
    tables = (TASK_METRICS, FIELD_IMPORTANCE, FIELD_ATTRIBUTIONS, TWIN_GAINS, DIAGNOSTICS)
    reads = (Read("examples"), Read("campaign_examples"), Read("model_runs"))
    return tuple(Made(table, RUN_DATE, reads) for table in tables)


def made_recommendations(scenario: ScenarioConfig) -> Iterator[Made]:
    plans = state_plans(scenario, of_users=True)
    names = ["model_runs", "items", "promotions", "user_days", "user_item_days"]
    names += ["item_features", "category_features", *[plan.state.name for plan in plans]]
    names += ["event_days"] if plans else []
    names += [table.name for table in declared_tables(scenario.features, of_users=False).values()]
    names += [CO_PURCHASE_FEATURES.name] if scenario.features.co_purchases else []
    of_shelves = tuple(map(Read, names))
    of_coupons = ("events", "campaign_members", "promotions", "user_item_days", "user_features", "model_runs")
    yield Made(RECOMMENDATIONS, RUN_DATE, of_shelves)
    yield Made(COUPON_RECOMMENDATIONS, RUN_DATE, tuple(map(Read, of_coupons)))
    yield Made(ITEM_COMPLEMENTS, RUN_DATE, (Read("events"),))
    yield Made(USER_PROFILES, RUN_DATE, of_shelves)


def made_publications(scenario: ScenarioConfig) -> tuple[Made, ...]:
    outputs = [table.name for table in RECOMMEND_TABLES]
    checked = dict.fromkeys([*outputs, *[check.table for check in scenario.publish.checks]])
    return (
        Made(QUALITY_CHECKS, RUN_DATE, tuple(map(Read, checked))),
        Made(PUBLICATIONS, RUN_DATE, tuple(map(Read, outputs))),
    )
