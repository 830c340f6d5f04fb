"""Biased matrix factorisation (Koren et al., IEEE Computer 2009, doi.org/10.1109/MC.2009.263), by Adam.

r = m + b_u + b_i + <p_u, q_i>,   loss: (r - rating)^2 + penalty (b_u^2 + b_i^2 + |p_u|^2 + |q_i|^2)
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_SIZE = 8192
LEARNING_RATE = 0.01


class MFSettings(NamedTuple):
    num_factors: int
    penalty: float
    epochs: int


class BiasedMF(nn.Module):
    """A row's last factor is its bias."""

    def __init__(self, num_users: int, num_items: int, num_factors: int, mean: float) -> None:
        super().__init__()
        self.users = nn.Parameter(torch.empty(num_users, num_factors + 1).normal_(std=0.05))
        self.items = nn.Parameter(torch.empty(num_items, num_factors + 1).normal_(std=0.05))
        self.mean = mean

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Maps ids (B,) to ratings (B,) and the squares of their factors (B,)."""
        user, item = F.embedding(users, self.users), F.embedding(items, self.items)
        ratings = self.mean + user[:, -1] + item[:, -1] + (user[:, :-1] * item[:, :-1]).sum(dim=1)
        return ratings, user.square().sum(dim=1) + item.square().sum(dim=1)


def rate_by_biased_mf(train: pa.Table, judged: pa.Table, settings: MFSettings) -> npt.NDArray[np.float64]:
    torch.manual_seed(1)
    users, items = (train[name].unique() for name in ("user_id", "item_id"))
    model = BiasedMF(len(users) + 1, len(items) + 1, settings.num_factors, pc.mean(train["rating"]).as_py())
    _fit(
        model,
        *_ids(train, users, items),
        torch.from_numpy(train["rating"].to_numpy().astype(np.float32)),
        settings,
    )
    with torch.no_grad():
        ratings, _ = model(*_ids(judged, users, items))
    of_rows: npt.NDArray[np.float64] = ratings.double().numpy()
    return of_rows


def _fit(model: BiasedMF, users: Tensor, items: Tensor, ratings: Tensor, settings: MFSettings) -> None:
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    total_steps = settings.epochs * math.ceil(len(ratings) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total_steps)
    for _ in range(settings.epochs):
        for rows in torch.split(torch.randperm(len(ratings)), BATCH_SIZE):
            rated, squares = model(users[rows], items[rows])
            loss = (rated - ratings[rows]).square().mean() + settings.penalty * squares.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _ids(rows: pa.Table, users: pa.Array, items: pa.Array) -> tuple[Tensor, Tensor]:
    """Row numbers; the last one is of all that is unknown."""
    found = [
        (pc.index_in(rows[name], value_set=known), len(known))
        for name, known in (("user_id", users), ("item_id", items))
    ]
    user_ids, item_ids = (
        torch.from_numpy(pc.fill_null(ids, last).to_numpy().astype(np.int64)) for ids, last in found
    )
    return user_ids, item_ids
