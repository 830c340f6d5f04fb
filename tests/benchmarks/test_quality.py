import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.biased_mf import MFSettings, rate_by_biased_mf
from benchmarks.quality_grocery import write_lines
from benchmarks.quality_movies import JointSettings, add_counts, judge, rate_by_joint_model


def make_ratings(num_users: int = 30, num_items: int = 20) -> pa.Table:
    """Every user rates every item: a user's kindness, an item's merit, and whether they are of one taste."""
    user, item = (ids.flatten() for ids in np.mgrid[:num_users, :num_items])
    taste = np.where(user % 2 == item % 2, 1, -1)
    return pa.table(
        {
            "example_id": np.arange(len(user)),
            "user_id": user,
            "item_id": item,
            "rating": np.clip(3 + user % 3 - 1 + taste, 1, 5),
            "gender": np.where(user % 2, "F", "M"),
            "age_group": user % 3,
            "occupation_code": user % 5,
            "zip_region": (user % 7).astype(str),
            "release_year": (1990 + item % 4).astype(str),
            "genres": [["Drama"] if even else ["Comedy", "War"] for even in item % 2 == 0],
        }
    )


def test_ratings_are_clipped_to_the_scale_and_likes_ranked_by_their_score() -> None:
    rows = pa.table({"rating": [5, 3, 4]})

    quality = judge(rows, np.array([7.0, 3.0, 2.0]), np.array([0.9, 0.5, 0.1]))

    assert quality.rmse == pytest.approx((4 / 3) ** 0.5)
    assert quality.auc == 0.5


def test_counts_are_of_the_other_ratings_in_the_training_rows() -> None:
    train = pa.table({"user_id": [1, 1, 2], "item_id": [7, 8, 8]})
    judged = pa.table({"user_id": [1, 3], "item_id": [8, 7]})

    own, others = add_counts(train, train), add_counts(judged, train)

    assert own["user_rating_count"].to_pylist() == [1, 1, 0]
    assert own["item_rating_count"].to_pylist() == [0, 1, 1]
    assert others["user_rating_count"].to_pylist() == [2, 0]
    assert others["item_rating_count"].to_pylist() == [2, 1]


def test_a_factorisation_learns_tastes() -> None:
    rows = make_ratings()
    is_judged = pa.array(np.arange(rows.num_rows) % 7 == 0)
    train, judged = rows.filter(pa.compute.invert(is_judged)), rows.filter(is_judged)

    ratings = rate_by_biased_mf(train, judged, MFSettings(num_factors=4, penalty=0.001, epochs=300))

    assert judge(judged, ratings, ratings).rmse < 0.3
    assert np.isfinite(rate_by_biased_mf(train, unknown(judged), MFSettings(4, 0.001, epochs=1))).all()


def unknown(rows: pa.Table) -> pa.Table:
    return rows.set_column(rows.column_names.index("user_id"), "user_id", pa.array([-1] * rows.num_rows))


def test_the_joint_model_learns_tastes(tmp_path: Path) -> None:
    rows = make_ratings()
    is_judged = pa.array(np.arange(rows.num_rows) % 7 == 0)
    train, judged = rows.filter(pa.compute.invert(is_judged)), rows.filter(is_judged)

    ratings, likes = rate_by_joint_model(
        train, judged, JointSettings(4, 0.001, epochs=200), tmp_path / "model"
    )

    quality = judge(judged, ratings, likes)
    assert quality.rmse < 0.5
    assert quality.auc > 0.95


def test_the_backtest_is_compared_over_all_dates_and_users(capsys: pytest.CaptureFixture[str]) -> None:
    methods = {"joint": 0.3, "popular_28d": 0.1, "own_frequency": 0.2, "own_half_life_90d": 0.25}
    rows = [
        {
            "method": method,
            "date": date,
            "segment": segment,
            "ndcg@10": ndcg if date == segment == "all" else 0.9,
        }
        for method, ndcg in methods.items()
        for date in ("all", "2017-12-02")
        for segment in ("all", "heavy users")
    ]

    write_lines("\n".join(map(json.dumps, rows)))

    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(result["ours"], result["rival"], result["ratio"]) for result in results] == [
        (0.3, 0.25, 1.2),
        (0.3, 0.2, 1.5),
        (0.3, 0.1, 3.0),
    ]
