"""How much, mostly nothing: zero-inflated lognormal (Wang, Liu and Miao, 2019, arxiv.org/abs/1912.07753).

For a value y with p = P(y > 0) and log y ~ Normal(mu, sigma^2) where y > 0:

    loss = BCE(y > 0, p) + [y > 0] (log y + log sigma + log(2 pi) / 2 + (log y - mu)^2 / (2 sigma^2))
    E[y] = p exp(mu + sigma^2 / 2)

Labels are integers in minor units of money (cents); inside, y is in major units, which keeps mu near 0.
sigma is clipped and the expectation capped: exp(sigma^2 / 2) would otherwise let a few rows own the ranking.

Shapes: B = batch; the three logits are (logit of p, mu, raw sigma).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MINOR_UNITS = 100.0
MIN_SIGMA, MAX_SIGMA = 0.05, 2.0
MAX_LOG_VALUE = math.log(100_000.0)


class ZeroInflatedLognormalHead(nn.Module):
    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, 3)

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps hidden (B, input_dim) to logits (B, 3)."""
        logits: Tensor = self.linear(hidden)
        return logits

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Maps logits (B, 3) and values in minor units (B, 1) to losses (B,)."""
        logit, mu, sigma = _split(logits)
        values = labels[:, 0] / MINOR_UNITS
        nothing = (
            values <= 0
        )  # so that a value that is not a number reaches the loss, which stops the training
        log_values = torch.log(torch.where(nothing, 1.0, values))  # no log of 0, nor its gradient
        deviations = (log_values - mu) / sigma
        density = log_values + torch.log(sigma) + 0.5 * math.log(2 * math.pi) + 0.5 * deviations.square()
        happened = F.binary_cross_entropy_with_logits(logit, (~nothing).float(), reduction="none")
        return happened + torch.where(nothing, 0.0, density)

    def least_row_losses(self, labels: Tensor) -> Tensor:
        """The least that `row_losses` can be, below 0 for small values: p = 1, mu = log y, least sigma."""
        values = labels[:, 0] / MINOR_UNITS
        log_values = torch.log(torch.where(values > 0, values, 1.0))
        least = log_values + math.log(MIN_SIGMA) + 0.5 * math.log(2 * math.pi)
        return torch.where(values > 0, least, 0.0)

    def predict(self, logits: Tensor, log_sampling_rate: float) -> Tensor:
        """Maps logits (B, 3) to expected values in minor units (B,)."""
        logit, mu, sigma = _split(logits)
        log_mean = (mu + 0.5 * sigma.square()).clamp(max=MAX_LOG_VALUE)
        return MINOR_UNITS * torch.sigmoid(logit + log_sampling_rate) * torch.exp(log_mean)


def _split(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logit of p, mu and sigma, (B,) each, in fp32 whatever the model computes in."""
    logit, mu, raw_sigma = logits.float().unbind(dim=1)
    return logit, mu, F.softplus(raw_sigma).clamp(MIN_SIGMA, MAX_SIGMA)
