"""The grocery year: the published shelves against a user's own purchases, by `nightshelf backtest`."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.quality_training import write_quality

DATES = ("2017-12-02", "2017-12-09", "2017-12-16", "2017-12-23")
RIVALS = {
    "own_half_life_90d": "own purchases, 90-day half-life",
    "own_frequency": "own purchases, all equal",
    "popular_28d": "popular in 28 days",
}


def compare(quick: bool) -> None:
    """Runs the nights that are not in the lake yet, which takes minutes; `quick`: the first one alone."""
    dates = ",".join(DATES[:1] if quick else DATES)
    nightshelf = str(Path(sys.executable).with_name("nightshelf"))
    command = [nightshelf, "backtest", "--scenario", "grocery", "--dates", dates, "--json"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    write_lines(lines)


def write_lines(lines: str) -> None:
    """`lines`: those of the backtest; a line for each rival, over all dates and users."""
    rows = [json.loads(line) for line in lines.splitlines()]
    ndcg = {row["method"]: row["ndcg@10"] for row in rows if (row["date"], row["segment"]) == ("all", "all")}
    for method, name in RIVALS.items():
        write_quality("grocery NDCG@10", ndcg["joint"], ndcg[method], f"NDCG@10, against {name}")
