import torch

from tests.mtl_model.sharing.build_sharing import TASKS, build_sharing, make_inputs, plain_mlp


def test_each_tasks_gate_mixes_the_experts() -> None:
    mmoe = build_sharing("mmoe")
    inputs = make_inputs("mmoe", 5)

    hidden = mmoe(inputs)

    outputs = [plain_mlp(mmoe.experts, expert)(inputs) for expert in range(3)]
    for position, task in enumerate(TASKS):
        rows = slice(position * 3, position * 3 + 3)
        gate = torch.softmax(inputs @ mmoe.gates.weight[rows].T + mmoe.gates.bias[rows], dim=1)
        expected = sum(gate[:, [expert]] * outputs[expert] for expert in range(3))
        torch.testing.assert_close(hidden[task], expected)


def test_one_gate_mixes_the_experts_for_all_tasks() -> None:
    omoe = build_sharing("omoe")
    inputs = make_inputs("omoe", 5)

    hidden = omoe(inputs)

    gate = torch.softmax(omoe.gate(inputs), dim=1)
    expected = sum(gate[:, [expert]] * plain_mlp(omoe.experts, expert)(inputs) for expert in range(3))
    for task in TASKS:
        torch.testing.assert_close(hidden[task], expected)
