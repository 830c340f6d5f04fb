"""The typed `learn` part of a scenario: what trains, calibrates and judges a model, and when it may serve."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from mtl_model.strict_model import StrictModel


class PromotionRule(StrictModel):
    """When a freshly trained model may replace the serving one: its `metric` of `task`, on the same examples.

    It must beat the constant by `min_gain_over_constant` and may fall behind the serving model by
    `max_loss_to_serving` at most.
    """

    task: str
    metric: Literal["auc", "gauc", "normalised_gini"]
    min_gain_over_constant: NonNegativeFloat
    max_loss_to_serving: NonNegativeFloat


class WarmStartConfig(StrictModel):
    """A promoted model trained from scratch is carried on for so many days; then one is trained anew."""

    max_age_days: PositiveInt


class TwinsConfig(StrictModel):
    """Each `every_days`-th night trains the model and a twin of each task on a share of the rows."""

    sample_rate: Annotated[float, Field(gt=0.0, le=1.0)]
    every_days: PositiveInt = 1


class LearnConfig(StrictModel):
    """The newest `validation_days` of closed anchors judge the model; `refit`: then it sees them once.

    The campaigns that closed in the newest `campaign_validation_days` judge the task `coupon`: campaigns last
    for weeks, and few close in the days of the others. They are refitted on likewise.
    The `calibration_days` before them calibrate the tasks whose `calibration` names a method.
    A model that is trained from scratch begins with the weights of the model folder `start_from`, if there is
    one, such as that of another scenario; a relative path is one below the home.
    `twins`: whether joint learning helped each task is measured, too.
    Of a model that is trained from scratch it is measured what each field adds to the predictions, on about
    `attribution_rows` of the rows that judged it, and each field's importance, on about `importance_rows`;
    0: not at all.
    A number that alone ranks the labels of a task better than `max_field_auc` must have seen them.
    """

    validation_days: PositiveInt
    campaign_validation_days: NonNegativeInt = 0
    calibration_days: NonNegativeInt = 0
    refit: bool
    start_from: Path | None = None
    warm_start: WarmStartConfig | None = None
    attribution_rows: NonNegativeInt = 500
    importance_rows: NonNegativeInt = 5_000
    twins: TwinsConfig | None = None
    max_field_auc: Annotated[float, Field(gt=0.0, le=1.0)] = 0.99
    promotion: PromotionRule

    def has_twins_on(self, day: date) -> bool:
        """Days are counted from the same one, whatever the first run."""
        return self.twins is not None and day.toordinal() % self.twins.every_days == 0
