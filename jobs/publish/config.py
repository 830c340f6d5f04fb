"""The typed `publish` part of a scenario: what must hold before tonight's tables are seen."""

from typing import Literal, Self

from pydantic import model_validator

from mtl_model.strict_model import StrictModel

CheckedTable = Literal[
    "recommendations", "coupon_recommendations", "item_complements", "user_profiles",
    "events", "user_features", "item_features", "user_item_features", "candidates", "examples",
]  # fmt: skip
Measure = Literal[
    "row_count", "user_share", "null_share", "duplicate_keys", "rows_against_trailing_mean",
    "psi", "unknown_ids", "funnel_order",
]  # fmt: skip


class CheckConfig(StrictModel):
    """A bound on tonight's rows of a table; a failed blocking check leaves yesterday's tables serving.

    `psi` compares a column with the seven days before; `unknown_ids` is the share of rows whose item is not
    in the catalogue; `funnel_order` the share of events of the second type of `funnel` whose user had none of
    the first type with the item, that day or in the seven before.
    """

    name: str
    table: CheckedTable
    measure: Measure
    column: str | None = None
    funnel: tuple[str, str] | None = None
    at_least: float | None = None
    at_most: float | None = None
    blocking: bool = True

    @model_validator(mode="after")
    def check_bounds(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"check {self.name!r} needs at_least or at_most")
        if (self.measure in {"null_share", "psi", "unknown_ids"}) != (self.column is not None):
            raise ValueError(
                f"check {self.name!r}: null_share, psi and unknown_ids need a column, others none"
            )
        if (self.measure == "funnel_order") != (self.funnel is not None):
            raise ValueError(f"check {self.name!r}: funnel_order, and no other measure, needs its funnel")
        if self.measure == "funnel_order" and self.table != "events":
            raise ValueError(f"check {self.name!r}: funnel_order is of the table events")
        return self


class PublishConfig(StrictModel):
    checks: tuple[CheckConfig, ...]
