"""Measures of tonight's rows against other rows: drift, ids that nobody knows, events out of order.

Each reads files that other stages have written, in DuckDB, which spills what does not fit into memory.
"""

import math
from collections.abc import Sequence

import duckdb

from jobs.lake.lake import local_path

Files = Sequence[str]

_BUCKETS = 10
_LEAST_SHARE = 1e-4  # of a bucket, so that an empty one has a logarithm


def population_stability_index(files: Files, before: Files, column: str) -> float | None:
    """PSI = sum over buckets of (p - q) ln(p / q); None where either side has no rows.

    p are the shares of `files`, q those of `before`. A number's buckets are the deciles of `before`, a text's
    its ten most frequent values and the rest; missing values have one of their own. Below 0.1 is usually
    called stable, above 0.25 a shift (Siddiqi 2006, Credit Risk Scorecards).
    """
    if not files or not before:
        return None
    with _connect(today=files, earlier=before) as connection:
        described = connection.execute(f'DESCRIBE SELECT "{column}" FROM today').fetchall()
        if described[0][1] == "VARCHAR":
            edges = f"""SELECT list(v ORDER BY n DESC, v) AS edges FROM (
                SELECT v, count(*) AS n FROM earlier_values GROUP BY v ORDER BY n DESC, v LIMIT {_BUCKETS})"""
            bucket = "coalesce(list_position(edges, v), 0)"
        else:
            shares = [number / _BUCKETS for number in range(1, _BUCKETS)]
            edges = f"SELECT list_distinct(quantile_disc(v, {shares})) AS edges FROM earlier_values"
            bucket = "len(list_filter(edges, lambda edge: edge < v))"
        counts = connection.execute(f"""
            WITH all_values AS (
                SELECT "{column}" AS v, true AS is_today FROM today
                UNION ALL SELECT "{column}", false FROM earlier),
            earlier_values AS (SELECT v FROM all_values WHERE NOT is_today AND v IS NOT NULL),
            edges AS ({edges})
            SELECT count_if(is_today), count_if(NOT is_today)
            FROM all_values, edges GROUP BY CASE WHEN v IS NULL THEN -1 ELSE {bucket} END""").fetchall()
    today, earlier = (sum(counts_of) for counts_of in zip(*counts, strict=True)) if counts else (0, 0)
    if not today or not earlier:
        return None
    shares_of = [(max(p / today, _LEAST_SHARE), max(q / earlier, _LEAST_SHARE)) for p, q in counts]
    return math.fsum((p - q) * math.log(p / q) for p, q in shares_of)


def unknown_share(files: Files, known: Files, column: str) -> float | None:
    """The share of rows whose id is not among the `item_id` of `known`; a null is unknown."""
    if not files or not known:
        return 1.0 if files else None
    with _connect(today=files, known=known) as connection:
        is_known = f'"{column}" IN (SELECT item_id FROM known)'
        row = connection.execute(f"SELECT 1 - avg(coalesce({is_known}, false)::INT) FROM today").fetchone()
    return None if row is None else row[0]


def share_out_of_order(files: Files, before: Files, funnel: tuple[str, str]) -> float | None:
    """The share of events of the second type whose user had none of the first with the item until then."""
    if not files:
        return None
    with _connect(today=files, window_days=[*before, *files]) as connection:
        row = connection.execute(
            """
            SELECT avg((first_time IS NULL OR first_time > event_time)::INT)
            FROM (SELECT user_id, item_id, event_time FROM today WHERE event_type = $then)
            LEFT JOIN (
                SELECT user_id, item_id, min(event_time) AS first_time
                FROM window_days WHERE event_type = $first GROUP BY user_id, item_id
            ) USING (user_id, item_id)""",
            {"first": funnel[0], "then": funnel[1]},
        ).fetchone()
    return None if row is None else row[0]


def _connect(**views: Files) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name, files in views.items():
        connection.read_parquet([local_path(file) for file in files]).create_view(name)
    return connection
