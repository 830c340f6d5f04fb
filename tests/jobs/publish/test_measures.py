from collections import Counter
from datetime import UTC, datetime, timedelta
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.publish.measures import population_stability_index, share_out_of_order, unknown_share

FOLDER_IS_WRITTEN_ANEW = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def write(path: Path, rows: dict[str, Any]) -> list[str]:
    pq.write_table(pa.table(rows), path)
    return [str(path)]


def psi(tmp_path: Path, today: pa.Array, earlier: pa.Array) -> float | None:
    files, before = write(tmp_path / "a", {"x": today}), write(tmp_path / "b", {"x": earlier})
    return population_stability_index(files, before, "x")


def expected_psi(today: list[float | None], earlier: list[float | None]) -> float:
    """By sorting: decile k is the smallest value that k tenths of the known rows before do not exceed."""
    known = sorted(value for value in earlier if value is not None)
    edges = sorted({known[max(-(-k * len(known) // 10) - 1, 0)] for k in range(1, 10)}) if known else []

    def shares(values: list[float | None]) -> dict[int, float]:
        buckets = Counter(-1 if value is None else sum(edge < value for edge in edges) for value in values)
        return {bucket: count / len(values) for bucket, count in buckets.items()}

    p, q = shares(today), shares(earlier)
    pairs = [(max(p.get(key, 0), 1e-4), max(q.get(key, 0), 1e-4)) for key in p.keys() | q.keys()]
    return sum((a - b) * log(a / b) for a, b in pairs)


COLUMN = st.lists(st.none() | st.integers(0, 30).map(float), min_size=1, max_size=60)


@FOLDER_IS_WRITTEN_ANEW
@given(today=COLUMN, earlier=COLUMN)
def test_psi_of_numbers_is_that_of_its_formula(
    tmp_path: Path, today: list[float | None], earlier: list[float | None]
) -> None:
    found = psi(tmp_path, pa.array(today, pa.float64()), pa.array(earlier, pa.float64()))

    if all(value is None for value in earlier):
        earlier_only_null = 1.0 - today.count(None) / len(today)
        assert (found or 0.0) >= 0.0
        assert (found == pytest.approx(0.0, abs=1e-9)) == (earlier_only_null == 0.0)
    else:
        assert found == pytest.approx(expected_psi(today, earlier))


def test_psi_tells_a_shift_from_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    earlier = pa.array(rng.normal(0, 1, 20_000))

    same = psi(tmp_path, pa.array(rng.normal(0, 1, 5_000)), earlier)
    shifted = psi(tmp_path, pa.array(rng.normal(0.7, 1, 5_000)), earlier)

    assert same is not None
    assert shifted is not None
    assert same < 0.02 < 0.25 < shifted


def test_psi_of_texts_goes_by_the_most_frequent(tmp_path: Path) -> None:
    earlier = pa.array(["a"] * 60 + ["b"] * 30 + [None] * 10)
    today = pa.array(["a"] * 30 + ["b"] * 30 + ["new"] * 30 + [None] * 10)

    found = psi(tmp_path, today, earlier)

    new = (0.3 - 1e-4) * log(0.3 / 1e-4)
    assert found == pytest.approx((0.3 - 0.6) * log(0.3 / 0.6) + new)


def test_nothing_is_compared_with_no_rows(tmp_path: Path) -> None:
    one, none = pa.array([1.0]), pa.array([], pa.float64())

    assert psi(tmp_path, one, none) is None
    assert psi(tmp_path, none, one) is None
    assert population_stability_index(["there"], [], "x") is None


def test_ids_that_the_catalogue_lacks_are_counted(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows", {"item_id": ["a", "a", "b", "odd", None]})
    known = write(tmp_path / "known", {"item_id": ["a", "b", "c"]})

    assert unknown_share(rows, known, "item_id") == pytest.approx(2 / 5)
    assert unknown_share(rows, [], "item_id") == 1.0
    assert unknown_share([], known, "item_id") is None


def test_what_comes_before_its_funnel_allows_is_counted(tmp_path: Path) -> None:
    noon = datetime(2017, 5, 1, 12, tzinfo=UTC)

    def log_of(name: str, *events: tuple[str, str, str, int]) -> list[str]:
        users, items, types, hours = zip(*events, strict=True)
        times = [noon + timedelta(hours=hour) for hour in hours]
        columns = {"user_id": users, "item_id": items, "event_type": types, "event_time": times}
        return write(tmp_path / name, columns)

    before = log_of("before", ("u1", "i", "click", -30), ("u2", "j", "click", -30))
    today = log_of(
        "today",
        ("u1", "i", "cart", 0),  # clicked the day before
        ("u2", "i", "cart", 0),  # clicked another item
        ("u3", "i", "cart", 0), ("u3", "i", "click", 1),  # clicked after
        ("u4", "i", "click", 0), ("u4", "i", "cart", 0),  # at one instant
        ("u5", "i", "click", 0),
    )  # fmt: skip

    assert share_out_of_order(today, before, ("click", "cart")) == pytest.approx(2 / 4)
    assert share_out_of_order(today, before, ("click", "purchase")) is None
    assert share_out_of_order([], before, ("click", "cart")) is None
