"""What a model of one domain gives to that of another, with few rows: alone, warm start, mixed, aligned.

python -m benchmarks.transfer --data movies|shop [--quick]

movies: MovieLens 1M to 5% of the first four fifths of MovieLens 100K's ratings, judged on the last fifth;
films are one by title and year, users are others. shop: every category of a simulated log to one that has
just been opened, with one day of impressions, judged on its last week. A method's row has its quality, and
that of a model that has seen the target's rows alone as its rival.
"""

import argparse
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from benchmarks import transfer_movies, transfer_shop
from benchmarks.quality_training import train_joint_model, write_quality
from benchmarks.transfer_domains import IS_TARGET, Domains, Method

logger = logging.getLogger(__name__)

DATA: dict[str, Callable[[bool, Path], Domains]] = {
    "movies": transfer_movies.read_domains,
    "shop": transfer_shop.read_domains,
}


SOURCE, ALONE = Method("source alone", "source"), Method("target alone")
METHODS = (
    Method("warm start", is_warm=True),
    Method("warm start, embeddings frozen", is_warm=True, transfer={"freeze": {"parts": ["embedding"]}}),
    Method("mixed", "both"),
    Method("mixed, instance weighting", "both", transfer={"instance_weighting": {}}),
    Method("mixed, mmd", "both", transfer={"alignment": {"name": "mmd", "weight": 0.1}}),
    Method("mixed, coral", "both", transfer={"alignment": {"name": "coral", "weight": 0.1}}),
)


def judge(domains: Domains, method: Method, folder: Path) -> dict[str, float]:
    """Trains a model below `folder`, which holds the source's for those with a warm start."""
    both = pa.concat_tables([domains.source, domains.target])
    rows = {"source": domains.source, "target": domains.target, "both": both}[method.rows]
    model = domains.describe(method)
    if method.transfer:
        model["transfer"] = dict(method.transfer)
    if method.transfer and method.rows == "both":
        model["transfer"]["target"] = "target"
        model["slices"] = [{"name": "target", "column": IS_TARGET, "at_least": 1.0}]
    start = folder / SOURCE.name / "model" if method.is_warm else None
    return domains.judge(
        train_joint_model(model, rows, folder / method.name, both if method.is_warm else rows, start)
    )


def compare(domains: Domains, folder: Path) -> None:
    alone = judge(domains, ALONE, folder)
    for method in (SOURCE, *METHODS):
        write(domains, method.name, judge(domains, method, folder), alone)


def write(domains: Domains, method: str, found: Mapping[str, float], alone: Mapping[str, float]) -> None:
    for measure, value in found.items():
        unit = f"{measure}, against the target's rows alone"
        write_quality(f"{domains.name} {method}", value, alone[measure], unit)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, choices=DATA)
    parser.add_argument("--json", action="store_true", help="the default: one line of JSON per figure")
    parser.add_argument("--quick", action="store_true", help="few rows, to see that it runs")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with tempfile.TemporaryDirectory() as folder:
        compare(DATA[arguments.data](arguments.quick, Path(folder)), Path(folder))


if __name__ == "__main__":
    main()
