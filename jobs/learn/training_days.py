"""Which anchors train a model, calibrate and judge it (test-then-train without overlap)."""

from dataclasses import dataclass
from datetime import date, timedelta

from jobs.features.anchors import training_anchor_days
from jobs.lake.days import DayRange
from jobs.stage import Run


@dataclass(frozen=True)
class TrainingDays:
    """Anchor days, inclusive: `train`, a gap of one label window, `calibration` if any, `validation`.

    `final` is for the refit: all after `train`. Campaigns that closed from `campaigns_held_out_from` on judge
    and refit, those before it train. On the one day of a log without times folds do what days do elsewhere.
    """

    train: DayRange
    calibration: DayRange | None
    validation: DayRange
    final: DayRange
    campaigns_held_out_from: date
    train_folds: tuple[int, ...] = ()
    held_out_folds: tuple[int, ...] = ()

    @property
    def held_out_from(self) -> date:
        """The first anchor day that the judged weights have not seen, nor any of their label windows."""
        return self.calibration[0] if self.calibration else self.validation[0]


def plan_days(run: Run) -> TrainingDays:
    """The newest closed anchors judge a model that saw only windows that closed before the first began.

    Raises:
        ValueError: if the log is too young to train and judge a model.
    """
    first, last = training_anchor_days(run)
    learn = run.scenario.learn
    if folds := run.scenario.examples.folds:
        day, tomorrow = (first, last), last + timedelta(days=1)
        return TrainingDays(day, None, day, day, tomorrow, tuple(range(1, folds)), (0,))
    validation_first = last - timedelta(days=learn.validation_days - 1)
    held_out_from = validation_first - timedelta(days=learn.calibration_days)
    train_last = held_out_from - timedelta(days=run.scenario.examples.closes_after_days + 1)
    if train_last < first:
        raise ValueError(
            f"{run.date} is too early: anchors from {first} to {train_last} would train the model; "
            f"run a later --date, or lower learn.validation_days or examples.label_window_days"
        )
    return TrainingDays(
        train=(first, train_last),
        calibration=(held_out_from, validation_first - timedelta(days=1)) if learn.calibration_days else None,
        validation=(validation_first, last),
        final=(train_last + timedelta(days=1), last),
        campaigns_held_out_from=min(
            held_out_from, run.date - timedelta(days=learn.campaign_validation_days - 1)
        ),
    )
