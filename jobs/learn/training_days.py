"""Which anchors train a model and which judge it (test-then-train without overlap)."""

from dataclasses import dataclass
from datetime import date, timedelta

from jobs.features.anchors import training_anchor_days
from jobs.lake.days import DayRange
from jobs.stage import Run


@dataclass(frozen=True)
class TrainingDays:
    """Anchor days, inclusive: `train`, a gap of one label window, `validation`; `final` for the refit."""

    train: DayRange
    validation: DayRange
    final: DayRange

    @property
    def judged_from(self) -> date:
        return self.validation[0]


def plan_days(run: Run) -> TrainingDays:
    """The newest closed anchors judge a model that saw only windows that closed before the first began.

    Raises:
        ValueError: if the log is too young to train and judge a model.
    """
    first, last = training_anchor_days(run)
    validation_first = last - timedelta(days=run.scenario.learn.validation_days - 1)
    train_last = validation_first - timedelta(days=run.scenario.examples.label_window_days)
    if train_last < first:
        raise ValueError(
            f"{run.date} is too early: anchors from {first} to {train_last} would train the model; "
            f"run a later --date, or lower learn.validation_days or examples.label_window_days"
        )
    return TrainingDays((first, train_last), (validation_first, last), (train_last + timedelta(days=1), last))
