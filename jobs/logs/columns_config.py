"""What a column of the data contract is mapped from, as the scenario's YAML says."""

import re
from datetime import date
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from mtl_model.config import StrictModel

EventType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
EVENT_TYPES: tuple[EventType, ...] = (
    "impression", "click", "favorite", "cart", "purchase", "rating", "coupon_redeem", "email_sent",
)  # fmt: skip
TYPES_WITHOUT_ITEM = frozenset({"coupon_redeem", "email_sent"})

COMPARISON = re.compile(r"\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\s*")

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
    """Text or integers, kept as text: 007 stays 007; with `whole`, 17850.0 is 17850."""

    whole: bool = False


class TextColumn(Mapped[str]):
    """Anything that can be written as text."""


class WholeColumn(Mapped[int]):
    """Whole numbers, with `absolute` without their sign, as those of what is returned."""

    absolute: bool = False


class NumberColumn(Mapped[float]):
    """Finite numbers."""


class MoneyColumn(Mapped[int]):
    """Money: minor units (cents), or with `decimals: 2` major units that have two decimals."""

    decimals: Annotated[int, Field(ge=0, le=6)] = 0
    absolute: bool = False


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
    """`values` translates what stands in the source; without it that must be a type of EVENT_TYPES.

    On its left stand values or comparisons with a number (">= 3000"), of which the first that holds counts,
    and "" for a missing value; on its right event types, or null for what makes no event.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)  # YAML reads the codes of a source as numbers

    values: dict[str, EventType | None] | None = None

    @property
    def translation(self) -> dict[str, EventType | None]:
        return self.values or {name: name for name in EVENT_TYPES}

    @property
    def possible(self) -> frozenset[str]:
        return frozenset({self.value} if self.value else filter(None, self.translation.values()))

    @property
    def may_drop(self) -> bool:
        return None in self.translation.values()


class PathColumn(_OneOf):
    """Categories from the widest to the narrowest: a list, or text with a separator between them."""

    column: str | None = None
    value: tuple[str, ...] | None = None
    separator: Annotated[str, Field(min_length=1)] | None = None


class Condition(StrictModel):
    """What a value must be. `one_of` and `none_of` may have * and ?; a missing value is none of any."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    given: bool | None = None
    one_of: tuple[str, ...] | None = None
    none_of: tuple[str, ...] | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def check_any(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError(f"give one of {', '.join(type(self).model_fields)}")
        return self


AnyColumn = Mapped[Any] | TimeColumn | PathColumn
