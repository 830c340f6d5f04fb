"""Features and labels declared in YAML, over events of some types (docs/features.md)."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from jobs.logs.config import EventType
from mtl_model.strict_model import StrictModel

EventTypes = Annotated[tuple[EventType, ...], Field(min_length=1)]
ValueColumn = Literal["value", "price", "quantity", "discount", "rating"]
Entity = Literal["user", "item", "category", "brand", "context", "user_item", "user_category", "user_brand"]
Parent = Literal["department", "category", "type", "brand"]
Measure = Literal[
    "count", "distinct_count", "sum", "mean", "min", "max", "last", "time_since", "interval", "rate", "trend",
    "share", "top_k", "last_n", "age", "due",
]  # fmt: skip
Listed = Literal["item", "department", "type", "brand", "event_type", "days_ago"]

VALUE_COLUMNS: tuple[ValueColumn, ...] = ("value", "price", "quantity", "discount", "rating")
OF_VALUES = frozenset({"sum", "mean", "min", "max", "last"})
ALL_DAYS = frozenset({"time_since", "interval", "age", "due"})  # they look at all days before
# Whose events are known with the item's place among the prices of its category, by the catalogue.
OF_PRICE_QUANTILES = frozenset({"user", "user_category", "user_brand"})
# What a place may be known by: its tile tells of neither users nor items.
OF_CONTEXTS = frozenset({"count", "sum", "mean", "min", "max", "rate", "trend", "share"})
# What may be counted once: not a part of the entity's own key.
COUNTED = {
    "user": {"item", "day"},
    "item": {"user", "day"},
    "category": {"user", "item", "day"},
    "brand": {"user", "item", "day"},
    "context": set(),
    "user_item": {"day"},
    "user_category": {"item", "day"},
    "user_brand": {"item", "day"},
}
# What may stand in a list. Sequences are of a user's events, and also tell what these were, and when.
LISTED = {
    "user": {"item", "department", "type", "brand"},
    "category": {"item"},
    "brand": {"item"},
    "user_item": set(),
    "user_category": {"item", "brand"},
    "user_brand": {"item", "department", "type"},
}
OF_EVENTS = {"event_type", "days_ago"}
LISTS = frozenset({"top_k", "last_n"})
PARENTS: tuple[Parent, ...] = ("department", "category", "type", "brand")


class Prior(StrictModel):
    """What a rate is before anything was seen, and how many events that belief is worth."""

    rate: Annotated[float, Field(ge=0.0)]
    weight: PositiveFloat


class DeclaredFeature(StrictModel):
    """One measure of an entity over events of some types: a column for each window, or for all days before.

    `of` is the column of the events that is measured, or what a distinct_count counts, or what a list of at
    most `length` holds; `per` and `prior` belong to a rate: (events + prior.rate x prior.weight) / (events of
    `per` + prior.weight). A share of an item is `within` its department, category, type or brand; others know
    what they are a part of. A count `since` other events is of the days after the last of them.
    """

    entity: Entity
    measure: Measure
    events: EventTypes
    of: ValueColumn | Literal["price_quantile", "user", "day"] | Listed | None = None
    per: EventTypes | None = None
    since: EventTypes | None = None
    prior: Prior | None = None
    within: Parent | None = None
    length: PositiveInt | None = None
    windows_days: tuple[PositiveInt, ...] = ()

    @model_validator(mode="after")
    def check_lists(self) -> Self:
        if self.measure in LISTS and not _listable(self.entity, self.measure):
            raise ValueError(
                f"entity {self.entity} has no {self.measure}: lists are of a user's events, "
                "a top_k of items also of category and brand"
            )
        if (self.length is not None) != (self.measure in LISTS):
            raise ValueError(
                f"top_k and last_n, and nothing else, need a `length`: {self.measure} has {self.length}"
            )
        return self

    @model_validator(mode="after")
    def check_context(self) -> Self:
        measure = self.measure + (" since" if self.since else "")
        if self.entity == "context" and measure not in OF_CONTEXTS:
            raise ValueError(f"entity context has no {measure}: a place has one of {sorted(OF_CONTEXTS)}")
        return self

    @model_validator(mode="after")
    def check_measured(self) -> Self:
        known: set[str] = set(VALUE_COLUMNS) if self.measure in OF_VALUES else set()
        if self.measure == "mean" and self.entity in OF_PRICE_QUANTILES:
            known.add("price_quantile")
        if self.measure == "distinct_count":
            known = COUNTED[self.entity]
        if self.measure in LISTS:
            known = _listable(self.entity, self.measure)
        if (self.of is not None or known) and self.of not in known:
            wanted = f"one of {sorted(known)} in `of`" if known else "no `of`"
            raise ValueError(f"{self.measure} of {self.entity} needs {wanted}, got {self.of}")
        if (self.measure == "rate") != (self.per is not None):
            raise ValueError(f"a rate needs `per`, other measures have none: {self.measure} has {self.per}")
        if self.prior and self.measure != "rate":
            raise ValueError(f"{self.measure} knows no prior: it belongs to a rate")
        return self

    @model_validator(mode="after")
    def check_windows(self) -> Self:
        windows = self.windows_days
        if list(windows) != sorted(set(windows)):
            raise ValueError(f"windows_days must rise, got {list(windows)}")
        if self.measure == "trend" and len(windows) != 2:
            raise ValueError(f"a trend is between two windows_days, got {list(windows)}")
        if (self.measure in ALL_DAYS or self.since) and windows:
            measure = self.measure + (" since" if self.since else "")
            raise ValueError(f"{measure} looks at all days before: it has no windows_days")
        if self.since and self.measure != "count":
            raise ValueError(f"{self.measure} knows no `since`: it belongs to a count")
        return self

    @model_validator(mode="after")
    def check_share(self) -> Self:
        if self.measure == "share" and self.entity == "user":
            raise ValueError("a user is no part of anything: no share of entity user")
        if (self.within is not None) != (self.measure == "share" and self.entity == "item"):
            raise ValueError(
                f"a share of item, and nothing else, needs `within`, one of {list(PARENTS)}: "
                f"{self.measure} of {self.entity} has {self.within}"
            )
        return self


class CoPurchases(StrictModel):
    """How likely an item is got on one day with another, over `events` of the `window_days` before.

    Of the others of an item the `per_item` most frequent are kept, those of `min_together` users' days or
    more. A user and an item are as close as the item and the likeliest of the user's last items, by the
    declared last_n of items over the same events.
    """

    events: EventTypes
    window_days: PositiveInt
    per_item: PositiveInt
    min_together: PositiveInt

    def recent(self, declared: Sequence[DeclaredFeature]) -> DeclaredFeature | None:
        """The sequence of a user's last items."""
        lists = (one for one in declared if (one.entity, one.measure, one.of) == ("user", "last_n", "item"))
        return next((one for one in lists if set(one.events) == set(self.events)), None)


def _listable(entity: Entity, measure: Measure) -> set[str]:
    """What a list of the entity may hold."""
    listed: set[str] = LISTED.get(entity, set())
    if measure == "top_k":
        return listed
    return listed | OF_EVENTS if entity.startswith("user") else set()


class DeclaredLabel(StrictModel):
    """What a user does with an item within the label window, over events of some types.

    `any` is 0 or 1; so is any other measure with `at_least`. With `given` the label is observed, and not
    null, only where one of those events happened in the window too.
    """

    name: Annotated[str, Field(pattern=r"^label_[a-z][a-z0-9_]*$")]
    measure: Literal["any", "count", "sum", "mean", "max", "last"] = "any"
    events: EventTypes
    of: ValueColumn | None = None
    at_least: float | None = None
    given: tuple[EventType, ...] = ()

    @model_validator(mode="after")
    def check_measured(self) -> Self:
        if self.at_least is not None and self.measure == "any":
            raise ValueError(f"{self.name}: any is 0 or 1 already, at_least is for other measures")
        if (self.measure in OF_VALUES) != (self.of is not None):
            raise ValueError(f"{self.name}: sum, mean, max and last are `of` a column, any and count are not")
        return self
