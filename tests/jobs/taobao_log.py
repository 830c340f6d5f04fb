"""A small log of favourites, carts and purchases in the shape of conf/taobao.yaml, and its scenario."""

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from jobs.config import CONF_FOLDER

NUM_USERS, NUM_ITEMS, NUM_DAYS = 30, 25, 9
_COURSES = (("fav",), ("cart",), ("cart", "buy"), ("fav", "cart", "buy"), ("buy",))
_FIRST_INSTANT = datetime(2017, 11, 25, tzinfo=ZoneInfo("Asia/Shanghai"))
_SECONDS_PER_DAY = 86_400


def write_taobao_log(folder: Path, order: int = 0) -> Path:
    """Users put items aside and buy some of them on a later day; `order` shuffles the rows of the file."""
    chance, rows = random.Random(3), []
    for user in range(NUM_USERS):
        for item in chance.sample(range(NUM_ITEMS), 10):
            at = chance.randrange(NUM_DAYS * _SECONDS_PER_DAY)
            for behavior in chance.choice(
                [("fav",), ("cart",), ("cart", "buy"), ("fav", "cart", "buy"), ("buy",)]
            ):
                moment = _FIRST_INSTANT + timedelta(seconds=at)
                if at < NUM_DAYS * _SECONDS_PER_DAY:
                    rows.append((user, item, behavior, int(moment.timestamp())))
                at += chance.randrange(2 * _SECONDS_PER_DAY)
    random.Random(order).shuffle(rows)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("user_id", "item_id", "behavior", "timestamp")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), folder / "events.parquet")
    return folder


def write_taobao_scenario(path: Path, log: Path, **changes: dict[str, Any]) -> Path:
    """Writes conf/taobao.yaml once more for another log, named `small`, with changes per section."""
    scenario = yaml.safe_load((CONF_FOLDER / "taobao.yaml").read_text(encoding="utf-8"))
    small: dict[str, dict[str, Any]] = {
        "logs": {"path": str(log)},
        "examples": {"negative_sampling_rate": 0.5},
    }
    for sections in (small, changes):
        for section, values in sections.items():
            scenario[section] = {**scenario[section], **values}
    path.write_text(yaml.safe_dump({**scenario, "name": "small"}, sort_keys=False), encoding="utf-8")
    return path
