"""What a night's features cost by rescanning the log of the longest window: with Spark, and with DuckDB."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lake.lake import Lake, local_path
from jobs.logs.tables import EVENTS, ITEMS

EVENT_TYPES = ("impression", "click", "favorite", "cart", "purchase")
PRICED = ("impression", "click", "purchase")
RATES = (("click", "impression"), ("purchase", "click"))
KEYS = {"user": ["user_id"], "item": ["item_id"], "user_category": ["user_id", "category_id"]}
_ROWS = {
    "user": "event",
    "item": "event WHERE item_id IS NOT NULL",
    "user_category": """event JOIN (SELECT item_id, category_path[1] AS category_id FROM item) USING (item_id)
                        WHERE category_id IS NOT NULL""",
}


@dataclass(frozen=True)
class Rescan:
    """The features as of `day`, a column for each window, into Parquet files of each entity.

    The shop's categories are one level deep.
    """

    spark: SparkSession
    lake: Lake
    day: date
    windows: Sequence[int]
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def with_spark(self, entity: str) -> Path:
        days = self._first_day(max(self.windows)), self.day - timedelta(days=1)
        events = self.lake.read(self.spark, EVENTS, days)
        if entity == "user_category":
            items = self.lake.read(self.spark, ITEMS)
            categories = items.select("item_id", F.col("category_path")[0].alias("category_id"))
            events = events.join(F.broadcast(categories), "item_id")
        columns = [F.expr(sql).alias(name) for name, sql in self._columns("date_diff({day}, {last})").items()]
        rows = events.dropna(subset=KEYS[entity]).groupBy(*KEYS[entity]).agg(*columns)
        target = self.folder / f"spark_{entity}"
        rows.write.mode("overwrite").parquet(str(target))
        return target / "*.parquet"

    def with_duckdb(self, entities: Sequence[str]) -> list[Path]:
        """By hand, on all cores."""
        days = self._first_day(max(self.windows)), self.day - timedelta(days=1)
        events = [local_path(path) for path in self.lake.files(EVENTS, days)]
        items = [local_path(path) for path in self.lake.files(ITEMS)]
        columns = ", ".join(f"{sql} AS {name}" for name, sql in self._columns("{day} - {last}").items())
        targets = {entity: self.folder / f"duckdb_{entity}.parquet" for entity in entities}
        with duckdb.connect() as database:
            database.execute(f"CREATE VIEW event AS FROM read_parquet({events})")
            database.execute(f"CREATE VIEW item AS FROM read_parquet({items})")
            for entity, target in targets.items():
                keys = ", ".join(KEYS[entity])
                query = f"SELECT {keys}, {columns} FROM {_ROWS[entity]} GROUP BY {keys}"
                database.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)")
        return list(targets.values())

    def _columns(self, days_since: str) -> dict[str, str]:
        """Name -> SQL, the same for both engines, but for the days between {last} and {day}."""
        found: dict[str, str] = {}
        for window in self.windows:
            of = {name: f"FILTER (WHERE {self._of(name, window)})" for name in EVENT_TYPES}
            found |= {f"{name}_count_{window}d": f"count(*) {of[name]}" for name in EVENT_TYPES}
            found |= {f"{name}_price_{window}d": f"avg(price) {of[name]}" for name in PRICED}
            found[f"spend_{window}d"] = f"coalesce(sum(value) {of['purchase']}, 0)"
            for name, per in RATES:
                found[f"{name}_rate_{window}d"] = f"count(*) {of[name]} / nullif(count(*) {of[per]}, 0)"
        for name in EVENT_TYPES:
            last = f"max(ds) FILTER (WHERE event_type = '{name}')"
            found[f"days_since_{name}"] = days_since.format(last=last, day=f"DATE '{self.day}'")
        return found

    def _of(self, event_type: str, window: int) -> str:
        return f"event_type = '{event_type}' AND ds >= DATE '{self._first_day(window)}'"

    def _first_day(self, window: int) -> date:
        return self.day - timedelta(days=window)
