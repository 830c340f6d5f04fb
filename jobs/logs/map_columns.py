"""Rows of files -> the columns of the data contract, each from its source by one or by several mappings.

Where several mappings are of the same files, a file is read once, and each row comes once for each of them.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.logs.columns_config import (
    AnyColumn,
    EventTypeColumn,
    IdColumn,
    MoneyColumn,
    NumberColumn,
    PathColumn,
    TimeColumn,
    WholeColumn,
)
from jobs.logs.conditions import holds
from jobs.logs.config import Mapping
from jobs.logs.conversions import convert, is_finer, is_lost, present, to_utc
from jobs.logs.file_schemas import NOTHING, Kinds
from jobs.logs.read_files import FILE, LANDING_DAY, LINE, LINE_FAULT

ENTRY = "_entry"  # the number of the mapping that a row comes for
_NULL = "\0"  # stands for null in the hash of a row: Spark's hash would skip nulls

_FAULTS: dict[type[AnyColumn], str] = {
    TimeColumn: "is no time",
    MoneyColumn: "is no amount of money",
    WholeColumn: "is no whole number",
    NumberColumn: "is no number",
    PathColumn: "is no path",
    IdColumn: "is no whole number",
}


class SourceRows:
    """Rows of files with their mapped columns under names of our own."""

    def __init__(self, rows: DataFrame, kinds: Kinds, mappings: Sequence[Mapping], time_zone: str) -> None:
        self._kinds, self._time_zone = kinds, time_zone
        self._null_values = mappings[0].files.null_values
        names = dict.fromkeys(name for mapping in mappings for name in mapping.source_columns())
        self._aliases = {name: f"_raw_{index}" for index, name in enumerate(names)}
        of_line = [
            F.col(name) if name in rows.columns else F.lit(None).cast("string").alias(name)
            for name in (LINE, LINE_FAULT)
        ]
        entries = F.explode(F.array(*map(F.lit, range(len(mappings))))) if len(mappings) > 1 else F.lit(0)
        self.rows = rows.select(
            *[_source_column(rows, name, kinds[name]).alias(alias) for name, alias in self._aliases.items()],
            *[*of_line, F.col(FILE), F.col(LANDING_DAY), entries.alias(ENTRY)],
        )
        self._types = {name: self.rows.schema[alias].dataType for name, alias in self._aliases.items()}

    def raw(self, column: str) -> Column:
        return F.col(self._aliases[column])

    def present(self, column: str) -> Column:
        return present(self.raw(column), self._types[column], self._null_values)

    def value(self, mapped: AnyColumn) -> Column:
        if mapped.column is None:
            return _literal(mapped, self._time_zone)
        column = mapped.column
        found = self.present(column)
        return convert(found, self._types[column], self._kinds[column], mapped, self._time_zone)

    def as_json(self) -> Column:
        return F.to_json(F.struct(*[self.raw(name).alias(name) for name in self._aliases], LINE))


def convert_columns(source: SourceRows, mappings: Sequence[Mapping]) -> DataFrame:
    """The mapped columns but the event types, by their names in the contract, and what is said of the row.

    `_fault`, `_row` (as JSON), `_hash` (of what makes a row what it is), `_is_filtered` (by `where`) and
    `_is_rounded` (an amount of money).
    """
    values = [_values(source, mapping) for mapping in mappings]
    converted = source.rows.withColumns(choose(values))
    about = [_about_the_row(source, mapping, number) for number, mapping in enumerate(mappings)]
    return converted.withColumns(choose(about) | {"_row": source.as_json()})


def choose(by_entry: Sequence[dict[str, Column]]) -> dict[str, Column]:
    """The columns of the mapping that a row comes for; null where that mapping has none."""
    if len(by_entry) == 1:
        return dict(by_entry[0])
    chosen: dict[str, list[Column]] = {}
    for number, columns in enumerate(by_entry):
        for name, column in columns.items():
            chosen.setdefault(name, []).append(F.when(F.col(ENTRY) == number, column))
    return {name: F.coalesce(*columns) for name, columns in chosen.items()}


def _values(source: SourceRows, mapping: Mapping) -> dict[str, Column]:
    plain: dict[str, Column] = {}
    entries: dict[str, list[Column]] = {}
    for name, mapped in mapping.columns():
        group, _, key = name.partition(".")
        if key:
            entries.setdefault(group, []).extend([F.lit(key), source.value(mapped)])
        elif not isinstance(mapped, EventTypeColumn):
            plain[name] = source.value(mapped)
    maps = {
        group: F.map_filter(F.create_map(*pairs), lambda _, text: text.isNotNull())
        for group, pairs in entries.items()
    }
    return plain | maps


def _about_the_row(source: SourceRows, mapping: Mapping, number: int) -> dict[str, Column]:
    """What is said of the row as a whole, once its columns are converted."""
    faults, rounded, wanted = [F.col(LINE_FAULT)], F.lit(False), F.lit(True)
    for name, mapped in mapping.columns():
        if mapped.column and type(mapped) in _FAULTS:
            found = source.present(mapped.column)
            is_unread = found.isNotNull() & F.col(name).isNull()
            faults.append(F.when(is_unread, f"{name} {_FAULTS[type(mapped)]}"))
            if isinstance(mapped, MoneyColumn) and mapped.decimals:
                faults.append(F.when(is_lost(found, F.col(name)), f"{name} is less than its smallest unit"))
                rounded |= F.coalesce(is_finer(found, mapped.decimals), F.lit(False))
    for name, condition in mapping.where.items():
        wanted &= holds(condition, source.present(name))
    path = mapping.files.path if number == 0 else f"{mapping.files.path}#{number}"
    return {
        "_fault": F.coalesce(*faults),
        "_is_filtered": ~wanted & F.col(LINE_FAULT).isNull(),
        "_is_rounded": rounded,
        "_hash": _hash(path, [source.raw(name) for name in _identity(mapping)]),
    }


def _identity(mapping: Mapping) -> list[str]:
    """The columns that make a row what it is: delivered a second time, it has another ingestion time."""
    used = {mapped.column: None for name, mapped in mapping.columns() if name != "ingested_at"}
    return [name for name in mapping.source_columns() if name in used]


def _hash(path: str, columns: list[Column]) -> Column:
    texts = [F.coalesce(column.cast("string"), F.lit(_NULL)) for column in columns]
    return F.hex(F.xxhash64(F.lit(path), *texts))


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
