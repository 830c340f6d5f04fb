"""HoME: Hierarchy of Multi-gate Experts (Wang et al., 2024, arxiv.org/abs/2408.05430).

Tasks stand in groups. Experts of the first level belong to a group or are shared, those of the second to a
task, a group or are shared; who may read which is the hierarchy mask:

    expert:        E_e(x) = MLP_e(x * 2 sigmoid(x A_e B_e)), layers Swish(LayerNorm(.)), A_e B_e of low rank
    mixture:       z_m = sum_e softmax(W_m x)_e E_e(x)  over the experts that m may read
                       + sum_e self_gate_m(x)_e E_e(x)  over m's own; sigmoid for one, softmax for several
    first level:   a mixture per group, of its own and the shared experts, and a shared one of all experts
    second level:  a mixture per task, of its own, its group's and the shared experts; experts of tasks and
                   groups and the gates read the group's z, shared experts the shared z

LayerNorm stands where the paper has BatchNorm: a score must not depend on the rows beside it.

Shapes: B = batch, I = a level's input dim, H = expert output dim, E = experts, M = mixtures, R = gate rank,
G = groups, T = tasks.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_model.layers.parallel_layer import parallel_layer
from mtl_model.layers.parallel_mlps import ParallelMLPs, parallel_linear
from mtl_model.sharing.sharing import Sharing

SHARED = None  # the owner of shared experts


class HoME(Sharing):
    """Two levels: from the inputs to the groups, from the groups to the tasks."""

    def __init__(
        self,
        input_dim: int,
        groups: Mapping[str, Sequence[str]],
        num_shared_experts: int,
        num_group_experts: int,
        num_task_experts: int,
        expert_hidden_dims: Sequence[int],
        feature_gate_rank: int,
        tasks: Sequence[str],
        dropout: float,
    ) -> None:
        super().__init__()
        self.tasks, self.output_dim = tuple(tasks), expert_hidden_dims[-1]
        group_of = {task: group for group, members in groups.items() for task in members}
        shared: list[str | None] = [SHARED] * num_shared_experts
        of_groups = [group for group in groups for _ in range(num_group_experts)] + shared
        of_tasks = [task for task in tasks for _ in range(num_task_experts)]

        expert_settings = (expert_hidden_dims, feature_gate_rank, dropout)
        reads = {group: {group, SHARED} for group in groups} | {SHARED: {*groups, SHARED}}
        self.groups = Level(input_dim, of_groups, reads, *expert_settings)
        reads_of_tasks = {task: {task, group_of[task], SHARED} for task in tasks}
        self.second = Level(self.output_dim, of_tasks + of_groups, reads_of_tasks, *expert_settings)

        row = {owner: position for position, owner in enumerate([*groups, SHARED])}
        row |= {task: row[group_of[task]] for task in tasks}
        self.expert_rows = [row[owner] for owner in of_tasks + of_groups]
        self.gate_rows = [row[task] for task in tasks]

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Maps inputs (B, I) to one hidden (B, H) per task."""
        mixtures = self.groups(inputs, inputs)  # (G + 1, B, H)
        hidden = self.second(mixtures[self.expert_rows], mixtures[self.gate_rows])  # (T, B, H)
        return dict(zip(self.tasks, hidden.unbind(), strict=True))


class Level(nn.Module):
    """`owners` of the experts; `reads`: for each mixture the owners whose experts it reads."""

    is_read: Tensor  # (M, 1, E)
    is_own: Tensor  # (M, 1, E)

    def __init__(
        self,
        input_dim: int,
        owners: Sequence[str | None],
        reads: Mapping[str | None, set[str | None]] | Mapping[str, set[str | None]],
        expert_hidden_dims: Sequence[int],
        feature_gate_rank: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.owners, self.readers = tuple(owners), tuple(reads)
        self.num_experts, self.num_mixtures = len(owners), len(reads)
        self.experts = SwishMLPs(input_dim, len(owners), expert_hidden_dims, dropout)
        self.feature_down = nn.Linear(input_dim, len(owners) * feature_gate_rank)
        bound = feature_gate_rank**-0.5
        up = torch.empty(len(owners), feature_gate_rank, input_dim).uniform_(-bound, bound)
        self.feature_up = nn.Parameter(up)
        self.gates = nn.Linear(input_dim, len(reads) * len(owners))
        self.self_gates = nn.Linear(input_dim, len(reads) * len(owners))
        is_read = [[owner in read for owner in owners] for read in reads.values()]
        is_own = [[owner == reader for owner in owners] for reader in reads]
        self.register_buffer("is_read", torch.tensor(is_read)[:, None], persistent=False)
        self.register_buffer("is_own", torch.tensor(is_own)[:, None], persistent=False)

    def forward(self, expert_inputs: Tensor, gate_inputs: Tensor) -> Tensor:
        """Maps common inputs (B, I), or each expert's (E, B, I) and gate's (M, B, I), to (M, B, H)."""
        down = parallel_linear(self.feature_down, expert_inputs, self.num_experts)  # (E, B, R)
        outputs = self.experts(expert_inputs * 2 * torch.bmm(down, self.feature_up).sigmoid())  # (E, B, H)
        gates = parallel_linear(self.gates, gate_inputs, self.num_mixtures)  # (M, B, E)
        gates = gates.masked_fill(~self.is_read, -torch.inf).softmax(dim=-1)
        own = parallel_linear(self.self_gates, gate_inputs, self.num_mixtures)
        among_several = own.masked_fill(~self.is_own, -torch.inf).softmax(dim=-1)
        is_alone = self.is_own.sum(dim=-1, keepdim=True) == 1
        self_gates = torch.where(is_alone, own.sigmoid() * self.is_own, among_several)
        return torch.einsum("mbe,ebh->mbh", gates + self_gates, outputs)


class SwishMLPs(ParallelMLPs):
    """Normalised before the activation: no expert's outputs are mostly zero, nor larger than another's."""

    def _activate(self, inputs: Tensor, weight: Tensor, bias: Tensor | None, shares: Sequence[int]) -> Tensor:
        hidden = parallel_layer(inputs, weight, bias, shares, linear_only=True)
        return self._drop(F.silu(F.layer_norm(hidden, hidden.shape[-1:])))
