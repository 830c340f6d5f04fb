"""Which tables a changed setting builds anew: each key of a scenario against a table written by hand."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from jobs.config import ScenarioConfig, load_scenario
from jobs.features.config import DeclaredLabel, Prior
from jobs.lake.built_days import Settings, made_by
from jobs.logs.config import CompleteJourneyLogs, LogsConfig, MappedLogs
from jobs.stage_graph import settings_of
from jobs.stage_tables import RUN_DATE
from jobs.stages import made_tables
from mtl_model.config import IdField

CATALOGUE = frozenset({"items", "users", "promotions", "campaign_members"})
BOOKS = frozenset({"events", "quarantine", "ingest_counts"})
TILES = frozenset({"user_item_days", "user_days", "item_days", "event_days", "context_days"})
PAIRS = frozenset({"user_item_features", "user_category_features"})
SOLD = frozenset({"item_features", "category_features"})
OF_USERS = frozenset({"user", "user_item", "user_category", "user_brand"})
OF_ITEMS = frozenset({"item", "category", "brand"})
CHANNELS = frozenset({"candidates", "candidate_recall"})
CANDIDATES = CHANNELS | {"examples"}


def features_of(*entities: str) -> frozenset[str]:
    return frozenset(f"{entity}_event_features" for entity in entities)


def declared_of(*entities: str) -> frozenset[str]:
    return features_of(*entities) | {f"{entity}_event_states" for entity in entities}


OF_TILES = declared_of(*OF_USERS, *OF_ITEMS)
OF_CATALOGUE = OF_TILES | declared_of("context") | PAIRS | SOLD | CANDIDATES
FEATURES = OF_TILES | declared_of("context") | PAIRS | SOLD | {"user_features", "co_purchase_features"}
OF_EVENTS = BOOKS | TILES | FEATURES | CANDIDATES | {"attributed_events", "campaign_examples"}
OF_EVENT_TILES = OF_TILES | CANDIDATES | {"event_days", "co_purchase_features"}
ANCHORED = PAIRS | {"user_features", "campaign_examples"} | CANDIDATES
OF_COLUMNS = frozenset({"examples", "campaign_examples"})
NOTHING: frozenset[str] = frozenset()

# The longest prefix of a key counts. What is left out here has cases of its own below.
EXPECTED: Mapping[str, frozenset[str]] = {
    "name": NOTHING,
    "logs.source": OF_EVENTS | CATALOGUE,
    "logs.path": OF_EVENTS | CATALOGUE,
    "logs.first_day": OF_EVENTS | {"items", "users"} | OF_CATALOGUE,
    "logs.last_day": OF_EVENTS,
    "logs.time_zone": OF_EVENTS,
    "logs.late_horizon_days": OF_EVENTS,
    "logs.events": OF_EVENTS,
    "logs.items": OF_CATALOGUE | {"items"},
    "logs.users": frozenset({"users"}),
    "features.windows_days": ANCHORED | SOLD,
    "features.half_lives_days": ANCHORED,
    "features.user_files_per_day": OF_EVENT_TILES | ANCHORED | {"attributed_events"},
    "candidates": CANDIDATES,
    "candidates.bought_before": CANDIDATES | {"user_item_features"},
    "candidates.acted_on": CANDIDATES | features_of("user_item"),
    "candidates.max_line_quantity": CANDIDATES | {"item_features"},
    "examples.training_weeks": NOTHING,
    "examples.folds": frozenset({"examples"}),
    "examples.negative_sampling_rate": CANDIDATES,
    "examples.drawn": CANDIDATES,
    "model": NOTHING,
    "learn": NOTHING,
    "recommend": NOTHING,
    "publish": NOTHING,
}
CASES_OF_THEIR_OWN = {
    "features.declared", "features.co_purchases", "examples.anchor", "examples.attributed_within",
    "examples.label_window_days", "examples.labels", "examples.interest", "model.fields.name",
    "model.fields.kind", "model.tasks.label",
}  # fmt: skip

Path = tuple[str | int, ...]


def leaves(value: object, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name), (*path, name))
    elif isinstance(value, tuple | dict) and value:
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from leaves(value[key], (*path, key))
    else:
        yield path


def changed(value: Any, path: Path, new: Any = None) -> Any:
    """The configuration with another value at the path, unchecked: any key can be changed alone."""
    if not path:
        return _another(value) if new is None else new
    key, rest = path[0], path[1:]
    if isinstance(value, BaseModel):
        return value.model_copy(update={str(key): changed(getattr(value, str(key)), rest, new)})
    if isinstance(value, dict):
        return {**value, key: changed(value[key], rest, new)}
    return tuple(changed(part, rest, new) if index == key else part for index, part in enumerate(value))


def _another(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return None if value == () else "another"


def name_of(path: Path) -> str:
    return ".".join(str(key) for key in path if not isinstance(key, int))


@cache
def scenario_of(name: str) -> ScenarioConfig:
    return load_scenario(name)


def with_one_field(scenario: ScenarioConfig) -> ScenarioConfig:
    """A model that reads no feature, so that any may go."""
    fields = (IdField(kind="id", name="brand"),)
    return scenario.model_copy(update={"model": scenario.model.model_copy(update={"fields": fields})})


def digests(scenario: ScenarioConfig) -> dict[str, Settings]:
    """Table -> all that goes on record with its days, for the tables whose days are kept."""
    kept = [made for made in made_tables(scenario).values() if made.days is not RUN_DATE]
    settings = settings_of(kept, scenario)
    return {made.table.name: made_by(made.table, settings[made.table.name], "") for made in kept}


def rebuilt(before: ScenarioConfig, after: ScenarioConfig) -> set[str]:
    return differing(digests(before), digests(after))


def differing(old: Mapping[str, Settings], new: Mapping[str, Settings]) -> set[str]:
    return {table for table in {*old, *new} if old.get(table) != new.get(table)}


def longest_prefix(key: str, keys: Mapping[str, object] | set[str]) -> str | None:
    parts = key.split(".")
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((prefix for prefix in prefixes if prefix in keys), None)


@pytest.mark.parametrize("name", ["grocery", "shop", "movies_1m"])
def test_a_changed_key_changes_the_digests_of_the_tables_that_rest_on_it_and_no_others(name: str) -> None:
    scenario = scenario_of(name)
    paths = {name_of(path): path for path in leaves(scenario)}  # of a list, one entry of each kind

    slim = with_one_field(scenario)
    of_model, of_slim = digests(scenario), digests(slim)

    found, expected = {}, {}
    for key, path in paths.items():
        if not longest_prefix(key, CASES_OF_THEIR_OWN):
            before, old = (scenario, of_model) if key.startswith("model.") else (slim, of_slim)
            found[key] = differing(old, digests(changed(before, path)))
            expected[key] = {*EXPECTED[str(longest_prefix(key, EXPECTED))]} & {*old}

    assert found == expected


def test_it_has_been_decided_for_every_key_of_the_schema_which_tables_rest_on_it() -> None:
    known = {*EXPECTED, *CASES_OF_THEIR_OWN}
    kinds = {"logs": get_args(get_args(LogsConfig)[0])}
    assert kinds["logs"] == (CompleteJourneyLogs, MappedLogs)

    undecided = []
    for section, field in ScenarioConfig.model_fields.items():
        models = kinds.get(section, (field.annotation,))
        names = {name for model in models for name in getattr(model, "model_fields", {})}
        undecided += [f"{section}.{name}" for name in names if not longest_prefix(f"{section}.{name}", known)]

    assert undecided == []


def declared_at(scenario: ScenarioConfig, **wanted: str) -> int:
    for index, one in enumerate(scenario.features.declared):
        if all(getattr(one, name) == value for name, value in wanted.items()):
            return index
    raise LookupError(wanted)


@pytest.mark.parametrize("entity", ["user", "item", "user_item", "user_category", "context"])
def test_a_declared_feature_builds_those_of_its_entity_and_what_reads_them(entity: str) -> None:
    scenario = scenario_of("shop")

    path = ("features", "declared", declared_at(scenario, entity=entity, measure="rate"), "prior")

    found = rebuilt(scenario, changed(scenario, path, Prior(rate=0.5, weight=3.0)))

    read_by_channels = entity in {"item", "user_item", "user_category"}
    assert found == declared_of(entity) | {"examples"} | (CHANNELS if read_by_channels else NOTHING)


@pytest.mark.parametrize(
    ("name", "path", "new", "tables"),
    [
        pytest.param(
            "shop", ("features", "co_purchases", "per_item"), 3, {"co_purchase_features", "examples"},
            id="co-purchases are read by examples alone",
        ),
        pytest.param(
            "grocery", ("examples", "label_window_days"), 8, ANCHORED,
            id="users are anchored once a label window",
        ),
        pytest.param(
            "shop", ("examples", "label_window_days"), 8, CANDIDATES | {"attributed_events"},
            id="events anchor on any day",
        ),
        pytest.param(
            "shop", ("examples", "anchor"), "click", CANDIDATES - CHANNELS | {"attributed_events"},
            id="another anchor event",
        ),
        pytest.param(
            "shop", ("examples", "attributed_within"), "session", {"attributed_events", "examples"},
            id="attribution",
        ),
        pytest.param("grocery", ("model", "fields"), "fewer", OF_COLUMNS, id="fewer fields"),
        pytest.param("grocery", ("model", "tasks"), "fewer", OF_COLUMNS, id="fewer labels"),
        pytest.param("shop", ("examples", "labels", 0, "at_least"), 2.0, CANDIDATES, id="another label"),
    ],
)  # fmt: skip
def test_what_rests_on_a_part_of_a_key(name: str, path: Path, new: Any, tables: set[str]) -> None:
    scenario = scenario_of(name)
    if new == "fewer":
        new = getattr(scenario.model, str(path[-1]))[:-1]

    assert rebuilt(scenario, changed(scenario, path, new)) == tables


def test_a_label_of_an_event_type_that_no_tile_has_builds_the_tiles_of_events() -> None:
    scenario = scenario_of("shop")
    labels = (*scenario.examples.labels, DeclaredLabel(name="label_mail", events=("email_sent",)))

    found = rebuilt(scenario, changed(scenario, ("examples", "labels"), labels))

    of_contexts = {"context_days", *declared_of("context")}
    assert found == OF_EVENT_TILES | of_contexts | {"attributed_events", "campaign_examples"}
