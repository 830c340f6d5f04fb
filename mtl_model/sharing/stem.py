"""Shared and Task-specific EMbeddings (Su et al., AAAI 2024, arxiv.org/abs/2308.13537).

An id of the fields `task_fields` has an embedding per task and a shared one; x_t is the input with task t's,
x_s with the shared ones. A task's experts read its x_t, the shared experts x_s, and

    h_t = sum_e softmax(W_t (x_t + x_s))_e E_e     over all experts, those of other tasks without a gradient

Every task may look at what the others learned; only its own loss moves its embeddings and experts.

Shapes: B = batch, I = input dim, H = expert output dim, T = tasks, E = experts of all tasks and shared ones.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_model.layers.parallel_mlps import ParallelMLPs, parallel_linear
from mtl_model.sharing.sharing import Sharing


class STEM(Sharing):
    """Task-specific experts on task-specific embeddings, read by all tasks."""

    is_own: Tensor  # (T, 1, E): 1 where an expert is the task's or shared

    def __init__(
        self,
        input_dim: int,
        num_shared_experts: int,
        num_task_experts: int,
        expert_hidden_dims: Sequence[int],
        tasks: Sequence[str],
        dropout: float,
    ) -> None:
        super().__init__()
        num_experts = len(tasks) * num_task_experts + num_shared_experts
        self.num_shared_experts, self.num_task_experts = num_shared_experts, num_task_experts
        self.experts = ParallelMLPs(input_dim, num_experts, expert_hidden_dims, dropout)
        self.gates = nn.Linear(input_dim, len(tasks) * num_experts)
        own = torch.eye(len(tasks)).repeat_interleave(num_task_experts, dim=1)
        own = torch.cat([own, torch.ones(len(tasks), num_shared_experts)], dim=1)
        self.register_buffer("is_own", own[:, None], persistent=False)
        self.output_dim = self.experts.output_dim
        self.tasks = tuple(tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (T + 1, B, I), the shared one last, to one hidden (B, H) per task."""
        own, shared = inputs[:-1], inputs[-1:]
        of_tasks = own.repeat_interleave(self.num_task_experts, dim=0)
        outputs = self.experts(torch.cat([of_tasks, shared.expand(self.num_shared_experts, -1, -1)]))
        gates = parallel_linear(self.gates, own + shared, len(self.tasks)).softmax(dim=-1)  # (T, B, E)
        learned = torch.einsum("tbe,ebh->tbh", gates * self.is_own, outputs)
        looked_at = torch.einsum("tbe,ebh->tbh", gates * (1 - self.is_own), outputs.detach())
        return dict(zip(self.tasks, (learned + looked_at).unbind(), strict=True))
