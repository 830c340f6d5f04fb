"""The logs that scaling is measured on: users, items and events grow alike, over the same days."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench_venv import REPO
from benchmarks.process_tree import sampled_memory
from jobs.simulator.config import SimulationConfig
from jobs.simulator.landing import MANIFEST

STAGES = ("ingest", "tiles", "features", "candidates", "examples")
_EVENTS_PER_USER, _EVENTS_PER_ITEM = 200, 1_000
_FAULTS = {"duplicates": 0.01, "late": 0.02, "future": 0.001, "broken": 0.002}


class Log(NamedTuple):
    """A log of the simulator, and the stages that are measured on it."""

    events: int
    stages: tuple[str, ...] = STAGES
    days: int = 28
    heavy_user: float = 0.0
    hot_item: float = 0.0
    faults: Mapping[str, float] = _FAULTS

    def config(self) -> SimulationConfig:
        return SimulationConfig.model_validate({
            "users": max(self.events // _EVENTS_PER_USER, 2),
            "items": max(self.events // _EVENTS_PER_ITEM, 100),
            "events": self.events, "days": self.days, "first_day": "2024-01-01",
            "seed": 7, "label_window_days": 7,
            "heavy_user_share": self.heavy_user, "hot_item_share": self.hot_item, "faults": self.faults,
            "format": "parquet",
        })  # fmt: skip


def make_log(folder: Path, name: str, config: SimulationConfig) -> Path:
    """The folder of the log below the work dir; unless it is there, it is made, and the making measured."""
    path = folder / "logs" / name.replace(" ", "-")
    wanted = config.model_dump(mode="json", exclude={"num_partitions"})
    if (path / MANIFEST).is_file() and json.loads((path / MANIFEST).read_text())["config"] == wanted:
        return path
    options = {
        "--users": config.users, "--items": config.items, "--events": config.events,
        "--days": config.days, "--seed": config.seed, "--first-day": config.first_day,
        "--heavy-user": config.heavy_user_share, "--hot-item": config.hot_item_share,
        "--to": path,
    }  # fmt: skip
    faults = [f"{fault}={share}" for fault, share in config.faults.model_dump().items() if share]
    options |= {"--faults": ",".join(faults)} if faults else {}
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "jobs.cli", "simulate", *words, "--overwrite"]
    with sampled_memory() as peak:
        subprocess.run(command, cwd=REPO, stdout=sys.stderr, check=True)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    measured = {"events": config.events, "peak_mib": peak.mib, "bytes_per_event": size / config.events}
    kept = folder / "measured" / f"simulate {name}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(measured) + "\n")
    return path
