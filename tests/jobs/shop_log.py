"""A small log of the simulator, and conf/shop.yaml for it."""

from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import SparkSession

from jobs.config import CONF_FOLDER
from jobs.simulator.plan import plan_simulation
from jobs.simulator.simulate_logs import simulate_logs
from tests.jobs.simulator.small_world import FIRST_DAY, small_config


def write_shop_log(spark: SparkSession, folder: Path, **changes: Any) -> Path:
    config = small_config(**changes)
    folder.mkdir(parents=True)
    simulate_logs(spark, config, plan_simulation(config), folder)
    return folder


def write_shop_scenario(path: Path, log: Path, **changes: dict[str, Any]) -> Path:
    """Writes conf/shop.yaml once more for another log, named `small`, with changes per section."""
    scenario = yaml.safe_load((CONF_FOLDER / "shop.yaml").read_text(encoding="utf-8"))
    small: dict[str, dict[str, Any]] = {
        "logs": {"path": str(log), "first_day": FIRST_DAY},
        "learn": {"twins": None},
    }
    for sections in (small, changes):
        for section, values in sections.items():
            scenario[section] = {**scenario[section], **values}
    scenario["model"]["training"] |= {"global_batch_size": 256, "warmup_steps": 20}  # few examples
    path.write_text(yaml.safe_dump({**scenario, "name": "small"}, sort_keys=False), encoding="utf-8")
    return path
