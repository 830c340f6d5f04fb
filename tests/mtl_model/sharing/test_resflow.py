import torch

from tests.mtl_model.sharing.build_sharing import TASKS, build_sharing, make_inputs, plain_mlp


def test_each_layer_adds_to_that_of_the_task_before() -> None:
    resflow = build_sharing("resflow")
    inputs = make_inputs("resflow", 5)

    hidden = resflow(inputs)

    click, cart, buy = inputs, inputs, inputs
    for layer in resflow.layers:
        click = plain_mlp(layer, 0)(click)
        cart = plain_mlp(layer, 1)(cart) + click
        buy = plain_mlp(layer, 2)(buy) + cart
    for task, expected in zip(TASKS, (click, cart, buy), strict=True):
        torch.testing.assert_close(hidden[task], expected)


def test_each_logit_adds_to_that_of_the_task_before() -> None:
    heads = {task: torch.tensor([[value]]) for task, value in zip(TASKS, (1.0, -2.0, -4.0), strict=True)}

    joined = build_sharing("resflow").join_logits({}, heads)

    assert {task: logit.item() for task, logit in joined.items()} == {"click": 1.0, "cart": -1.0, "buy": -5.0}
