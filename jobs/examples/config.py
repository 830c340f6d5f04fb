"""The typed `examples` part of a scenario: anchors, labels and negatives."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from jobs.features.config import DeclaredLabel, EventTypes, ValueColumn
from jobs.logs.config import EventType
from mtl_model.strict_model import StrictModel

INTEREST_LABEL = "label_category_interest"
Level = Literal["department", "category", "type", "every"]
Rate = Annotated[float, Field(gt=0.0, le=1.0)]


class InterestConfig(StrictModel):
    """What makes label_category_interest: events with items of a category, within the label window.

    With `at_least`, those whose column `of` is at least so much. A category is what stands on one level of
    the items' paths, or with `level: every` each name of a path, as genres are.
    """

    events: EventTypes = ("purchase",)
    of: ValueColumn | None = None
    at_least: float | None = None
    level: Level = "department"

    @model_validator(mode="after")
    def check_bound(self) -> Self:
        if (self.of is None) != (self.at_least is None):
            raise ValueError("interest: `of` and `at_least` belong together")
        return self


class DrawnConfig(StrictModel):
    """How often each anchored user draws an item to learn from that no channel need propose.

    Drawn by popularity among all items, or within the departments that the user chooses, in turn.
    """

    by_popularity: NonNegativeInt = 0
    within_departments: NonNegativeInt = 0


class ExamplesConfig(StrictModel):
    """What an example stands for: a user on a day (`anchor: user_day`), or each event of a type.

    What follows an anchor event counts for the last one of the user and item before it; `attributed_within`:
    and of the same request, or of the same `context.session`.

    The examples of a log without times are cut into `folds` by a hash of user and item: the first judges the
    model that the others train.
    """

    anchor: Literal["user_day"] | EventType = "user_day"
    attributed_within: Literal["request", "session"] | None = None
    label_window_days: PositiveInt
    training_weeks: PositiveInt
    folds: Annotated[int, Field(ge=2)] | None = None
    negative_sampling_rate: Rate
    drawn: DrawnConfig | None = None
    labels: tuple[DeclaredLabel, ...] = ()
    interest: InterestConfig | None = None

    @property
    def has_anchor_events(self) -> bool:
        return self.anchor != "user_day"

    @property
    def interest_level(self) -> Level:
        return self.interest.level if self.interest else "department"

    @property
    def label_events(self) -> frozenset[EventType]:
        """The event types that the declared labels are over."""
        of_labels = {name for label in self.labels for name in (*label.events, *label.given)}
        return frozenset(of_labels | {*(self.interest.events if self.interest else ())})

    @property
    def anchor_every_days(self) -> int:
        """How often a user needs features: an event may come on any day, days are a label window apart."""
        return 1 if self.has_anchor_events else self.label_window_days

    @property
    def closes_after_days(self) -> int:
        """The label windows of an anchor day close at the end of the day so many days later."""
        return self.label_window_days if self.has_anchor_events else self.label_window_days - 1

    @model_validator(mode="after")
    def check_attribution(self) -> Self:
        if self.attributed_within and not self.has_anchor_events:
            raise ValueError("attributed_within is for anchors that are events: set `anchor` to their type")
        return self

    @model_validator(mode="after")
    def check_drawn(self) -> Self:
        if self.drawn and self.has_anchor_events:
            raise ValueError("drawn is for user-days: the examples of anchor events are those events alone")
        return self
