"""Shelves + features of the candidates -> the fields that moved the model most, for each row on a shelf."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from jobs.config import ReasonsConfig
from jobs.lake.day_tasks import DayDatabase
from jobs.recommend.scoring import complete_fields, load_model

_BASE_ROWS, _BATCH_ROWS = 1_000, 8_192

_ON_SHELVES = """
SELECT featured.* FROM featured JOIN shelf_rows USING (user_id, item_id) ORDER BY user_id, rank
"""


def add_model_reasons(
    database: DayDatabase, shelves: pa.Table, featured: pa.Table, model_folder: Path, rules: ReasonsConfig
) -> pa.Table:
    """Adds `model_reasons` to shelves in the order of user and rank; `featured` has all their candidates.

    What is explained is a row's score less that of the mean candidate, over up to 1,000 spread evenly
    over the users.
    """
    from mtl_model.evaluation.attributions import top_reasons  # torch: only where it is needed

    predictor = load_model(str(model_folder))
    spread = np.linspace(0, featured.num_rows - 1, min(featured.num_rows, _BASE_ROWS)).astype(np.int64)
    base = complete_fields(featured.take(spread), predictor.columns)
    database.register("featured", featured)
    database.register("shelf_rows", shelves.select(["user_id", "item_id", "rank"]))
    reasons = [
        top_reasons(
            predictor,
            complete_fields(pa.Table.from_batches([batch]), predictor.columns),
            rules.task,
            rules.per_row,
            base,
        )
        for batch in database.sql(_ON_SHELVES).to_arrow_reader(_BATCH_ROWS)
    ]
    kind = pa.map_(pa.string(), pa.float64())
    return shelves.append_column("model_reasons", pa.chunked_array(reasons, kind))
