"""Rows of a mapped log's files -> raw events, items or users: each column of the contract from its source."""

from collections.abc import Callable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake.columns import Table
from jobs.logs.columns_config import (
    AnyColumn,
    EventTypeColumn,
    MoneyColumn,
    NumberColumn,
    PathColumn,
    TimeColumn,
    WholeColumn,
)
from jobs.logs.config import EventsMapping, Mapping
from jobs.logs.conversions import convert, present, to_utc
from jobs.logs.file_schemas import NOTHING, Kinds
from jobs.logs.judge_events import raw_event_columns
from jobs.logs.read_files import FILE, LANDING_DAY, LINE, LINE_FAULT

_NULL = "\0"  # stands for null in the hash of a row: Spark's hash would skip nulls

_FAULTS: dict[type[AnyColumn], str] = {
    TimeColumn: "is no time",
    MoneyColumn: "is no amount of money",
    WholeColumn: "is no whole number",
    NumberColumn: "is no number",
    PathColumn: "is no path",
    EventTypeColumn: "is unknown",
}


def map_events(rows: DataFrame, kinds: Kinds, mapping: EventsMapping, time_zone: str) -> DataFrame:
    """Raw events; a purchase is of one unit where the log does not say, and its value price x quantity."""
    converted = convert_columns(rows, kinds, mapping, time_zone)
    given = {name: F.col(name) for name in converted.columns if not name.startswith("_")}
    landed_at = to_utc(F.col(LANDING_DAY).cast("timestamp"), time_zone)
    is_purchase = given["event_type"] == "purchase"
    quantity = given.get("quantity", F.when(is_purchase, 1))
    if "value" not in given and "price" in given:
        given["value"] = F.when(is_purchase, F.try_multiply(given["price"], quantity))
    events = {
        "event_id": F.col("_hash"),
        **given,
        "quantity": quantity,
        "ingested_at": F.coalesce(
            given.get("ingested_at", F.lit(None)), F.greatest("event_time", landed_at)
        ),
        "landing_day": F.col(LANDING_DAY),
        "source": F.lit(mapping.files.path),
        "file": F.col(FILE),
        "row": F.col("_row"),
        "fault": F.col("_fault"),
    }  # fmt: skip
    return converted.select(raw_event_columns(events))


def map_catalogue(rows: DataFrame, kinds: Kinds, mapping: Mapping, time_zone: str, table: Table) -> DataFrame:
    """Rows of `table` without `ds`, the text of each in `row` and what is wrong with it in `fault`."""
    converted = convert_columns(rows, kinds, mapping, time_zone)
    given = {name: F.col(name) for name in converted.columns}
    columns = [
        given.get(field.name, F.lit(None)).cast(field.dataType).alias(field.name)
        for field in table.spark_schema()
        if field.name != "ds"
    ]
    no_key = F.when(F.col(table.key[0]).isNull(), f"{table.key[0]} is null")
    return converted.select(*columns, F.col("_row").alias("row"), F.coalesce("_fault", no_key).alias("fault"))


def convert_columns(rows: DataFrame, kinds: Kinds, mapping: Mapping, time_zone: str) -> DataFrame:
    """The mapped columns by their names in the contract, and `_fault`, `_row` (as JSON), `_hash`."""
    columns = dict(mapping.columns())
    names = mapping.source_columns()
    aliases = {name: f"_raw_{index}" for index, name in enumerate(names)}
    of_line = [name for name in (LINE, LINE_FAULT) if name in rows.columns]  # files of text have them
    raw = rows.select(
        *[_source_column(rows, name, kinds[name]).alias(alias) for name, alias in aliases.items()],
        *(*of_line, FILE, LANDING_DAY),
    )

    def source(mapped: AnyColumn) -> Column:
        alias = aliases[str(mapped.column)]
        return present(F.col(alias), raw.schema[alias].dataType, mapping.files.null_values)

    def value(mapped: AnyColumn) -> Column:
        if not mapped.column:
            return _literal(mapped, time_zone)
        type_ = raw.schema[aliases[mapped.column]].dataType
        return convert(source(mapped), type_, kinds[mapped.column], mapped, time_zone)

    plain = {name: mapped for name, mapped in columns.items() if "." not in name}
    converted = raw.withColumns(
        {name: value(mapped) for name, mapped in plain.items()} | _maps(columns, value)
    )
    faults = [F.col(name) for name in of_line[1:]]
    faults += [
        F.when(source(mapped).isNotNull() & F.col(name).isNull(), f"{name} {_FAULTS[type(mapped)]}")
        for name, mapped in plain.items()
        if mapped.column and type(mapped) in _FAULTS
    ]
    shown = [F.col(alias).alias(name) for name, alias in aliases.items()]
    return converted.withColumns(
        {
            "_fault": F.coalesce(*faults, F.lit(None).cast("string")),
            "_row": F.to_json(F.struct(*shown, *of_line[:1])),
            "_hash": _hash(mapping, [F.col(aliases[name]) for name in _identity(columns, names)]),
        }
    )


def _maps(columns: dict[str, AnyColumn], value: Callable[[AnyColumn], Column]) -> dict[str, Column]:
    """Entries such as `context.session` as one map column `context`, without those that are null."""
    entries: dict[str, list[Column]] = {}
    for name, mapped in columns.items():
        group, _, key = name.partition(".")
        if key:
            entries.setdefault(group, []).extend([F.lit(key), value(mapped)])
    return {
        group: F.map_filter(F.create_map(*pairs), lambda _, text: text.isNotNull())
        for group, pairs in entries.items()
    }


def _identity(columns: dict[str, AnyColumn], names: list[str]) -> list[str]:
    """The columns that make a row what it is: delivered a second time, it has another ingestion time."""
    used = {mapped.column for name, mapped in columns.items() if name != "ingested_at"}
    return [name for name in names if name in used]


def _hash(mapping: Mapping, columns: list[Column]) -> Column:
    texts = [F.coalesce(column.cast("string"), F.lit(_NULL)) for column in columns]
    return F.hex(F.xxhash64(F.lit(mapping.files.path), *texts))


def _source_column(rows: DataFrame, name: str, kind: str) -> Column:
    """A column by its name; where there is none, dots lead into nested columns."""
    if kind == NOTHING:
        return F.lit(None).cast("string")
    parts = [name] if name in rows.columns else name.split(".")
    return F.col(".".join(f"`{part.replace('`', '``')}`" for part in parts))


def _literal(mapped: AnyColumn, time_zone: str) -> Column:
    if isinstance(mapped, TimeColumn):
        return to_utc(F.lit(mapped.day).cast("timestamp"), time_zone)
    if isinstance(mapped, PathColumn):
        return F.array(*map(F.lit, mapped.value or ()))
    return F.lit(mapped.value)
