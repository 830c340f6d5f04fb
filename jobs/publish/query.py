"""SQL over what readers see, in a DuckDB that can do nothing else.

One SELECT, on the files of the tables it names and on no other file, without network, extensions or
settings, within limits of memory and time.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from jobs.exit_codes import QueryError
from jobs.lake.lake import Lake
from jobs.publish.reading import VisibleTable, table_names, visible_tables

_MEMORY_LIMIT = "2GB"
_TIME_LIMIT_SECONDS = 120
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Answer:
    """The result of a query: column names, and the rows as they are fetched."""

    columns: Sequence[str]
    rows: Iterator[tuple[Any, ...]]


def run_query(lake: Lake, sql: str) -> Answer:
    """Answers one SELECT over the published tables.

    Raises:
        QueryError: if it is anything but one SELECT, or wrong; the message is DuckDB's.
    """
    names = table_names(lake)
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    mentioned = [name for name in names if name in words]  # a view costs a plan: make those that are needed
    connection = connect_locked(visible_tables(lake, mentioned or names))
    try:
        _refuse_all_but_one_select(connection, sql)
        result = connection.execute(sql)
        return Answer([column[0] for column in result.description], _fetch(connection))
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def connect_locked(tables: Sequence[VisibleTable]) -> duckdb.DuckDBPyConnection:
    """A connection with one view per table, locked so that no query can reach or change anything else."""
    connection = duckdb.connect(":memory:")
    settings: dict[str, object] = {
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "temp_directory": "",
        "memory_limit": _MEMORY_LIMIT,
        "max_execution_time": _TIME_LIMIT_SECONDS * 1000,
        "TimeZone": "UTC",
        "allowed_paths": sorted({file for table in tables for file in table.files}),
    }
    for name, value in settings.items():
        connection.execute(f"SET {name} = {_literal(value)}")
    for table in tables:
        _create_view(connection, table)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _create_view(connection: duckdb.DuckDBPyConnection, table: VisibleTable) -> None:
    if not table.files:
        connection.register(table.name, table.schema.empty_table())
        return
    condition = ""
    if table.runs is not None:
        runs = ", ".join(f"(DATE {_literal(str(day))}, {_literal(run)})" for day, run in table.runs)
        condition = f"WHERE (ds, run_id) IN (VALUES {runs})"
    source = f"read_parquet({_literal(list(table.files))}, union_by_name = true, hive_partitioning = false)"
    connection.execute(f'CREATE VIEW "{table.name}" AS SELECT * FROM {source} {condition}')


def _literal(value: object) -> str:
    """A value as SQL: settings and views take no parameters."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return str(value)


def _refuse_all_but_one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        raise QueryError(f"only one SELECT is allowed, got {', '.join(kinds) or 'nothing'}")


def _fetch(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    with connection:
        while rows := connection.fetchmany(_ROWS_AT_ONCE):
            yield from rows
