"""Channels of candidates: what may be shown to a user as of a day, the same for examples and for serving.

SQL over one day's database (jobs/lake/day_tasks.py). Its views, all as of the day: user_item and
user_category of the users, item (features of items), promotion (placements and coupons that overlap the
label window), catalogue (items with their category path), and <entity>_event where features are declared.
"""

import duckdb

from jobs.config import CandidatesConfig, FeaturesConfig
from jobs.features.categories import ITEM_CATALOGUE_SQL, ITEM_LEVELS_SQL
from jobs.features.config import Entity
from jobs.features.declared import declared_columns
from jobs.features.tables import ITEM_MAX_LINE, declared_tables
from jobs.lake.day_tasks import DayDatabase

CHANNELS = (
    "bought_before", "popular", "popular_in_department", "popular_in_type", "on_promotion", "acted_on"
)  # fmt: skip
BIT = {channel: 1 << index for index, channel in enumerate(CHANNELS)}

_PROMOTED_TYPES, _PROMOTED_PER_TYPE = 60, 5  # promotions are looked for where the user shops

_ITEM_LEVEL = f"""
CREATE OR REPLACE TEMP TABLE item_level AS {ITEM_LEVELS_SQL};
CREATE OR REPLACE TEMP VIEW item_catalogue AS {ITEM_CATALOGUE_SQL}
"""

# The mean over the days of the label window [$day, $day + $window); a day without a placement counts as 0.
# A sum of integers (1e-6 of a shop) does not depend on the order of rows.
_PROMOTED = """
CREATE OR REPLACE TEMP TABLE promoted AS
WITH placement AS (
    SELECT item_id, display_share, mailer_share,
           least(valid_to, $day + $window - 1) - greatest(valid_from, $day) + 1 AS days
    FROM promotion
    WHERE kind = 'placement' AND valid_from <= $day + $window - 1 AND valid_to >= $day
)
SELECT item_id,
       sum(round(display_share * 1000000)::BIGINT * days)::DOUBLE / ($window * 1000000) AS display_share,
       sum(round(mailer_share * 1000000)::BIGINT * days)::DOUBLE / ($window * 1000000) AS mailer_share
FROM placement GROUP BY item_id
"""

_ACTED_ON = f"""
    UNION ALL
    SELECT user_id, item_id, {BIT["acted_on"]} FROM user_item_event WHERE user_item_event_rank <= $acted_on
"""

_RANKED_BY_SALES = """
    SELECT item_id, department_id, type_id, item_rank, item_rank_in_department, item_rank_in_type,
           item_user_count_28d
    FROM item LEFT JOIN item_level USING (item_id)
"""
_RANKED_BY_EVENTS = """
    SELECT item_id, department_id, type_id, {by} AS item_user_count_28d,
           row_number() OVER (ORDER BY {by} DESC, item_id) AS item_rank,
           row_number() OVER (
               PARTITION BY department_id ORDER BY {by} DESC, item_id
           ) AS item_rank_in_department,
           row_number() OVER (PARTITION BY type_id ORDER BY {by} DESC, item_id) AS item_rank_in_type
    FROM item_event LEFT JOIN item_level USING (item_id) WHERE {by} > 0
"""
_FAVOURITE_BY_SALES = """
    SELECT user_id, level, category_id, user_category_rank AS rank, user_category_share AS share
    FROM user_category
"""
_FAVOURITE_BY_EVENTS = """
    SELECT user_id, level, category_id, {by} AS share,
           row_number() OVER (PARTITION BY user_id, level ORDER BY {by} DESC, category_id) AS rank
    FROM user_category_event WHERE {by} > 0
"""
_KNOWN = "ANTI JOIN (SELECT user_id, item_id FROM user_item UNION ALL {of_events}) USING (user_id, item_id)"

_PROPOSED = f"""
CREATE OR REPLACE TEMP TABLE proposed AS
WITH ranked AS ({{ranked}}),
favourite AS ({{favourite}}),
offer AS (
    SELECT item_id, type_id, item_user_count_28d
    FROM ranked JOIN promoted USING (item_id)
    WHERE item_rank_in_type <= {_PROMOTED_PER_TYPE}
      AND greatest(display_share, mailer_share) >= $min_promotion_share
),
channel AS (
    SELECT user_id, item_id, {BIT["bought_before"]} AS bit
    FROM user_item WHERE user_item_rank <= $bought_before
    UNION ALL
    SELECT user_id, item_id, {BIT["popular"]}
    FROM anchored CROSS JOIN ranked WHERE item_rank <= $popular
    UNION ALL
    SELECT user_id, item_id, {BIT["popular_in_department"]}
    FROM favourite JOIN ranked ON level = 'department' AND favourite.category_id = ranked.department_id
    WHERE rank <= $popular_departments AND item_rank_in_department <= $popular_per_department
    UNION ALL
    SELECT user_id, item_id, {BIT["popular_in_type"]}
    FROM favourite JOIN ranked ON level = 'type' AND favourite.category_id = ranked.type_id
    WHERE rank <= $popular_types AND item_rank_in_type <= $popular_per_type
    UNION ALL
    SELECT user_id, item_id, {BIT["on_promotion"]}
    FROM favourite JOIN offer ON level = 'type' AND favourite.category_id = offer.type_id
    WHERE rank <= {_PROMOTED_TYPES}
    QUALIFY row_number() OVER (
        PARTITION BY user_id ORDER BY share * item_user_count_28d DESC, item_id
    ) <= $on_promotion
    {{acted_on}}
)
SELECT user_id, item_id, bit_or(bit)::INTEGER AS channels
FROM channel ANTI JOIN excluded USING (item_id) {{known}}
GROUP BY user_id, item_id
"""

_EXCLUDED = f"""
CREATE OR REPLACE TEMP TABLE excluded AS SELECT item_id FROM item WHERE {ITEM_MAX_LINE} > $max_line_quantity
"""


def add_day_items(database: DayDatabase, day: object, window_days: int, max_line_quantity: int) -> None:
    """Adds item_level, item_catalogue, promoted and excluded, for the SQL of channels and features."""
    database.execute(_ITEM_LEVEL)
    database.execute(_PROMOTED, {"day": day, "window": window_days})
    database.execute(_EXCLUDED, {"max_line_quantity": max_line_quantity})


def add_anchored(database: DayDatabase, config: FeaturesConfig) -> None:
    """Adds the table anchored (user_id): the users with features of items or categories as of the day."""
    views = ["user_item", "user_category"]
    of_events = declared_tables(config, of_users=True)
    views += [f"{entity}_event" for entity in ("user_item", "user_category") if entity in of_events]
    users = " UNION ".join(f"SELECT user_id FROM {view}" for view in views)
    database.execute(f"CREATE OR REPLACE TEMP TABLE anchored AS {users}")


def check_channels(config: CandidatesConfig, features: FeaturesConfig) -> None:
    """Checks the features that the channels go by.

    Raises:
        ValueError: if one is not declared.
    """
    by: dict[Entity, str | None] = {"item": config.popular_by, "user_category": config.favourite_by}
    for entity, name in by.items():
        known = [declared.column.name for declared in declared_columns(features, entity)]
        if name and name not in known:
            raise ValueError(f"candidates go by {name}: declare it of {entity}; declared are {known}")


def channels_of(config: CandidatesConfig) -> tuple[str, ...]:
    """The channels that propose something in a scenario."""
    return CHANNELS if config.acted_on else CHANNELS[:-1]


def ranked_query(config: CandidatesConfig) -> str:
    """SQL: items with their departments, types and ranks, and what they are popular by."""
    by = config.popular_by
    return _RANKED_BY_EVENTS.format(by=by) if by else _RANKED_BY_SALES


def favourite_query(config: CandidatesConfig) -> str:
    """SQL: the categories that each user chooses, with their ranks and shares."""
    by = config.favourite_by
    return _FAVOURITE_BY_EVENTS.format(by=by) if by else _FAVOURITE_BY_SALES


def known_clause(config: CandidatesConfig) -> str:
    """What leaves out the pairs that are known, if they are to be left out."""
    of_events = "SELECT user_id, item_id FROM " + ("user_item_event" if config.acted_on else "user_item")
    return _KNOWN.format(of_events=of_events) if config.exclude_known else ""


def propose(database: DayDatabase, config: CandidatesConfig) -> duckdb.DuckDBPyRelation:
    """Adds the table proposed (user_id, item_id, channels): each pair that may be shown, once."""
    names = [
        "bought_before", "popular", "popular_departments", "popular_per_department", "popular_types",
        "popular_per_type", "on_promotion", "min_promotion_share",
    ]  # fmt: skip
    if config.acted_on:
        names.append("acted_on")
    query = _PROPOSED.format(
        ranked=ranked_query(config),
        favourite=favourite_query(config),
        acted_on=_ACTED_ON if config.acted_on else "",
        known=known_clause(config),
    )
    database.execute(query, {name: getattr(config, name) for name in names})
    return database.table("proposed")
