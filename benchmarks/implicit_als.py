"""Alternating least squares for implicit feedback (Hu et al., ICDM 2008, doi.org/10.1109/ICDM.2008.22).

min sum_ui c_ui (p_ui - <x_u, y_i>)^2 + penalty (|x|^2 + |y|^2);  p = 1, c = 1 + confidence where u acted on i

Shapes: U = users, I = items, D = factors, E = events of a chunk of rows.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

CHUNK_ROWS = 512


class ALSSettings(NamedTuple):
    num_factors: int = 64
    confidence: float = 20.0
    penalty: float = 10.0
    iterations: int = 6


def fit_als(acted: sp.csr_matrix, settings: ALSSettings, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Maps a 0-1 matrix (U, I) to the factors of users (U, D) and items (I, D)."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.randn(acted.shape[1], settings.num_factors, generator=generator) * 0.1
    by_item = acted.T.tocsr()
    users = _solve(acted, items, settings)
    for _ in range(settings.iterations - 1):
        items = _solve(by_item, users, settings)
        users = _solve(acted, items, settings)
    return users, items


def _solve(acted: sp.csr_matrix, fixed: Tensor, settings: ALSSettings) -> Tensor:
    """The best factors of the matrix's rows for given factors of its columns."""
    num_factors = settings.num_factors
    common = fixed.T @ fixed + settings.penalty * torch.eye(num_factors)
    solved = torch.empty(acted.shape[0], num_factors)
    for start in range(0, acted.shape[0], CHUNK_ROWS):
        chunk = acted[start : start + CHUNK_ROWS]
        rows = torch.from_numpy(np.repeat(np.arange(chunk.shape[0]), np.diff(chunk.indptr)))
        of_events = fixed[torch.from_numpy(chunk.indices.astype(np.int64))]  # (E, D)
        products = of_events[:, :, None] * of_events[:, None, :]  # (E, D, D)
        left = common.repeat(chunk.shape[0], 1, 1).index_add_(0, rows, products, alpha=settings.confidence)
        right = torch.zeros(chunk.shape[0], num_factors)
        right.index_add_(0, rows, of_events, alpha=1 + settings.confidence)
        solved[start : start + CHUNK_ROWS] = torch.linalg.solve(left, right)
    return solved
