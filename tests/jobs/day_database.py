"""A day's database with small tables, for the SQL of channels, candidates, examples and shelves."""

from collections.abc import Sequence
from typing import Any

import duckdb

from jobs.lake.day_tasks import DayDatabase

TableRows = tuple[str, Sequence[Sequence[Any]]]  # columns with their types, rows


def day_database(**tables: TableRows) -> DayDatabase:
    database = duckdb.connect(config={"threads": 1})
    for name, (columns, rows) in tables.items():
        database.execute(f"CREATE TABLE {name} ({columns})")
        if rows:
            database.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    return database


def rows_of(database: DayDatabase, query: str) -> list[tuple[Any, ...]]:
    return sorted(database.sql(query).fetchall(), key=repr)
