"""Which features each entity has: the plan that both the window jobs and the table schemas follow."""

from collections.abc import Iterator
from dataclasses import dataclass

from jobs.config import FeaturesConfig
from jobs.lake.columns import Column

LEVELS = ("department", "category", "type")  # of an item's category path, from the widest to the narrowest
USER_LEVELS = ("department", "type")  # those that users have features for: the tables are the largest


@dataclass(frozen=True)
class WindowPlan:
    """Features of one entity; every name begins with `prefix`.

    `windowed` are summed over each window and `totals` over the whole log; `half_life_of` is summed with
    weights that halve every so many days; `ranked` adds the rank and share by the first half-life among
    the rows of the same user (and level).
    """

    prefix: str
    keys: tuple[str, ...]
    windowed: tuple[str, ...]
    totals: tuple[str, ...]
    half_life_of: str | None = None
    ranked: bool = False

    @property
    def measures(self) -> tuple[str, ...]:
        """The columns of the tiles that the features need."""
        return tuple(dict.fromkeys((*self.windowed, *self.totals, "line_count", "discount_line_count")))

    def columns(self, config: FeaturesConfig) -> Iterator[Column]:
        name = self.prefix
        for measure in self.windowed:
            for days in config.windows_days:
                yield Column(
                    f"{name}_{measure}_{days}d", "long", f"{_MEANINGS[measure]} in the {days} days before"
                )
        for measure in self.totals:
            yield Column(f"{name}_{measure}", "long", f"{_MEANINGS[measure]} in all days before")
        if self.half_life_of:
            for days in config.half_lives_days:
                meaning = f"{_MEANINGS[self.half_life_of]}, each weighted by 0.5 ** (age / {days} days)"
                yield Column(f"{name}_half_life_{days}d", "double", meaning)
        yield Column(f"{name}_day_count", "long", "days with a purchase")
        yield Column(f"{name}_days_since_last", "long", "days since the last purchase; 1 is the day before")
        yield Column(f"{name}_days_since_first", "long", "days since the first purchase")
        yield Column(f"{name}_mean_interval", "double", "mean days between purchases; null before the second")
        yield Column(f"{name}_due", "double", "days since the last purchase / mean interval")
        yield Column(f"{name}_discount_share", "double", "share of lines with a discount")
        if self.ranked:
            by = f"by the {config.half_lives_days[0]}-day half-life count"
            yield Column(f"{name}_rank", "long", f"rank {by} among the user's, from 1")
            yield Column(f"{name}_share", "double", f"share {by} among the user's")


_MEANINGS = {
    "basket_count": "baskets",
    "line_count": "order lines",
    "user_count": "users a day, summed",
    "quantity": "units",
    "spend": "value of lines, cents",
    "discount_line_count": "lines with a discount",
    "redemption_count": "coupons redeemed",
    "new_item_count": "items bought for the first time",
    "new_user_count": "users who bought it for the first time",
}

USER_ITEM = WindowPlan(
    "user_item", ("item_id",), ("line_count", "spend"), ("line_count",), "line_count", ranked=True
)
USER_CATEGORY = WindowPlan(
    "user_category", ("level", "category_id"), ("line_count",), ("line_count",), "line_count", ranked=True
)
USER = WindowPlan(
    "user",
    (),
    ("basket_count", "line_count", "spend", "new_item_count"),
    ("basket_count", "line_count", "redemption_count"),
    "line_count",
)
SOLD_WINDOWED = ("line_count", "user_count", "spend", "quantity", "discount_line_count")
SOLD_TOTALS = ("line_count", "user_count", "new_user_count")


def sold_columns(prefix: str, config: FeaturesConfig) -> Iterator[Column]:
    """Features of what is sold: items and categories."""
    for measure in SOLD_WINDOWED:
        for days in config.windows_days:
            yield Column(
                f"{prefix}_{measure}_{days}d", "long", f"{_MEANINGS[measure]} in the {days} days before"
            )
    for measure in SOLD_TOTALS:
        yield Column(f"{prefix}_{measure}", "long", f"{_MEANINGS[measure]} in all days before")
