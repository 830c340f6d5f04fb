"""Where an item's price stands among those of its category, by the catalogue: SQL for Spark and DuckDB."""

QUANTILE_UNITS = 1_000  # quantiles of events are summed in thousandths

_OTHERS = "PARTITION BY category_path, price IS NULL"

# The share of the category's items that are cheaper, and of those that cost the same the half. Items without
# a category are compared with one another.
PRICE_QUANTILE = f"""CASE WHEN price IS NOT NULL THEN CAST(floor(
    (2 * (rank() OVER ({_OTHERS} ORDER BY price) - 1) + count(*) OVER ({_OTHERS}, price))
    * {QUANTILE_UNITS}e0 / (2 * count(*) OVER ({_OTHERS}))
) AS BIGINT) END"""
