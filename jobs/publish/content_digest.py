"""What a night left behind, as one digest a table: equal digests mean equal rows, whoever made them.

The digest is the sum of the MD5 of every row, so it knows no files and no order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb

from jobs.lake.lake import Lake
from jobs.learn.tables import MODEL_RUNS
from jobs.publish.reading import VisibleTable, visible_tables
from jobs.publish.tables import PUBLICATIONS
from jobs.stage import RUN_STAGES

# Which run made a row, when, where and under which wording of the settings: not what the row says.
_NOT_CONTENT = frozenset(
    {"run_id", "started_at", "trained_at", "published_at", "seconds", "snapshots", "config_digest"}
)
_RECORDS_OF_RUNS = frozenset({RUN_STAGES.name, PUBLICATIONS.name})


@dataclass(frozen=True)
class ContentDigest:
    """`name` is a table, or `weights of <model_version>`; `rows` is 0 for weights."""

    name: str
    rows: int
    digest: str


def digest_night(lake: Lake, day: date) -> list[ContentDigest]:
    """One digest for each table of the scenario, and one for the weights of each model in `model_runs`.

    Rows count up to the day after `day`: it is the anchor of the shelves. Of output tables the published runs
    count alone, as for any reader.
    """
    names = sorted(name for _, name in lake.catalog.list_tables(lake.scenario))
    tables = visible_tables(lake, [name for name in names if name not in _RECORDS_OF_RUNS])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        digests = [_digest_table(connection, table, day + timedelta(days=1)) for table in tables]
        models = [table for table in tables if table.name == MODEL_RUNS.name and table.files]
        versions = _model_versions(connection, models[0], day) if models else []
    folder = lake.home / "models" / lake.scenario
    return [*digests, *(_digest_weights(folder / version) for version in versions)]


def _digest_table(connection: duckdb.DuckDBPyConnection, table: VisibleTable, last: date) -> ContentDigest:
    if not table.files or table.runs == ():
        return ContentDigest(table.name, 0, f"{0:032x}")
    rows = connection.read_parquet(list(table.files), union_by_name=True, hive_partitioning=False)
    columns = ", ".join(f'"{name}"' for name in sorted(rows.columns) if name not in _NOT_CONTENT)
    published = "" if table.runs is None else " AND list_contains($runs, ds || ' ' || run_id)"
    count, low, high = connection.execute(
        "SELECT count(*), sum(md5_number_lower(text)::HUGEINT), sum(md5_number_upper(text)::HUGEINT) "
        f"FROM (SELECT to_json(struct_pack({columns}))::VARCHAR AS text FROM rows "
        f"WHERE ds <= $last{published})",
        {"last": last} | ({"runs": [f"{day} {run}" for day, run in table.runs]} if table.runs else {}),
    ).fetchall()[0]
    parts = [(part or 0) % 2**64 for part in (high, low)]
    return ContentDigest(table.name, count, "".join(f"{part:016x}" for part in parts))


def _model_versions(connection: duckdb.DuckDBPyConnection, table: VisibleTable, day: date) -> Sequence[str]:
    found = connection.execute(
        "SELECT DISTINCT model_version FROM read_parquet($files, hive_partitioning = false) "
        "WHERE ds <= $day ORDER BY 1",
        {"files": list(table.files), "day": day},
    ).fetchall()
    return [version for (version,) in found]


def _digest_weights(folder: Path) -> ContentDigest:
    """Raises OSError if the folder of a recorded model is gone."""
    hashes = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return ContentDigest(f"weights of {folder.name}", 0, hashes["model.safetensors"][:32])
