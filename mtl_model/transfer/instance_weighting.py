"""Weighs source rows by how much they look like target rows.

Bickel, Brueckner and Scheffer, JMLR 2009, jmlr.org/papers/v10/bickel09a.html: a logistic regression on the
model's inputs, a weight per id and per number, tells target from source rows. By Bayes' rule it gives

w(x) = p(x | target) / p(x | source) = P(target | x) / P(source | x) * n_source / n_target

clipped at `max_weight`. The mean of w over source rows is 1 before the clipping: losses keep their scale. A
target row has weight 1. Every rank fits the regression by itself, on the same rows: all get the same.

Shapes: B = rows, K = id columns of a row, N = numbers.
"""

import logging
from collections.abc import Iterable
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_model.config import ModelConfig
from mtl_model.data.encode import Batch, Encoder
from mtl_model.data.id_rows import FIRST_KNOWN_ROW, PADDING_ROW, UNKNOWN_ROW
from mtl_model.transfer.config import InstanceWeightingConfig

logger = logging.getLogger(__name__)


class DomainClassifier:
    """The weights of ids (one table for all columns), of numbers, and the bias."""

    def __init__(self, model: ModelConfig, encoder: Encoder, config: InstanceWeightingConfig) -> None:
        self.max_weight = config.max_weight
        excluded = {*config.excluded_fields, model.target_slice.column if model.target_slice else ""}
        columns = [
            (field.name, rows)
            for field, rows in zip(model.scalar_slot_fields, encoder.slot_rows, strict=False)
        ]
        is_list = [False] * len(columns)
        for name, part in encoder.list_columns.items():
            num_rows = len(encoder.of_fields[name]) + FIRST_KNOWN_ROW
            columns += [(name, num_rows)] * (part.stop - part.start)
            is_list += [True] * (part.stop - part.start)
        self.num_rows = torch.tensor([rows for _, rows in columns], dtype=torch.int64)
        starts = dict(zip(dict(columns), accumulate(dict(columns).values(), initial=0), strict=False))
        self.offsets = torch.tensor([starts[name] for name, _ in columns], dtype=torch.int64)
        self.is_list = torch.tensor(is_list, dtype=torch.bool)
        self.reads_ids = torch.tensor([float(name not in excluded) for name, _ in columns])
        self.reads_numbers = torch.tensor([float(name not in excluded) for name in encoder.numeric_columns])
        self.of_ids = torch.zeros(sum(dict(columns).values()), 1, requires_grad=True)
        self.of_numbers = torch.zeros(len(encoder.numeric_columns), requires_grad=True)
        self.bias = torch.zeros((), requires_grad=True)
        self.num_source = self.num_target = 0

    def fit(self, batches: Iterable[Batch], learning_rate: float) -> None:
        """Adagrad on the log loss of each batch."""
        optimizer = torch.optim.Adagrad([self.of_ids, self.of_numbers, self.bias], lr=learning_rate)
        without_checks = torch.sparse.check_sparse_tensor_invariants
        with without_checks(enable=False):  # type: ignore[no-untyped-call]  # torch has no types for it
            for batch in batches:
                if not batch.num_rows:
                    continue
                self.num_target += int(batch.is_target.sum())
                self.num_source += int((~batch.is_target).sum())
                loss = F.binary_cross_entropy_with_logits(self.logits(batch), batch.is_target.float())
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
        logger.info("domain classifier: %d source and %d target rows", self.num_source, self.num_target)

    @property
    def knows_both_domains(self) -> bool:
        return self.num_source > 0 and self.num_target > 0

    def check_domains(self, *, may_lack_one: bool) -> None:
        """Warns where all rows that it was fitted on are of one domain: then every row weighs 1.

        Raises:
            ValueError: if that may not be.
        """
        if self.knows_both_domains:
            return
        found = (
            f"transfer.instance_weighting needs rows of both domains, found {self.num_source} source and "
            f"{self.num_target} target rows"
        )
        if not may_lack_one:
            raise ValueError(f"{found}: look at the bounds of the slice transfer.target")
        logger.warning("%s among those that are new: each weighs 1", found)

    def logits(self, batch: Batch) -> Tensor:
        """log(P(target | x) / P(source | x)) of each row, (B,)."""
        ids = torch.where(batch.ids < self.num_rows, batch.ids, UNKNOWN_ROW)  # a final pass brings new ones
        weights = F.embedding(ids + self.offsets, self.of_ids, sparse=True)[:, :, 0]  # (B, K)
        is_read = self.reads_ids * ~(self.is_list & (batch.ids == PADDING_ROW))
        of_numbers: Tensor = batch.numbers @ (self.of_numbers * self.reads_numbers)
        return (weights * is_read).sum(dim=1) + of_numbers + self.bias

    @torch.no_grad()
    def weigh(self, batch: Batch) -> Batch:
        """Sets the rows' weights; with one domain alone they stay as they are, 1."""
        if not self.knows_both_domains:
            return batch
        ratios = self.logits(batch).exp() * (self.num_source / self.num_target)
        weights = torch.where(batch.is_target, torch.ones_like(ratios), ratios.clamp(max=self.max_weight))
        return batch._replace(weights=weights)
