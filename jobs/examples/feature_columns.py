"""What the model may read of an example: the columns of the feature tables, joined by equality.

The SQL runs on one day's database (jobs/lake/day_tasks.py), for examples and for serving alike.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import FeaturesConfig
from jobs.examples.own_columns import CO_PURCHASE, ITEM_COLUMNS, PROMOTION_COLUMNS, own_columns
from jobs.features.config import Entity
from jobs.features.plans import USER_LEVELS
from jobs.features.price_quantiles import QUANTILE_UNITS
from jobs.features.tables import (
    category_features,
    declared_tables,
    item_features,
    user_category_features,
    user_features,
    user_item_features,
)
from jobs.lake.columns import Column, Table

_KEYS = {"ds", "user_id", "item_id", "level", "category_id", "brand", "surface", "position"}


def _renamed(table: Table, prefix: str, new_prefix: str) -> dict[str, str]:
    """Column -> name under which examples carry it."""
    return {name: new_prefix + name.removeprefix(prefix) for name in table.column_names if name not in _KEYS}


@dataclass(frozen=True)
class _Source:
    """A feature table, the name its columns get, and how a row finds its own: `rows` are `r`, levels `l`."""

    table: Table
    renames: Mapping[str, str]
    view: str
    condition: str


def _sources(config: FeaturesConfig) -> list[_Source]:
    users, items, pairs = user_features(config), item_features(config), user_item_features(config)
    user_category, category = user_category_features(config), category_features(config)
    of_user, of_item = "f.user_id = r.user_id", "f.item_id = r.item_id"
    declared = {**declared_tables(config, of_users=True), **declared_tables(config, of_users=False)}
    sources = [
        _Source(users, _renamed(users, "", ""), "users", of_user),
        _Source(items, _renamed(items, "", ""), "item", of_item),
        _Source(pairs, _renamed(pairs, "", ""), "user_item", f"{of_user} AND {of_item}"),
    ]
    of_entities: dict[Entity, str] = {
        "user": of_user,
        "item": of_item,
        "user_item": f"{of_user} AND {of_item}",
        "brand": "f.brand = l.brand",
        "context": "f.surface = r.surface AND f.position = coalesce(r.position, -1)",
        "user_brand": f"{of_user} AND f.brand = l.brand",
    }
    for entity, condition in of_entities.items():
        if table := declared.get(entity):
            sources.append(_Source(table, _renamed(table, "", ""), f"{entity}_event", condition))
    for level in USER_LEVELS:
        at_level = f"f.level = '{level}' AND f.category_id = l.{level}_id"
        for name, table in (
            ("user_category", user_category),
            ("user_category_event", declared.get("user_category")),
        ):
            if table:
                renames = _renamed(table, "user_category", f"user_{level}")
                sources.append(_Source(table, renames, name, f"{of_user} AND {at_level}"))
        for name, table in (("category", category), ("category_event", declared.get("category"))):
            if table:
                sources.append(_Source(table, _renamed(table, "category", level), name, at_level))
    return sources


def feature_column_types(config: FeaturesConfig) -> Mapping[str, str]:
    """Every feature column that an example may carry, with its type."""
    types = {column.name: column.type for columns in own_columns(config).values() for column in columns}
    for source in _sources(config):
        of = {column.name: column.type for column in source.table.columns}
        types |= {new_name: of[name] for name, new_name in source.renames.items()}
    return types


def item_feature_query(rows: str, config: FeaturesConfig, wanted: Collection[str]) -> str:
    """SQL that adds the wanted features to each row of the table `rows` (user_id, item_id, ...).

    Its parameter is $day. Columns that concern neither users nor items (a campaign's) are left out.
    """
    computed = {"item_price_quantile": f"l.price_quantile / {QUANTILE_UNITS} AS item_price_quantile"}
    columns = [computed.get(name, f"l.{name}") for name in _names(ITEM_COLUMNS, wanted)]
    columns += [f"coalesce(p.{name}, 0.0) AS {name}" for name in _names(PROMOTION_COLUMNS, wanted)]
    of_items = "item_catalogue" if {"title_words", "item_price_quantile"} & set(wanted) else "item_level"
    joins = [f"LEFT JOIN {of_items} AS l ON l.item_id = r.item_id"]
    joins += ["LEFT JOIN promoted AS p ON p.item_id = r.item_id"]
    if CO_PURCHASE.name in wanted:
        columns.append(f"coalesce(c.{CO_PURCHASE.name}, 0.0) AS {CO_PURCHASE.name}")
        joins.append("LEFT JOIN co_purchased AS c ON c.user_id = r.user_id AND c.item_id = r.item_id")
    return _feature_query(rows, _sources(config), wanted, columns, joins)


def _names(columns: Iterable[Column], wanted: Collection[str]) -> list[str]:
    return [column.name for column in columns if column.name in wanted]


def user_feature_query(rows: str, config: FeaturesConfig, wanted: Collection[str]) -> str:
    """SQL that adds the wanted features of users to each row of the table `rows` (user_id, ...)."""
    of_users = [source for source in _sources(config) if source.view in {"users", "user_event"}]
    return _feature_query(rows, of_users, wanted, [], [])


def _feature_query(
    rows: str, sources: Iterable[_Source], wanted: Collection[str], columns: list[str], joins: list[str]
) -> str:
    columns, joins = ["r.*", *columns], list(joins)
    for number, source in enumerate(sources):
        chosen = {name: new_name for name, new_name in source.renames.items() if new_name in wanted}
        if chosen:
            alias = f"f{number}"
            columns += [f"{alias}.{name} AS {new_name}" for name, new_name in chosen.items()]
            joins.append(
                f"LEFT JOIN {source.view} AS {alias} ON {source.condition.replace('f.', alias + '.')}"
            )
    if "anchor_weekday" in wanted:
        columns.append("strftime($day::DATE, '%a') AS anchor_weekday")
    return f"SELECT {', '.join(columns)} FROM {rows} AS r {' '.join(joins)}"


def add_user_features(
    rows: DataFrame, users: DataFrame, config: FeaturesConfig, wanted: Collection[str]
) -> DataFrame:
    """Adds the wanted user features to (ds, user_id, ...), a frame of any days: for campaigns."""
    renames = {name: new for name, new in _sources(config)[0].renames.items() if new in wanted}
    chosen = users.select("ds", "user_id", *[F.col(name).alias(new) for name, new in renames.items()])
    return rows.join(chosen, ["ds", "user_id"], "left").withColumn("anchor_weekday", F.date_format("ds", "E"))
