"""From a table's day back to the logs, by the summaries that the lake writes into every snapshot."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from pyiceberg.table import Table as IcebergTable
from rich.tree import Tree

from jobs.lake.lake import Lake, within
from jobs.publish.publications import read_publications, visible_publications
from jobs.publish.reading import PUBLISHED_TABLES

_PREFIX = "nightshelf."


@dataclass(frozen=True)
class Ancestor:
    """A snapshot of a table: who wrote it, and what that job had read."""

    table: str
    snapshot_id: int
    written_by: Mapping[str, str]
    inputs: tuple["Ancestor", ...]
    shown_above: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def trace(lake: Lake, table: str, day: date) -> Ancestor:
    """The ancestors of what readers see of a table's day; of a table that is no output, of what it holds now.

    Raises:
        ValueError: if the table does not exist or has no rows for the day.
    """
    if not lake.catalog.table_exists((lake.scenario, table)):
        known = sorted(name for _, name in lake.catalog.list_tables(lake.scenario))
        raise ValueError(f"there is no table {table!r}: {', '.join(known) or 'nothing has been run yet'}")
    loaded = lake.catalog.load_table((lake.scenario, table))
    snapshot_id = _visible_snapshot(lake, loaded, table, day)
    return _Walk(lake).visit(table, _last_writer_of(loaded, day, snapshot_id))


def _visible_snapshot(lake: Lake, loaded: IcebergTable, table: str, day: date) -> int:
    if table in PUBLISHED_TABLES:
        published = visible_publications(read_publications(lake))
        if day not in published or table not in published[day].snapshots:
            days = ", ".join(map(str, published)) or "none"
            raise ValueError(f"{table} has not been published for {day}; published days: {days}")
        return published[day].snapshots[table]
    snapshot = loaded.current_snapshot()
    if snapshot is None or not list(loaded.scan(row_filter=within((day, day))).plan_files()):
        raise ValueError(f"{table} has no rows for ds={day}")
    return snapshot.snapshot_id


def _last_writer_of(loaded: IcebergTable, day: date, snapshot_id: int) -> int:
    """The newest snapshot, at `snapshot_id` or before, that a run of `day` wrote; else `snapshot_id` itself.

    Later days' commits leave the files of `day` alone, so they are no part of its history.
    """
    current: int | None = snapshot_id
    while current is not None:
        snapshot = loaded.snapshot_by_id(current)
        if snapshot is None:
            break
        if _summary(snapshot).get("date") == str(day):
            return current
        current = snapshot.parent_snapshot_id
    return snapshot_id


class _Walk:
    """Depth first from one snapshot to the tables that nothing was read for; each snapshot is opened once."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.tables: dict[str, IcebergTable | None] = {}
        self.seen: set[tuple[str, int]] = set()

    def visit(self, table: str, snapshot_id: int) -> Ancestor:
        summary = self._summary(table, snapshot_id)
        if summary is None:
            return Ancestor(table, snapshot_id, {"note": "the snapshot has been collected"}, ())
        inputs: dict[str, int] = json.loads(summary.pop("inputs", "{}"))
        if (table, snapshot_id) in self.seen:
            return Ancestor(table, snapshot_id, summary, (), shown_above=bool(inputs))
        self.seen.add((table, snapshot_id))
        parents = [
            self.visit(*read)
            for read in sorted(inputs.items())
            if read[0] != table or self._is_of_run(*read, summary.get("run-id"))
        ]
        return Ancestor(table, snapshot_id, summary, tuple(parents))

    def _is_of_run(self, table: str, snapshot_id: int, run_id: str | None) -> bool:
        """A table leads to itself within its run (train, then evaluate), else night to night for ever."""
        return (self._summary(table, snapshot_id) or {}).get("run-id") == run_id

    def _summary(self, table: str, snapshot_id: int) -> dict[str, str] | None:
        loaded = self._load(table)
        snapshot = loaded.snapshot_by_id(snapshot_id) if loaded else None
        return _summary(snapshot) if snapshot else None

    def _load(self, table: str) -> IcebergTable | None:
        if table not in self.tables:
            identifier = (self.lake.scenario, table)
            exists = self.lake.catalog.table_exists(identifier)
            self.tables[table] = self.lake.catalog.load_table(identifier) if exists else None
        return self.tables[table]


def _summary(snapshot: Any) -> dict[str, str]:
    """Our entries of a snapshot's summary, without their prefix."""
    entries = snapshot.summary.additional_properties if snapshot.summary else {}
    return {name.removeprefix(_PREFIX): value for name, value in entries.items() if name.startswith(_PREFIX)}


def as_tree(ancestor: Ancestor, below: Ancestor | None = None, tree: Tree | None = None) -> Tree:
    """The ancestors as a tree for the terminal; a run is named where it is not that of the line below."""
    written_by = ancestor.written_by
    label = f"[bold]{ancestor.table}[/] [dim]snapshot {ancestor.snapshot_id}[/]"
    if "job" in written_by:
        label += f" by {written_by['job']}"
    if below is None or below.written_by.get("run-id") != written_by.get("run-id"):
        keys = [key for key in ("run-id", "config-digest", "version", "note") if key in written_by]
        label += "".join(f"  [dim]{key}[/] {written_by[key]}" for key in keys)
    if ancestor.shown_above:
        label += " [dim](shown above)[/]"
    branch = tree.add(label) if tree else Tree(label)
    for parent in ancestor.inputs:
        as_tree(parent, ancestor, branch)
    if not ancestor.inputs and not ancestor.shown_above and written_by.get("job") == "ingest":
        branch.add("[green]the behaviour log[/]")
    return branch
