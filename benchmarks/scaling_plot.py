"""Seconds against events, both axes logarithmic, with the straight line of linear growth."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt


def draw_scaling(seconds_by_stage: Mapping[str, Mapping[int, float]], target: Path) -> None:
    """`seconds_by_stage`: stage -> events -> seconds; a dashed line grows with the events."""
    with plt.rc_context({"svg.hashsalt": "scaling", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
        for stage, points in seconds_by_stage.items():
            if not points:
                continue
            events, seconds = list(points), list(points.values())
            (line,) = axes.loglog(events, seconds, "o-", label=stage, markersize=4)
            linear = [seconds[0] * count / events[0] for count in events]
            axes.loglog(events, linear, "--", color=line.get_color(), linewidth=0.7)
        axes.set(xlabel="events", ylabel="seconds")
        axes.grid(visible=True, which="major", linewidth=0.3)
        axes.legend(title="dashed: linear", frameon=False)
        figure.savefig(target, metadata={"Date": None})
        plt.close(figure)
