"""What a column of the data contract is mapped from, as the scenario's YAML says."""

from datetime import date
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field, model_validator

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


TimeZone = Annotated[str, AfterValidator(_check_time_zone)]


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
