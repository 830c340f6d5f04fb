"""Rows and results of a comparison -> the coordinates of its plots; the page draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from jobs.compare.transfer import AVERAGE
from jobs.publish.plots import Scale, Tick, format_number

WIDTH, LEFT, RIGHT, LINE, TOP, FOOT = 460, 190, 16, 24, 8, 34
SIZE = 300
MAX_PAIRED = 4


@dataclass(frozen=True)
class Whisker:
    """A gain with its interval, in pixels."""

    y: float
    low: float
    at: float
    high: float
    label: str
    tone: str
    text: str


@dataclass(frozen=True)
class GainPlot:
    """One task: a line per combination; `zero` is where the single-task twin is."""

    title: str
    whiskers: Sequence[Whisker]
    ticks: Sequence[Tick]
    zero: float
    bottom: float
    height: float
    width: int = WIDTH
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP


@dataclass(frozen=True)
class Dot:
    """A combination in the Pareto scatter; `is_best`: no other is better in both tasks."""

    x: float
    y: float
    is_best: bool
    name: str
    text: str


@dataclass(frozen=True)
class Scatter:
    """Two tasks against each other, both better to the right and to the top."""

    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    dots: Sequence[Dot]
    width: int = SIZE
    height: int = SIZE
    left: int = 56
    right: int = SIZE - 12
    top: int = 12
    bottom: int = SIZE - 36


@dataclass(frozen=True)
class Heat:
    """A table of numbers, each with a colour: `share` from -1 to 1, or none."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]]


def name_of(row: Mapping[str, Any]) -> str:
    return f"{row['sharing']}, {row['balancing']}"


def gain_plots(rows: Sequence[Mapping[str, Any]]) -> list[GainPlot]:
    """The average over tasks first, then each task; all on one scale, in percent."""
    bounds = [100 * row[key] for row in rows for key in ("gain_low", "gain_high")] + [0.0]
    low, high = min(bounds), max(bounds)
    padding = (high - low) * 0.06 or 1.0
    scale = Scale(low - padding, high + padding, LEFT, WIDTH - RIGHT)
    tasks = dict.fromkeys([AVERAGE, *(row["task"] for row in rows)])
    return [_gain_plot(task, [row for row in rows if row["task"] == task], scale) for task in tasks]


def pareto_scatters(rows: Sequence[Mapping[str, Any]]) -> list[Scatter]:
    """The gains of each pair of tasks; with more than `MAX_PAIRED` tasks, of the first and each other."""
    tasks = [task for task in dict.fromkeys(row["task"] for row in rows) if task != AVERAGE]
    gains = {(name_of(row), row["task"]): 100 * row["gain"] for row in rows}
    names = list(dict.fromkeys(name_of(row) for row in rows))
    pairs = [pair for pair in combinations(tasks, 2) if len(tasks) <= MAX_PAIRED or pair[0] == tasks[0]]
    return [
        _scatter(one, other, {name: (gains[name, one], gains[name, other]) for name in names})
        for one, other in pairs
    ]


def cosine_heat(title: str, tasks: Sequence[str], cosines: Sequence[Sequence[float | None]]) -> Heat:
    """Cosines between tasks' gradients; a task without a labelled row has none."""
    rows = [
        (task, [("", 0.0) if value is None else (f"{value:.2f}", value) for value in values])
        for task, values in zip(tasks, cosines, strict=True)
    ]
    return Heat(title, tasks, rows)


def load_heat(title: str, loads: Mapping[str, Mapping[str, float]]) -> Heat:
    """Mean gate weights, the shared experts first; a cell is empty where a gate does not mix the expert."""
    experts = dict.fromkeys(expert for weights in loads.values() for expert in weights)
    columns = sorted(experts, key=lambda expert: not expert.startswith("shared "))
    rows = [
        (
            gate,
            [
                (f"{100 * weights[name]:.0f} %", weights[name]) if name in weights else ("", 0.0)
                for name in columns
            ],
        )
        for gate, weights in loads.items()
    ]
    return Heat(title, columns, rows)


def _gain_plot(task: str, rows: Sequence[Mapping[str, Any]], scale: Scale) -> GainPlot:
    whiskers = []
    for number, row in enumerate(rows):
        low, at, high = (100 * row[key] for key in ("gain_low", "gain", "gain_high"))
        tone = {"positive transfer": "good", "negative transfer": "bad"}.get(row["verdict"], "soft")
        text = f"{at:+.2f} % ({low:+.2f} to {high:+.2f})"
        y = TOP + LINE * (number + 0.5)
        whiskers.append(Whisker(y, scale(low), scale(at), scale(high), name_of(row), tone, text))
    bottom = TOP + LINE * len(rows)
    title = "average over tasks" if task == AVERAGE else task
    return GainPlot(title, whiskers, scale.ticks(), scale(0.0), bottom, bottom + FOOT)


def _scatter(x_task: str, y_task: str, points: Mapping[str, tuple[float, float]]) -> Scatter:
    x_scale = _scale([x for x, _ in points.values()], Scatter.left, Scatter.right)
    y_scale = _scale([y for _, y in points.values()], Scatter.bottom, Scatter.top)
    dots = [
        Dot(
            x_scale(x),
            y_scale(y),
            not any(_beats(other, (x, y)) for other in points.values()),
            name,
            f"{name}: {x_task} {format_number(x)} %, {y_task} {format_number(y)} %",
        )
        for name, (x, y) in points.items()
    ]
    return Scatter(x_task, y_task, x_scale.ticks(), y_scale.ticks(), dots)


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = min(*values, 0.0), max(*values, 0.0)
    padding = (high - low) * 0.1 or 1.0
    return Scale(low - padding, high + padding, start, end)
