"""What the model may read of an example: the columns of the feature tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.features.tables import (
    category_features,
    item_features,
    user_category_features,
    user_features,
    user_item_features,
)
from jobs.lake.columns import Table

ITEM_COLUMNS = ("department_id", "category_id", "type_id", "brand")
_PROMOTION = {"display_share": "double", "mailer_share": "double"}
_CONTEXT = {"anchor_weekday": "string", "campaign_type": "string", "campaign_affinity": "double"}
_KEYS = {"ds", "user_id", "item_id", "level", "category_id"}


def _renamed(table: Table, prefix: str, new_prefix: str) -> dict[str, str]:
    """Column -> name under which examples carry it."""
    return {name: new_prefix + name.removeprefix(prefix) for name in table.column_names if name not in _KEYS}


def feature_column_types(config: FeaturesConfig) -> Mapping[str, str]:
    """Every feature column that an example may carry, with its type."""
    types = {**dict.fromkeys(ITEM_COLUMNS, "string"), **_PROMOTION, **_CONTEXT}
    for table, renames in _sources(config):
        of = {column.name: column.type for column in table.columns}
        types |= {renames[name]: of[name] for name in renames}
    return types


def _sources(config: FeaturesConfig) -> list[tuple[Table, dict[str, str]]]:
    user_category, category = user_category_features(config), category_features(config)
    return [
        (user_features(config), _renamed(user_features(config), "", "")),
        (item_features(config), _renamed(item_features(config), "", "")),
        (user_item_features(config), _renamed(user_item_features(config), "", "")),
        (user_category, _renamed(user_category, "user_category", "user_type")),
        (user_category, _renamed(user_category, "user_category", "user_department")),
        (category, _renamed(category, "category", "type")),
        (category, _renamed(category, "category", "department")),
    ]


@dataclass(frozen=True)
class FeatureFrames:
    """The feature tables as of the days of the pairs."""

    users: DataFrame
    items: DataFrame
    categories: DataFrame
    user_category: DataFrame
    user_item: DataFrame
    promoted: DataFrame
    levels: DataFrame


def add_item_features(
    pairs: DataFrame, frames: FeatureFrames, config: FeaturesConfig, wanted: Iterable[str]
) -> DataFrame:
    """Adds the wanted features to (ds, user_id, item_id, ...): one equality join per feature table."""
    wanted = set(wanted)
    user, item, user_item, user_type, user_department, type_, department = (
        renames for _, renames in _sources(config)
    )
    levels = frames.levels.select("item_id", *ITEM_COLUMNS)
    joined = pairs.join(F.broadcast(levels), "item_id", "left")
    at_level = _at_level(frames.user_category, "type"), _at_level(frames.user_category, "department")
    categories = _at_level(frames.categories, "type"), _at_level(frames.categories, "department")
    joined = _join(joined, frames.user_item, ["ds", "user_id", "item_id"], user_item, wanted)
    joined = _join(joined, at_level[0], ["ds", "user_id", "type_id"], user_type, wanted)
    joined = _join(joined, at_level[1], ["ds", "user_id", "department_id"], user_department, wanted)
    joined = _join(joined, frames.users, ["ds", "user_id"], user, wanted)
    joined = _join(joined, frames.items, ["ds", "item_id"], item, wanted)
    joined = _join(joined, categories[0], ["ds", "type_id"], type_, wanted)
    joined = _join(joined, categories[1], ["ds", "department_id"], department, wanted)
    joined = _join(joined, frames.promoted, ["ds", "item_id"], {name: name for name in _PROMOTION}, wanted)
    promoted = [name for name in _PROMOTION if name in wanted]
    return with_weekday(joined.fillna(0.0, promoted) if promoted else joined)


def add_user_features(
    rows: DataFrame, users: DataFrame, config: FeaturesConfig, wanted: Iterable[str]
) -> DataFrame:
    """Adds the wanted user features to (ds, user_id, ...)."""
    return with_weekday(_join(rows, users, ["ds", "user_id"], _sources(config)[0][1], set(wanted)))


def with_weekday(rows: DataFrame) -> DataFrame:
    return rows.withColumn("anchor_weekday", F.date_format("ds", "E"))


def _at_level(features: DataFrame, level: str) -> DataFrame:
    return (
        features.where(F.col("level") == level).drop("level").withColumnRenamed("category_id", f"{level}_id")
    )


def _join(
    rows: DataFrame, features: DataFrame, keys: list[str], renames: Mapping[str, str], wanted: set[str]
) -> DataFrame:
    chosen = [F.col(name).alias(new_name) for name, new_name in renames.items() if new_name in wanted]
    return rows.join(features.select(*keys, *chosen), keys, "left") if chosen else rows
