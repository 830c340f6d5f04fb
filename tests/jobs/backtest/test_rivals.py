from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession

from jobs.backtest.rivals import RIVALS, rank_rivals

DAY = date(2017, 12, 2)


def lists_of(
    spark: SparkSession, purchases: list[tuple[str, str, int, int]], k: int
) -> dict[str, dict[str, list[str]]]:
    """Rival -> user -> items, best first; purchases are (user, item, days before DAY, lines)."""
    rows = [(DAY - timedelta(age), user, item, lines) for user, item, age, lines in purchases]
    tiles = spark.createDataFrame(rows, "ds date, user_id string, item_id string, line_count long")
    users = spark.createDataFrame([("u",), ("v",)], "user_id string")
    return {name: shelves(ranked) for name, ranked in rank_rivals(tiles, users, DAY, k).items()}


def shelves(ranked: DataFrame) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in sorted(ranked.collect(), key=lambda row: (row.user_id, row.rank)):
        found.setdefault(row.user_id, []).append(row.item_id)
        assert row.rank == len(found[row.user_id])  # from 1, without holes
    return found


def test_rivals_by_hand(spark: SparkSession) -> None:
    purchases = [
        ("u", "10", 0, 1), ("u", "9", 0, 1),  # a tie: 9 comes before 10
        ("u", "100", 90, 1), ("u", "100", 180, 2),  # three lines, worth 1/2 + 2/4 today: a tie of three
        ("u", "7", 360, 3),  # three lines, worth 3/16
        ("v", "5", 27, 2), ("v", "6", 28, 9),
        ("v", "8", -1, 99),  # the day after
    ]  # fmt: skip

    lists = lists_of(spark, purchases, k=4)

    assert set(lists) == set(RIVALS)
    assert lists["popular_28d"] == {user: ["5", "9", "10"] for user in ("u", "v")}
    assert lists["own_frequency"] == {"u": ["7", "100", "9", "10"], "v": ["6", "5"]}
    assert lists["own_half_life_90d"] == {"u": ["9", "10", "100", "7"], "v": ["6", "5"]}


def test_lists_end_at_k(spark: SparkSession) -> None:
    lists = lists_of(spark, [("u", str(item), 0, 1) for item in range(12)], k=10)

    first_ten = [str(item) for item in range(10)]
    assert lists == {
        "popular_28d": {"u": first_ten, "v": first_ten},
        "own_frequency": {"u": first_ten},
        "own_half_life_90d": {"u": first_ten},
    }
