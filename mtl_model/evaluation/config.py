"""What a scenario says about judging: calibration, and slices that every metric is also given for."""

from typing import Literal, Self

from pydantic import model_validator

from mtl_model.strict_model import StrictModel

ALL_ROWS = "all"  # the slice of a metric over all rows


CalibrationMethod = Literal["platt", "isotonic"]
CALIBRATION_METHODS: dict[str, frozenset[CalibrationMethod]] = {  # by head
    "binary": frozenset({"platt", "isotonic"}),
    "multilabel": frozenset({"platt", "isotonic"}),
    "zero_inflated_lognormal": frozenset({"isotonic"}),
}


def check_calibration(task: str, head: str, method: CalibrationMethod | None) -> None:
    methods = CALIBRATION_METHODS.get(head, frozenset())
    if method is not None and method not in methods:
        raise ValueError(f"calibration of {head} heads is one of {sorted(methods)}: task {task} has {method}")


class SliceConfig(StrictModel):
    """Rows whose numeric field `column` lies within the bounds, both included.

    A null is in none, as features of users and items never seen before are, unless `or_null` takes it in.
    """

    name: str
    column: str
    at_least: float | None = None
    at_most: float | None = None
    or_null: bool = False

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"slice {self.name!r} needs at_least or at_most")
        if self.name == ALL_ROWS:
            raise ValueError(f"{ALL_ROWS!r} are all rows: name the slice otherwise")
        return self
