"""Nights of the scenario `small` as the stages before publish leave them, without Spark or a model."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.features.tables import USER_DAYS
from jobs.lake.columns import Table
from jobs.lake.data_files import DataFile
from jobs.lake.lake import Lake, local_path
from jobs.logs.tables import ITEMS
from jobs.recommend.tables import COUPON_RECOMMENDATIONS, RECOMMENDATIONS, USER_PROFILES
from jobs.stage import RUN_STAGES, Run, make_run
from tests.small_log import FIRST_DAY

USERS = ("u1", "u2", "u3")

WriteNight = Callable[..., Run]


def replace_day(lake: Lake, table: Table, day: date, rows: Sequence[dict[str, Any]]) -> None:
    """Makes `rows` the only rows of the day; columns that they lack are null."""
    content = pa.Table.from_pylist([{"ds": day, **row} for row in rows], table.arrow_schema())
    path = f"{lake.load(table).location()}/data/{day}/{uuid.uuid4().hex}.parquet"
    Path(local_path(path)).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, local_path(path))
    lake.commit(table, (day, day), [DataFile(path, day, len(rows))] if rows else [])


def recommend(
    lake: Lake, day: date, run_id: str, users: Sequence[str] = USERS, items: Sequence[str] = ("1", "2")
) -> None:
    """Writes what a run recommends on a day: the items for each of the users."""
    lake.lineage = {"run-id": run_id, "job": "recommend", "date": str(day)}
    if lake.find(USER_DAYS) is None:
        replace_day(lake, USER_DAYS, FIRST_DAY, [{"user_id": user, "line_count": 3} for user in USERS])
        titles = {"title": "Bread & butter", "category_path": ["GROCERY"]}
        replace_day(lake, ITEMS, FIRST_DAY, [{"item_id": str(item), **titles} for item in range(9)])
    replace_day(lake, RECOMMENDATIONS, day, _recommendations(run_id, users, items))
    of_users = [{"run_id": run_id, "model_version": "m1", "user_id": user} for user in users]
    profile = {"basket_count_28d": 4, "spend_28d": 1234}
    replace_day(lake, USER_PROFILES, day, [{**row, **profile} for row in of_users])
    coupon = {"rank": 1, "coupon_id": "c", "p_redeem": 0.1}
    replace_day(lake, COUPON_RECOMMENDATIONS, day, [{**row, **coupon} for row in of_users])


@pytest.fixture
def write_night(lake: Lake, small_scenario: Path) -> WriteNight:
    """`recommend` as a run that can be published."""

    def write(day: date, run_id: str, **content: Sequence[str]) -> Run:
        recommend(lake, day, run_id, **content)
        return make_run(str(small_scenario), day, run_id)

    return write


@pytest.fixture
def record_stage(lake: Lake) -> Callable[..., None]:
    """Records a stage of a run as `run_stage` does."""

    def record(run: Run, stage: str, status: str = "succeeded", error: str | None = None) -> None:
        row = {
            "ds": run.date,
            "run_id": run.run_id,
            "stage": stage,
            "status": status,
            "started_at": datetime.now(UTC),
            "seconds": 1.5,
            "row_counts": [("events", "10")],
            "error": error,
        }
        lake.append(RUN_STAGES, [row], replacing={"run_id": run.run_id, "stage": stage})

    return record


def _recommendations(run_id: str, users: Sequence[str], items: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "run_id": run_id,
            "surface": "home",
            "user_id": user,
            "rank": rank,
            "item_id": item,
            "p_purchase": 0.4 / rank,
            "expected_spend": 120.0,
            "reason": "bought <often>",
            "channels": ["bought_before"],
            "model_version": "m1",
        }
        for user in users
        for rank, item in enumerate(items, start=1)
    ]
