"""Points -> the coordinates of a small SVG plot; the report's template draws it in the page's own colours."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

WIDTH, HEIGHT = 300, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 34


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in pixels."""

    at: float
    text: str


@dataclass(frozen=True)
class Plot:
    """A plot in pixels: a path to draw, dots with their tooltips, and the diagonal of a calibration plot."""

    title: str
    x_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    path: str
    dots: Sequence[tuple[float, float, str]]
    diagonal: tuple[float, float, float, float] | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def sparkline(values: Sequence[float], width: int = 90, height: int = 20) -> str:
    """The points of an SVG polyline through the values, the largest at the top; none for fewer than two."""
    if len(values) < 2:
        return ""
    across = Scale(0, len(values) - 1, 2, width - 2)
    up = Scale(min(values), max(values), height - 2, 2)
    return " ".join(f"{across(place)},{up(value)}" for place, value in enumerate(values))


@dataclass(frozen=True)
class Scale:
    """Values between `low` and `high` -> pixels between `start` and `end`, by their logarithm if asked."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(x) if self.logarithmic else x for x in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        values = (
            _powers_of_ten(self.low, self.high) if self.logarithmic else _round_values(self.low, self.high)
        )
        return [Tick(self(value), format_number(value)) for value in values]


def learning_curve(title: str, points: Sequence[Point]) -> Plot:
    """Loss by step; steps with a loss that is no number are left out."""
    kept = [(step, loss) for step, loss in points if math.isfinite(loss)] or [(0.0, 0.0)]
    steps, losses = zip(*kept, strict=True)
    x = Scale(0, max(steps), _LEFT, WIDTH - _RIGHT)
    y = _padded(min(losses), max(losses))
    path = "M" + " L".join(f"{x(step)},{y(loss)}" for step, loss in kept)
    last = (x(steps[-1]), y(losses[-1]), f"step {steps[-1]:,.0f}: {format_number(losses[-1])}")
    return Plot(title, "step", x.ticks(), y.ticks(), path, [last])


def calibration_plot(title: str, curve: Sequence[Mapping[str, float]]) -> Plot | None:
    """Mean label by mean prediction; on the diagonal, predictions mean what they say. None without points."""
    points = [(point["mean_prediction"], point["mean_label"]) for point in curve]
    if not points:
        return None
    values = [value for point in points for value in point]
    logarithmic = min(values) > 0 and max(values) / min(values) > 30
    low = min(values) / 1.5 if logarithmic else 0.0
    high = max(values) * (1.5 if logarithmic else 1.05) or 1.0
    x = Scale(low, high, _LEFT, WIDTH - _RIGHT, logarithmic)
    y = Scale(low, high, HEIGHT - _BOTTOM, _TOP, logarithmic)
    path = "M" + " L".join(f"{x(prediction)},{y(label)}" for prediction, label in points)
    dots = [
        (x(prediction), y(label), f"predicted {format_number(prediction)}, found {format_number(label)}")
        for prediction, label in points
    ]
    diagonal = (x(low), y(low), x(high), y(high))
    return Plot(title, "mean prediction", x.ticks(), y.ticks(), path, dots, diagonal)


def format_number(value: float) -> str:
    """Three digits that count: 0.0312, 1.25, 41,300."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.0e}"


def _padded(low: float, high: float) -> Scale:
    padding = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return Scale(low - padding, high + padding, HEIGHT - _BOTTOM, _TOP)


def _round_values(low: float, high: float) -> list[float]:
    """About four values at steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 5)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]


def _powers_of_ten(low: float, high: float) -> list[float]:
    exponents = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    powers = [10.0**exponent for exponent in exponents]
    return powers if len(powers) > 1 else [low, high]
