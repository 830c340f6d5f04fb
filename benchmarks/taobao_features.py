"""What the log says of users, items and pairs of both, for candidates (N, C) of N users.

Shapes: U = users, I = items, N = rows of candidates, C = candidates of a row.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse as sp
from scipy.sparse.linalg import svds

BEHAVIORS = ("buy", "cart", "fav")
DAY_SECONDS = 86_400
NUM_DAYS = 9
NUM_ROWS_AT_ONCE = 1_000
NUM_FACTORS = (32, 64)
MIN_SIZE = 1e-4  # of an item's factors
SMOOTHING = 5.0  # of an item's popularity: what few acted on is alike by chance

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class History(NamedTuple):
    """0-1 matrices (U, I) per behaviour and of any, events a day (NUM_DAYS, I), users' last days (U,)."""

    by_behavior: dict[str, sp.csr_matrix]
    of_any: sp.csr_matrix
    day_counts: Floats
    last_days: Ids


def read_history(events: pa.Table, num_users: int, num_items: int, first_second: int) -> History:
    users, items = (events[name].to_numpy().astype(np.int64) for name in ("user_id", "item_id"))
    behaviors = events["behavior"].to_numpy()
    days = (events["timestamp"].to_numpy() - first_second) // DAY_SECONDS
    by_behavior = {
        name: _ones(users[behaviors == name], items[behaviors == name], (num_users, num_items))
        for name in BEHAVIORS
    }
    day_counts = np.zeros((NUM_DAYS, num_items), dtype=np.float32)
    np.add.at(day_counts, (days, items), 1)
    last_days = np.zeros(num_users, dtype=np.int64)
    np.maximum.at(last_days, users, days)
    return History(by_behavior, _ones(users, items, (num_users, num_items)), day_counts, last_days)


def make_features(history: History, users: Ids, candidates: Ids) -> dict[str, Floats]:
    """Each feature (N, C); fastest where rows of a user stand together."""
    features = _count(history, users, candidates)
    popularity = np.asarray(history.of_any.sum(axis=0)).ravel()
    weights = sp.diags(1 / np.sqrt(popularity + SMOOTHING))
    any_by_item = (history.of_any @ weights).tocsr()
    features |= _decompose(any_by_item, users, candidates)
    alike = _without_diagonal(any_by_item.T @ any_by_item)
    features["similar_score"] = _score(history.of_any, alike, users, candidates)
    for name, acted in history.by_behavior.items():
        of_behavior = _without_diagonal((acted @ weights).T @ any_by_item)
        features[f"similar_{name}_score"] = _score(acted, of_behavior, users, candidates)
    return features


def multiply_factors(of_users: Floats, of_items: Floats, users: Ids, candidates: Ids) -> Floats:
    """Maps factors (U, D) and (I, D) to scores (N, C)."""
    scores = np.empty(candidates.shape, dtype=np.float32)
    for rows in _slices(len(users)):
        scores[rows] = np.einsum("nd,ncd->nc", of_users[users[rows]], of_items[candidates[rows]])
    return scores


def _decompose(by_item: sp.csr_matrix, users: Ids, candidates: Ids) -> dict[str, Floats]:
    """By truncated singular value decomposition; also free of how often the item occurs."""
    lengths = np.sqrt(np.asarray(by_item.power(2).sum(axis=1)).ravel() + 1)
    features: dict[str, Floats] = {}
    for num_factors in NUM_FACTORS:
        _, _, of_factors = svds(sp.diags(1 / lengths) @ by_item, num_factors, random_state=0)
        of_items = np.ascontiguousarray(of_factors.T, dtype=np.float32)
        of_users = (by_item @ of_items) / lengths[:, None]
        score = multiply_factors(of_users, of_items, users, candidates)
        sizes = np.linalg.norm(of_items, axis=1) + MIN_SIZE
        features |= {
            f"svd_{num_factors}_score": score,
            f"svd_{num_factors}_cosine": score / sizes[candidates],
        }
    return features


def _count(history: History, users: Ids, candidates: Ids) -> dict[str, Floats]:
    counts = {
        f"item_{name}_count": np.asarray(acted.sum(axis=0)).ravel()[candidates]
        for name, acted in history.by_behavior.items()
    }
    last_days = history.last_days[users][:, None]
    counts["item_count_on_last_day_of_user"] = history.day_counts[last_days, candidates]
    next_days = np.minimum(last_days + 1, NUM_DAYS - 1)
    counts["item_count_on_next_day_of_user"] = history.day_counts[next_days, candidates]
    for day in range(NUM_DAYS - 3, NUM_DAYS):
        counts[f"item_count_on_day_{day}"] = history.day_counts[day][candidates]
    for name, acted in history.by_behavior.items():
        of_users = np.asarray(acted.sum(axis=1)).ravel()[users]
        counts[f"user_{name}_count"] = np.broadcast_to(of_users[:, None], candidates.shape)
    counts["last_day_of_user"] = np.broadcast_to(last_days, candidates.shape)
    return {name: np.asarray(values, dtype=np.float32) for name, values in counts.items()}


def _score(acted: sp.csr_matrix, alike: sp.csr_matrix, users: Ids, candidates: Ids) -> Floats:
    """How alike the candidates (N, C) are to what their users acted on."""
    scores = np.empty(candidates.shape, dtype=np.float32)
    for rows in _slices(len(users)):
        once, of_rows = np.unique(users[rows], return_inverse=True)
        of_all_items = (acted[once] @ alike).toarray()
        scores[rows] = of_all_items[of_rows[:, None], candidates[rows]]
    return scores


def _ones(users: Ids, items: Ids, shape: tuple[int, int]) -> sp.csr_matrix:
    matrix = sp.csr_matrix((np.ones(len(users), dtype=np.float32), (users, items)), shape=shape)
    matrix.data[:] = 1  # of several events of a pair
    return matrix


def _without_diagonal(matrix: sp.spmatrix) -> sp.csr_matrix:
    matrix = matrix.tocsr()
    matrix.setdiag(0)
    matrix.eliminate_zeros()
    return matrix


def _slices(num_rows: int) -> Iterator[slice]:
    for start in range(0, num_rows, NUM_ROWS_AT_ONCE):
        yield slice(start, start + NUM_ROWS_AT_ONCE)
