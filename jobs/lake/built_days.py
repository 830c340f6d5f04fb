"""The record of which days of a table are built, and by which settings: a property of the table.

A setting is on record by its key and a short digest of its value, so that whoever finds days missing can say
which setting has changed since.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from pyiceberg.table import Table as IcebergTable

from jobs.lake.columns import Table
from jobs.lake.days import DayRange

BUILT = "nightshelf.built-days"
Settings = Mapping[str, str]  # key -> digest of its value

_COLUMNS, _VERSION = "its columns", "the files it is made from"
_OF_EARLIER_PROJECT = "the project, which kept other records"


def short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def made_by(table: Table, settings: Settings, version: str) -> Settings:
    """All that a table is made by: its settings, its columns, and the version of what is no setting."""
    columns = [(column.name, column.type) for column in table.all_columns]
    layout = short_digest(repr((columns, table.key, table.split_by)))
    return {**settings, _COLUMNS: layout, **({_VERSION: version} if version else {})}


@dataclass(frozen=True)
class BuiltDays:
    """The days on record, whether they had rows or not, and what they were made by."""

    made_by: Settings = field(default_factory=dict)
    days: list[DayRange] = field(default_factory=list)

    @classmethod
    def read(cls, loaded: IcebergTable | None) -> "BuiltDays":
        record = json.loads(loaded.properties.get(BUILT, "{}")) if loaded else {}
        days = [
            (date.fromisoformat(first), date.fromisoformat(last)) for first, last in record.get("days", ())
        ]
        return cls(record.get("made_by", {_OF_EARLIER_PROJECT: ""}), days)

    @property
    def properties(self) -> dict[str, str]:
        days = [[str(first), str(last)] for first, last in self.days]
        return {BUILT: json.dumps({"made_by": self.made_by, "days": days})}

    def days_by(self, now: Settings) -> list[DayRange]:
        """The days that were made by just these settings."""
        return self.days if self.made_by == now else []

    def changes(self, now: Settings) -> list[str]:
        """The keys that have changed since the days were built, versions aside; none if there are no days.

        Columns follow from settings: they are named where no setting tells why they are others.
        """
        if not self.days or _OF_EARLIER_PROJECT in self.made_by:
            return [_OF_EARLIER_PROJECT] if self.days else []
        differ = {key for key in {*now, *self.made_by} if now.get(key) != self.made_by.get(key)}
        return sorted(differ - {_VERSION, _COLUMNS}) or sorted(differ - {_VERSION})
