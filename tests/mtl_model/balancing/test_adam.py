import numpy as np
import torch

from mtl_model.balancing.adam import adam_change, adam_state


def test_it_is_the_adam_of_torch() -> None:
    gradients = np.random.default_rng(1).normal(size=(5, 3))
    expected = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([expected], lr=0.1)
    values, state = np.zeros(3), adam_state(3)

    for gradient in gradients:
        expected.grad = torch.from_numpy(gradient)
        optimizer.step()
        values = values + adam_change(state, gradient, 0.1, np.ones(3, dtype=bool))

    np.testing.assert_allclose(values, expected.detach().numpy(), rtol=1e-12)


def test_a_task_that_is_not_updated_is_as_if_the_step_had_not_been() -> None:
    first, second = np.array([1.0, 2.0]), np.array([3.0, -1.0])
    state, shorter = adam_state(2), adam_state(2)
    both = np.array([True, True])

    adam_change(state, first, 0.1, both)
    change = adam_change(state, np.array([5.0, 9.0]), 0.1, np.array([True, False]))
    last = adam_change(state, second, 0.1, both)
    adam_change(shorter, first, 0.1, both)

    assert change[1] == 0
    assert last[1] == adam_change(shorter, second, 0.1, both)[1]
