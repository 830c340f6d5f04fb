"""event_days -> co_purchase_features: how likely one item is got on the same day as another.

A user's days are the baskets. Spark counts them by pair of items and day, then DuckDB groups all pairs of
some items for each as-of day. A user and an item are as close as the item and the likeliest of the user's
last items.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

import duckdb
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.config import CoPurchases
from jobs.features.declared import declared_columns
from jobs.features.tables import CO_PURCHASE_FEATURES
from jobs.features.user_windows import BATCH_ROWS, whole_users
from jobs.lake.day_tasks import DayDatabase
from jobs.lake.days import DayRange, days_between

MAX_ITEMS_A_DAY = 100  # a day with more of them is no basket: its pairs would tell little and cost much

# `tile` also pairs each item with itself: how many baskets it is in at all.
_PAIRS = """
WITH counted AS (
    SELECT item_id, other_item_id, sum(basket_count)::BIGINT AS basket_count
    FROM tile WHERE ds < $day AND ds >= $day - {window_days} GROUP BY item_id, other_item_id
),
item AS (SELECT item_id, basket_count AS item_count FROM counted WHERE item_id = other_item_id)
SELECT $day AS ds, item_id, other_item_id, basket_count, basket_count / item_count AS confidence
FROM counted JOIN item USING (item_id)
WHERE item_id != other_item_id AND basket_count >= {min_together}
QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY basket_count DESC, other_item_id) <= {per_item}
ORDER BY item_id, other_item_id
"""

_CO_PURCHASED = """
CREATE OR REPLACE TEMP TABLE co_purchased AS
SELECT user_id, other_item_id AS item_id, max(confidence) AS user_item_co_purchase
FROM (SELECT user_id, unnest({recent}) AS item_id FROM user_event) JOIN co_purchase USING (item_id)
GROUP BY user_id, other_item_id
"""


def pair_days(event_days: DataFrame, events: tuple[str, ...]) -> DataFrame:
    """(ds, item_id, other_item_id, basket_count), both ways round, and each item with itself."""
    of_types = event_days.where(F.col("event_type").isin(*events) & F.col("item_id").isNotNull())
    baskets = of_types.groupBy("ds", "user_id").agg(F.collect_set("item_id").alias("items"))
    return (
        baskets.where(F.size("items") <= MAX_ITEMS_A_DAY)
        .select("ds", "items", F.explode("items").alias("item_id"))
        .select("ds", "item_id", F.explode("items").alias("other_item_id"))
        .groupBy("ds", "item_id", "other_item_id")
        .agg(F.count(F.lit(1)).alias("basket_count"))
    )


def co_purchase_frame(event_days: DataFrame, config: CoPurchases, days: DayRange) -> DataFrame:
    """Rows of co_purchase_features for every as-of day of the range."""
    pairs = pair_days(event_days, config.events)
    placed = pairs.repartition("item_id").sortWithinPartitions("item_id")
    query = _PAIRS.format(
        window_days=config.window_days, min_together=config.min_together, per_item=config.per_item
    )
    return placed.mapInArrow(_task(query, days), CO_PURCHASE_FEATURES.spark_schema())


def _task(query: str, days: DayRange) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in whole_users(batches, BATCH_ROWS, "item_id"):
            with duckdb.connect(config={"threads": 1}) as database:  # Spark runs one task per core
                database.register("tile", rows)
                for day in days_between(*days):
                    yield from database.sql(query, params={"day": day}).to_arrow_table().to_batches()

    return run


def co_purchase_history(config: CoPurchases, first_day: date, days: DayRange) -> DayRange:
    """The event days that a range of as-of days looks at."""
    return max(first_day, days[0] - timedelta(days=config.window_days)), days[1] - timedelta(days=1)


def add_co_purchased(database: DayDatabase, config: FeaturesConfig) -> None:
    """Adds the table co_purchased (user_id, item_id, closeness) from user_event and co_purchase."""
    if config.co_purchases:
        wanted = config.co_purchases.recent(config.declared)
        columns = declared_columns(config, "user")
        recent = next(one.column.name for one in columns if one.feature == wanted)
        database.execute(_CO_PURCHASED.format(recent=recent))
