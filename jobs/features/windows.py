"""The arithmetic of windows, on numpy arrays: tile rows of entities -> sums as of a day.

A feature as of day `a` sums the tiles of days before `a`: a window of `w` days holds ages 1 to `w`, where
age = a - day. All sums are integers, so that they do not depend on the order of rows; half-life counts
use weights in fixed point. Shapes: R = tile rows (sorted by entity), E = entities.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

HALF_LIFE_UNIT = 1 << 20  # fixed point: one purchase of age 0
NO_DAY = np.int64(-(1 << 40))  # the as-of day of an entity that has none in this pass


def half_life_weights(half_life_days: int, max_age: int) -> Ints:
    """Weights 0.5 ** (age / half_life) of ages 0 to `max_age`, in units of 1 / HALF_LIFE_UNIT."""
    ages = np.arange(max_age + 1, dtype=np.float64)
    return np.round(0.5 ** (ages / half_life_days) * HALF_LIFE_UNIT).astype(np.int64)


class EntityRows:
    """Tile rows grouped by entity, ready to be summed as of any day.

    Args:
        starts: (E,) index of each entity's first row.
        days: (R,) day of each row, days since 1970-01-01.
        measures: name -> (R,) integers, for instance counts and cents.
    """

    def __init__(self, starts: Ints, days: Ints, measures: Mapping[str, Ints]) -> None:
        self.starts, self.days, self.measures = starts, days, measures
        self.lengths = np.diff(np.append(starts, len(days)))

    def ages(self, as_of_days: Ints) -> Ints:
        """(E,) as-of days -> (R,) ages; rows of the as-of day itself and later have ages below 1."""
        return np.repeat(as_of_days, self.lengths) - self.days

    def window_sums(self, ages: Ints, measure: str, windows_days: Sequence[int]) -> list[Ints]:
        """Sums of a measure over each window, (E,) each."""
        values = self.measures[measure]
        return [
            np.add.reduceat(np.where((ages >= 1) & (ages <= window), values, 0), self.starts)
            for window in windows_days
        ]

    def total(self, ages: Ints, measure: str) -> Ints:
        """Sum of a measure over all days before the as-of day, (E,)."""
        return np.add.reduceat(np.where(ages >= 1, self.measures[measure], 0), self.starts)

    def half_life_sum(self, ages: Ints, measure: str, half_life_days: int) -> Ints:
        """Sum of measure x weight(age), (E,), in units of 1 / HALF_LIFE_UNIT."""
        before = ages >= 1
        clipped = np.where(before, ages, 0)
        weights = half_life_weights(half_life_days, int(clipped.max(initial=0)))
        return np.add.reduceat(np.where(before, self.measures[measure] * weights[clipped], 0), self.starts)

    def day_count(self, ages: Ints) -> Ints:
        """Number of tile rows (days) before the as-of day, (E,)."""
        return np.add.reduceat((ages >= 1).astype(np.int64), self.starts)

    def days_since_last(self, ages: Ints) -> Ints:
        """Age of the newest row before the as-of day, (E,); meaningless where there is none."""
        return np.minimum.reduceat(np.where(ages >= 1, ages, np.iinfo(np.int64).max), self.starts)

    def days_since_first(self, ages: Ints) -> Ints:
        """Age of the oldest row before the as-of day, (E,); 0 where there is none."""
        return np.maximum.reduceat(np.where(ages >= 1, ages, 0), self.starts)


def rank_within(groups: Ints, values: Ints) -> Ints:
    """Ranks from 1 within each group, largest value first; equal values keep their order."""
    order = np.lexsort((np.arange(len(values)), -values, groups))
    ranks = np.empty(len(values), dtype=np.int64)
    first_of_group = np.searchsorted(groups[order], groups[order], side="left")
    ranks[order] = np.arange(len(values)) - first_of_group + 1
    return ranks


def ratio(numerator: NDArray[np.int64] | Floats, denominator: NDArray[np.int64] | Floats) -> Floats:
    """Numerator / denominator, NaN where the denominator is 0."""
    result = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def dense_window_sums(
    rows: Ints,
    columns: Ints,
    values: Ints,
    shape: tuple[int, int],
    windows: Sequence[int],
    as_of_columns: Ints,
) -> list[Ints]:
    """Window sums of many entities as of many consecutive days, by differences of cumulative sums.

    Args:
        rows: (R,) entity index of each tile row.
        columns: (R,) its day index.
        values: (R,) its value.
        shape: (entities, days).
        windows: window lengths in days.
        as_of_columns: (A,) day indices of the as-of days.

    Returns:
        one (entities, A) array per window: the sum over the days [a - window, a).
    """
    cumulative = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    np.add.at(cumulative, (rows, columns + 1), values)
    np.cumsum(cumulative, axis=1, out=cumulative)
    until = cumulative[:, as_of_columns]
    return [until - cumulative[:, np.maximum(as_of_columns - window, 0)] for window in windows]


def dense_running_max(
    rows: Ints, columns: Ints, values: Ints, shape: tuple[int, int], as_of_columns: Ints
) -> Ints:
    """The largest value (at least 0) before each as-of day, (entities, A), as `dense_window_sums` sums."""
    largest = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    np.maximum.at(largest, (rows, columns + 1), values)
    np.maximum.accumulate(largest, axis=1, out=largest)
    return largest[:, as_of_columns]
