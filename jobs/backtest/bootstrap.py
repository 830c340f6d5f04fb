"""Paired bootstrap over users, as a sum that any number of Spark partitions can share.

Each replicate gives a user a Poisson(1) weight (the limit of resampling with replacement), drawn from a hash
of the user and the replicate: all rows of a user (dates, methods) get the same weight, so that users are
resampled whole (Chamandy et al., "Estimating uncertainty for massive data streams", 2012).
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

REPLICATES = 1000
_POISSON_CDF = np.cumsum(np.exp(-1.0) / np.array([1, 1, 2, 6, 24, 120, 720, 5040], dtype=np.float64))


def poisson_weights(user_hashes: NDArray[np.int64], replicates: int) -> NDArray[np.float64]:
    """(R,) hashes -> (R, replicates) weights; the same hash always has the same weights (splitmix64)."""
    with np.errstate(over="ignore"):
        state = user_hashes.astype(np.uint64)[:, None] + np.arange(
            1, replicates + 1, dtype=np.uint64
        ) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform = ((state ^ (state >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.asarray(np.searchsorted(_POISSON_CDF, uniform, side="right"), dtype=np.float64)


def difference_intervals(rows: DataFrame) -> DataFrame:
    """95% intervals of the mean of `difference` per (method, date, segment): ci_low, ci_high.

    `rows` have method, date, segment, user_id, difference.
    """
    keyed = rows.select("method", "date", "segment", F.xxhash64("user_id").alias("user"), "difference")
    # Sorted, so that a batch holds few groups: each group of a batch is a thousand rows of sums.
    groups = keyed.repartition("method", "date", "segment").sortWithinPartitions("method", "date", "segment")
    sums = groups.mapInArrow(
        _partial_sums,
        "method string, date string, segment string, replicate int, total double, weight double",
    )
    means = (
        sums.groupBy("method", "date", "segment", "replicate")
        .agg(F.try_divide(F.sum("total"), F.sum("weight")).alias("mean"))
        .groupBy("method", "date", "segment")
    )
    return means.agg(
        F.percentile("mean", 0.025).alias("ci_low"), F.percentile("mean", 0.975).alias("ci_high")
    )


def _partial_sums(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    keys = ["method", "date", "segment"]
    for batch in batches:
        groups = pa.Table.from_batches([batch]).append_column("row", pa.array(np.arange(batch.num_rows)))
        for group in groups.group_by(keys).aggregate([("row", "list")]).to_pylist():
            rows = np.array(group["row_list"])
            weights = poisson_weights(batch.column("user").to_numpy()[rows], REPLICATES)
            totals = batch.column("difference").to_numpy()[rows] @ weights
            columns = {key: pa.array([group[key]] * REPLICATES) for key in keys}
            columns |= {"replicate": pa.array(np.arange(REPLICATES, dtype=np.int32))}
            columns |= {"total": pa.array(totals), "weight": pa.array(weights.sum(axis=0))}
            yield pa.RecordBatch.from_pydict(columns)
