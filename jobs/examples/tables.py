"""The training examples; which features they carry follows from the fields of the model."""

from dataclasses import replace

from jobs.config import ScenarioConfig
from jobs.examples.feature_columns import feature_column_types
from jobs.examples.own_columns import ITEM_COLUMNS
from jobs.features.config import VALUE_COLUMNS
from jobs.features.declared import label_type
from jobs.lake.columns import Column, Table
from jobs.logs.tables import EVENTS

_BASE = (
    Column("example_id", "long", "hash of the anchor and what it is about"),
    Column("example_kind", "string", "user_item, user_day, user_campaign, or the type of the anchor event"),
    Column("user_id", "string", "the user"),
    Column("item_id", "string", "the item; null for other kinds"),
    Column("campaign_id", "string", "the campaign; null for other kinds"),
    Column("sampling_rate", "double", "probability that the row was kept"),
    Column("from_candidates", "boolean", "false for what was acted on although no channel proposed it"),
)
_TYPES_OF_KIND = {
    "numeric": {"int", "long", "float", "double", "boolean"},
    "id": {"string", "int", "long", "boolean"},
    "hashed_id": {"string", "int", "long", "boolean"},
}
_OF_EVENTS = (Column("event_id", "string", "the anchor event; null for other kinds"),)
_OF_FOLDS = (Column("fold", "int", "hash of user and item: which part of a log without times it is in"),)
_ATTRIBUTED = {
    "event_id",
    "event_time",
    "user_id",
    "item_id",
    "event_type",
    "surface",
    "position",
    "query",
    *VALUE_COLUMNS,
}
# What does not change from day to day.
UNTIMED = frozenset({"user_id", "item_id", *[column.name for column in ITEM_COLUMNS]})
_LABELS = (
    Column("label_purchase", "int", "1 if bought within the label window; null: not observed for this kind"),
    Column(
        "label_spend", "long", "value of what was bought within the label window, cents; 0 if nothing was"
    ),
    Column("label_buys_on_discount", "int", "1 if a bought line had a discount; null if nothing was bought"),
    Column(
        "label_category_interest",
        "list<int>",
        "per department, or category of examples.interest, 1 if bought from, or as declared, in the label "
        "window",
    ),
    Column("label_coupon", "int", "1 if a coupon of the campaign was redeemed"),
)


def _labels(config: ScenarioConfig) -> list[Column]:
    """The labels of the scenario's tasks, and what it declares beside them."""
    wanted = {task.label for task in config.model.tasks}
    labels = [column for column in _LABELS if column.name in wanted]
    for label in config.examples.labels:
        of = f"{label.measure} {f'of {label.of} ' if label.of else ''}over events {' or '.join(label.events)}"
        if label.at_least is not None:
            of = f"1 if at least {label.at_least}, else 0: {of}"
        given = f"; null without {' or '.join(label.given)}" if label.given else ""
        labels.append(
            Column(label.name, label_type(label), f"{of} of the item within the label window{given}")
        )
    return labels


def _examples(name: str, meaning: str, ds_is: str, config: ScenarioConfig) -> Table:
    known = {column.name for column in _BASE}
    types = feature_column_types(config.features)
    features = [name for name in config.model.columns if name not in known]
    return Table(
        name=name,
        meaning=meaning,
        ds_is=ds_is,
        key=("example_id",),
        columns=(
            *_BASE,
            *(_OF_EVENTS if config.examples.has_anchor_events else ()),
            *[Column(name, types[name], "feature as of the anchor") for name in features],
            *_labels(config),
        ),
        split_by="from_candidates",
        row_group_rows=16_384,
    )


def examples(config: ScenarioConfig) -> Table:
    """Examples of user-day anchors, or of anchor events.

    Raises:
        ValueError: if the model has a field that no feature job makes, or a label that is not declared.
    """
    check_fields(config)
    meaning = (
        "Labelled candidates of the anchored users (or the anchor events), and one row per user and anchor "
        "day for the tasks of users."
    )
    table = _examples("examples", meaning, "anchor day", config)
    if not config.examples.folds:
        return table
    return replace(table, columns=(*table.columns, *_OF_FOLDS), split_by="fold")


def campaign_examples(config: ScenarioConfig) -> Table:
    meaning = "One row per member of a campaign, anchored on the campaign's first day."
    return _examples(
        "campaign_examples", meaning, "last day of the campaign, which closes its label window", config
    )


def check_fields(config: ScenarioConfig) -> None:
    types = {**feature_column_types(config.features), **{column.name: column.type for column in _BASE}}
    if unknown := sorted(set(config.model.columns) - set(types)):
        raise ValueError(
            f"model.fields name columns that no feature job makes: {unknown}; known are {sorted(types)}"
        )
    for field in config.model.fields:
        if (field.kind == "id_list") != types[field.name].startswith("list<"):
            raise ValueError(
                f"model.fields: {field.name} is a column of type {types[field.name]}, kind {field.kind} "
                "cannot read it: id_list is for lists, and lists are for id_list"
            )
        known = _TYPES_OF_KIND.get(field.kind)
        if known and (found := types[field.name]) not in known:
            raise ValueError(
                f"model.fields: {field.name} is a column of type {found}, kind {field.kind} reads "
                f"{sorted(known)}"
            )
    if config.examples.folds and (timed := sorted(set(config.model.columns) - UNTIMED)):
        raise ValueError(
            f"model.fields: {timed} of a log without times would be empty in training, and know what they "
            f"should predict when it serves; there are {sorted(UNTIMED)}"
        )
    labels = {*[column.name for column in _LABELS], *[label.name for label in config.examples.labels]}
    if unknown := sorted({task.label for task in config.model.tasks} - labels):
        raise ValueError(
            f"model.tasks name labels that examples.labels do not declare: {unknown}; "
            f"known are {sorted(labels)}"
        )


def attributed_events(config: ScenarioConfig) -> Table:
    return Table(
        name="attributed_events",
        meaning="Each anchor event and what followed it within its label window, by last touch.",
        ds_is="day of the anchor event",
        key=("user_id", "anchor_id", "event_time", "event_id"),
        columns=(
            Column("anchor_id", "string", "event_id of the anchor event: the row of the anchor has its own"),
            *[column for column in EVENTS.columns if column.name in _ATTRIBUTED],
        ),
        files_per_day=config.features.user_files_per_day,
    )


def example_tables(config: ScenarioConfig) -> tuple[Table, ...]:
    of_events = (attributed_events(config),) if config.examples.has_anchor_events else ()
    return (*of_events, examples(config), campaign_examples(config))
