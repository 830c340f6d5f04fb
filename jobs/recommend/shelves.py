"""Scored candidates -> shelves: the joint objective, the rules and a reason for every row, in SQL.

Runs on a day's database with the table scored: user_id, item_id, channels, the predictions and the
columns of `REASON_COLUMNS`.
"""

from collections.abc import Mapping

import pyarrow as pa

from jobs.candidates.channels import BIT
from jobs.config import RecommendConfig
from jobs.lake.day_tasks import DayDatabase

PREDICTION_COLUMNS = {
    "purchase": "p_purchase",
    "spend": "expected_spend",
    "buys_on_discount": "p_buys_on_discount",
}
REASON_COLUMNS = (
    "user_item_line_count", "user_item_days_since_last", "user_item_mean_interval", "type_id", "category_id",
)  # fmt: skip


def prediction_column(task: str) -> str:
    """The column of a task's prediction while shelves are made; those that are published have names."""
    return PREDICTION_COLUMNS.get(task, f"p_{task}")


def utility_sql(weights: Mapping[str, float]) -> str:
    """The joint objective, a weighted sum of predictions; `spend` counts in whole currency units."""
    scale = {"spend": 100.0}  # predictions of spend are in cents
    terms = (
        f"{weight / scale.get(task, 1.0)!r}::DOUBLE * {prediction_column(task)}"
        for task, weight in weights.items()
    )
    return " + ".join(terms)


def _predictions_sql(weights: Mapping[str, float]) -> str:
    columns = ", ".join(f"{prediction_column(task)}::DOUBLE" for task in weights)
    return f"map({[*weights]}, [{columns}])"


def _has(channel: str) -> str:
    return f"channels & {BIT[channel]} != 0"


# The last part of the type's path, in capitalised words; null where the catalogue stops before.
_KIND = """
array_to_string(list_transform(
    string_split(string_split(type_id, ' / ')[-1], ' '), lambda word: upper(word[1]) || lower(word[2:])
), ' ')
"""

# Why an item is on the shelf, from its channels and the features of the pair.
_REASON = f"""
CASE
  WHEN times > 0 THEN
    'Bought ' || CASE WHEN times = 1 THEN 'once' ELSE times || ' times' END
    || ', last ' || CASE WHEN last = 1 THEN 'yesterday' ELSE last || ' days ago' END
    || CASE WHEN every = 1 THEN '; usually every day'
            WHEN every > 1 THEN '; usually every ' || every || ' days' ELSE '' END
    || offer
  WHEN {_has("popular_in_type")} THEN
    'The favourite in ' || kind || ', which this user often chooses' || offer
  WHEN {_has("popular_in_department")} THEN
    'Popular in a department this user often chooses' || coalesce(': ' || kind, '') || offer
  WHEN {_has("on_promotion")} THEN 'On offer in ' || kind || ', which this user often chooses'
  WHEN {_has("acted_on")} THEN 'Noticed before, not bought yet'
  ELSE 'Popular with everyone'
END
"""

_CHANNEL_NAMES = f"""
list_filter(
    [{", ".join(f"CASE WHEN {_has(name)} THEN '{name}' END" for name in BIT)}], lambda name: name IS NOT NULL
)
"""


def rank_shelves(database: DayDatabase, rules: RecommendConfig) -> pa.Table:
    """Each user's best by utility, with rank, reason and channel names; ties go to the smaller item_id.

    At most `max_per_category` items of a category; items without a category are not capped.
    """
    query = f"""
    WITH rated AS (SELECT *, {utility_sql(rules.utility)} AS utility FROM scored),
    allowed AS (
        SELECT * FROM rated QUALIFY category_id IS NULL OR $per_category >= row_number() OVER (
            PARTITION BY user_id, category_id ORDER BY utility DESC, item_id
        )
    ),
    ranked AS (
        SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY utility DESC, item_id)::INTEGER AS rank
        FROM allowed QUALIFY rank <= $items
    ),
    explained AS (
        SELECT *, user_item_line_count AS times, user_item_days_since_last AS last,
               round(user_item_mean_interval)::INTEGER AS every, {_KIND} AS kind,
               CASE WHEN {_has("on_promotion")} THEN ', on promotion' ELSE '' END AS offer
        FROM ranked
    )
    SELECT * EXCLUDE (channels), {_REASON} AS reason, {_CHANNEL_NAMES} AS channels,
           {_predictions_sql(rules.utility)} AS predictions
    FROM explained ORDER BY user_id, rank
    """
    parameters = {"per_category": rules.max_per_category, "items": rules.items_per_user}
    return database.sql(query, params=parameters).to_arrow_table()
