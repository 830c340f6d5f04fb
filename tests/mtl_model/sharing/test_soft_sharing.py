"""L2-tied and cross-stitched bottoms, and task embeddings."""

import torch
from torch.nn import functional as F

from tests.mtl_model.sharing.build_sharing import TASKS, build_sharing, make_inputs, plain_mlp


def test_the_tie_is_the_squared_distance_from_the_mean_bottom() -> None:
    tied = build_sharing("l2_tied")
    bottoms = [
        torch.cat([weight.flatten() for weight in plain_mlp(tied.bottoms, position).parameters()])
        for position in range(len(TASKS))
    ]

    penalty = tied.penalty([])

    mean = sum(bottoms) / len(TASKS)
    expected = 0.1 * sum(((bottom - mean) ** 2).sum() for bottom in bottoms)
    torch.testing.assert_close(penalty, expected)


def test_the_tie_draws_each_bottom_to_the_mean() -> None:
    tied = build_sharing("l2_tied")

    torch.autograd.backward(tied.penalty([]))

    bias = tied.bottoms.biases[0]
    torch.testing.assert_close(bias.grad, 2 * 0.1 * (bias - bias.mean(dim=0)).detach())


def test_a_stitch_mixes_the_layers_of_all_tasks() -> None:
    stitched = build_sharing("cross_stitch")
    inputs = make_inputs("cross_stitch", 5)

    hidden = stitched(inputs)

    expected = [inputs] * len(TASKS)
    for layer, stitch in zip(stitched.layers, stitched.stitches, strict=True):
        torch.testing.assert_close(stitch.sum(dim=1), torch.ones(3).double())
        own = [plain_mlp(layer, position)(rows) for position, rows in enumerate(expected)]
        expected = [sum(stitch[t, s] * own[s] for s in range(3)) for t in range(3)]
    for position, task in enumerate(TASKS):
        torch.testing.assert_close(hidden[task], expected[position])


def test_a_single_task_has_nothing_to_stitch() -> None:
    stitched = build_sharing("cross_stitch", tasks=["click"])
    inputs = make_inputs("cross_stitch", 5)

    expected = plain_mlp(stitched.layers[1], 0)(plain_mlp(stitched.layers[0], 0)(inputs))

    torch.testing.assert_close(stitched(inputs)["click"], expected)


def test_a_task_embedding_scales_and_shifts_each_layer() -> None:
    modulated = build_sharing("task_embedding")
    inputs = make_inputs("task_embedding", 5)

    hidden = modulated(inputs)

    for position, task in enumerate(TASKS):
        expected = inputs
        for layer, film in zip(modulated.layers, modulated.films, strict=True):
            gamma, beta = film(modulated.embeddings[position]).chunk(2)
            features = F.layer_norm(torch.relu(layer(expected)), (layer.out_features,))
            expected = (1 + gamma) * features + beta
        torch.testing.assert_close(hidden[task], expected)
