"""Small mapped logs: files of each format, and the `logs` part of a scenario that maps them."""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from jobs.logs.config import MappedLogs

FIRST_DAY, LAST_DAY = date(2017, 11, 25), date(2017, 12, 3)
Rows = Sequence[Mapping[str, Any]]

EVENTS_MAPPING: dict[str, Any] = {
    "files": {"format": "csv", "path": "events.csv"},
    "event_time": {"column": "ts", "unit": "seconds"},
    "user_id": "user",
    "item_id": "item",
    "event_type": {"column": "action", "values": {"buy": "purchase", "fav": "favorite", "cart": "cart"}},
    "price": {"column": "price", "decimals": 2},
    "quantity": "quantity",
}
NOON = 1_512_129_600  # 2017-12-01T12:00:00Z
ROW = {"ts": NOON, "user": "u", "item": "i", "action": "buy", "price": "0.29", "quantity": "2"}


def mapping(**changes: Any) -> dict[str, Any]:
    """The events' mapping with changes; a change to None leaves the column out."""
    changed = {**EVENTS_MAPPING, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def mapped_logs(folder: Path, *events: dict[str, Any], **changes: Any) -> MappedLogs:
    logs = {
        "source": "mapped", "path": str(folder), "first_day": FIRST_DAY, "last_day": LAST_DAY,
        "time_zone": "UTC", "events": list(events) or [mapping()], **changes,
    }  # fmt: skip
    return TypeAdapter(MappedLogs).validate_python(logs)


def write_csv(file: Path, rows: Rows, delimiter: str = ",", has_header: bool = True) -> Path:
    """Writes rows as they are: quote values yourself where that matters; .gz and .zst compress."""
    lines = [delimiter.join(rows[0])] if has_header and rows else []
    lines += [delimiter.join("" if value is None else str(value) for value in row.values()) for row in rows]
    return write_text(file, "".join(f"{line}\n" for line in lines))


def write_jsonl(file: Path, rows: Rows) -> Path:
    return write_text(file, "".join(f"{json.dumps(dict(row), ensure_ascii=False)}\n" for row in rows))


def write_parquet(file: Path, rows: Rows, schema: pa.Schema | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema), file)
    return file


def write_text(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    if file.suffix == ".gz":
        content = gzip.compress(content)
    if file.suffix == ".zst":
        content = pa.compress(content, codec="zstd", asbytes=True)
    file.write_bytes(content)
    return file
