"""The examples of an anchor day, in SQL: labelled candidates or anchor events, and a row per anchored user.

Runs on the day's database (jobs/lake/day_tasks.py) after the tables of channels and `acted` were added.
A label that is not observed for a kind of example is null: the task is masked there.
"""

from collections.abc import Sequence
from datetime import date

import pyarrow as pa

from jobs.config import ScenarioConfig
from jobs.examples.day_sequences import day_sequences, with_today
from jobs.examples.feature_columns import item_feature_query, user_feature_query
from jobs.features.categories import WORDS
from jobs.features.config import VALUE_COLUMNS, DeclaredLabel
from jobs.features.declared import RATING_UNITS, label_sql
from jobs.lake.columns import Table
from jobs.lake.day_tasks import DayDatabase

# Candidates and what was acted on without being one, with the labels of (user, item) tasks.
_LABELLED_PAIR = """
CREATE OR REPLACE TEMP TABLE labelled_pair AS
SELECT user_id, item_id,
       candidate.user_id IS NOT NULL AS from_candidates,
       coalesce(sampling_rate, 1.0) AS sampling_rate,
       {labels}
FROM candidate FULL JOIN acted USING (user_id, item_id)
"""
_PAIR_KEY = "concat_ws(chr(31), user_id, item_id)"
_PAIR_LABELS = {
    "label_purchase": "(line_count IS NOT NULL)::INTEGER",
    "label_spend": "coalesce(spend, 0)",
    "label_buys_on_discount": "CASE WHEN line_count > 0 THEN (discount_line_count > 0)::INTEGER END",
}

# Anchor events with the labels of what was attributed to them; each event is a tile of its own. Those that
# nothing followed are drawn by a hash of themselves, so that any rerun draws the same.
_LABELLED_EVENT = """
CREATE OR REPLACE TEMP TABLE labelled_pair AS
WITH tile AS (SELECT *, 1 AS event_count, {tile_columns} FROM attributed),
label AS (
    SELECT anchor_id, count_if(event_id != anchor_id) > 0 AS is_followed, {labels}
    FROM tile GROUP BY anchor_id
)
SELECT user_id, item_id, event_id, event_time, surface, position, {hour}, {words}, true AS from_candidates,
       CASE WHEN is_followed THEN 1.0 ELSE $rate END::DOUBLE AS sampling_rate, {names}
FROM attributed JOIN label USING (anchor_id)
WHERE event_id = anchor_id AND (is_followed OR md5_number_lower(anchor_id) % 1000000 < $rate * 1000000)
"""
_IS_BOUGHT = "event_type = 'purchase'"
_EVENT_LABELS = {
    "label_purchase": f"(count_if({_IS_BOUGHT}) > 0)::INTEGER",
    "label_spend": f"coalesce(sum(value) FILTER ({_IS_BOUGHT}), 0)::BIGINT",
    "label_buys_on_discount": f"CASE WHEN count_if({_IS_BOUGHT}) > 0 "
    f"THEN (count_if({_IS_BOUGHT} AND discount > 0) > 0)::INTEGER END",
}


def label_pairs(database: DayDatabase, declared: Sequence[DeclaredLabel]) -> None:
    """Adds the table labelled_pair from candidate and acted."""
    labels = dict(_PAIR_LABELS)
    for label in declared:
        never = "0" if label.measure in {"any", "count", "sum"} and not label.given else "NULL"
        labels[label.name] = f"coalesce({label.name}, {never})"
    columns = ", ".join(f"{sql} AS {name}" for name, sql in labels.items())
    database.execute(_LABELLED_PAIR.format(labels=columns))


def label_events(
    database: DayDatabase, declared: Sequence[DeclaredLabel], rate: float, time_zone: str
) -> None:
    """Adds the table labelled_pair from attributed; an event that nothing followed is kept at `rate`."""
    labels = {**_EVENT_LABELS, **{label.name: label_sql(label) for label in declared}}
    query = _LABELLED_EVENT.format(
        tile_columns=", ".join(_tile_columns(name) for name in VALUE_COLUMNS),
        labels=", ".join(f"{sql} AS {name}" for name, sql in labels.items()),
        names=", ".join(labels),
        hour=f"date_part('hour', timezone('{time_zone}', event_time))::INTEGER AS anchor_hour",
        words=f"{WORDS.format('query')} AS query_words",
    )
    database.execute(query, {"rate": rate})


def _tile_columns(name: str) -> str:
    """What event_days says of a column, for one event: ratings in fixed point."""
    value = f"round(rating * {RATING_UNITS})::BIGINT" if name == "rating" else name
    parts = {"count": f"({name} IS NOT NULL)::INTEGER", **dict.fromkeys(("sum", "min", "max", "last"), value)}
    columns = [f"{sql} AS {name}_{part}" for part, sql in parts.items()]
    return ", ".join([*columns, f"event_time AS {name}_last_at"])


def finish_examples(database: DayDatabase, day: date, config: ScenarioConfig, table: Table) -> pa.Table:
    """Both kinds with their features and ids in the columns of `table`, sorted by id."""
    wanted, of_events = set(config.model.columns), config.examples.has_anchor_events
    kind = config.examples.anchor if of_events else "user_item"
    query = item_feature_query("labelled_pair", config.features, wanted)
    kinds = {kind: with_today(query, day_sequences(config))}
    if config.interest_task:
        kinds["user_day"] = user_feature_query("labelled_user", config.features, wanted)
    parts = [f"SELECT '{kind}' AS example_kind, * FROM ({query})" for kind, query in kinds.items()]
    rows = " UNION ALL BY NAME ".join(parts)
    identity = "example_kind, $day, user_id, item_id" + (", event_id" if of_events else "")
    folds = config.examples.folds
    fold = f", (md5_number_lower({_PAIR_KEY}) % {folds})::INTEGER AS fold" if folds else ""
    example_id = f"md5_number_lower(concat_ws(chr(31), {identity})) >> 1"
    columns = f"$day AS ds, ({example_id})::BIGINT AS example_id, *{fold}"
    query = f"SELECT {columns} FROM ({rows}) ORDER BY example_id"
    return with_all_columns(database.sql(query, params={"day": day}).to_arrow_table(), table)


def with_all_columns(rows: pa.Table, table: Table) -> pa.Table:
    """Adds the columns of `table` that no kind has, as nulls."""
    for field in table.arrow_schema():
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(table.column_names)
