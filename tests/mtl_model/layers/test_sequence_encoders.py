"""Rules that hold for every encoder of sequences, and each one's formula."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_model.layers.cnn import SequenceCNN
from mtl_model.layers.din import DIN
from mtl_model.layers.mean_pooling import MeanPooling
from mtl_model.layers.transformer import SequenceTransformer

DIM, LENGTH = 8, 5
MASKS = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]])
Encoder = MeanPooling | SequenceCNN | DIN | SequenceTransformer

BUILDERS: dict[str, Callable[[], Encoder]] = {
    "mean_pooling": lambda: MeanPooling(DIM),
    "cnn": lambda: SequenceCNN(DIM, num_filters=4, filter_widths=[1, 2, 3]),
    "din": lambda: DIN(DIM, hidden_dims=[16], dropout=0.0),
    "transformer": lambda: SequenceTransformer(
        DIM, max_length=10, num_layers=2, num_heads=2, feedforward_dim=16, dropout=0.0
    ),
}


@pytest.fixture(params=BUILDERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    torch.manual_seed(0)
    return BUILDERS[request.param]()


def make_sequences() -> Tensor:
    return torch.randn(len(MASKS), LENGTH, DIM, generator=torch.Generator().manual_seed(1))


def encode(encoder: Encoder, sequences: Tensor, masks: Tensor) -> Tensor:
    """With the same target for every row."""
    if isinstance(encoder, DIN):
        targets = torch.linspace(-1, 1, DIM).expand(len(sequences), DIM)
        with_target: Tensor = encoder(sequences, masks, targets)
        return with_target
    encoded: Tensor = encoder(sequences, masks)
    return encoded


@pytest.mark.parametrize("garbage", [1e3, float("inf"), float("nan")])
def test_what_stands_in_the_padding_does_not_matter(encoder: Encoder, garbage: float) -> None:
    sequences = make_sequences()
    spoilt = torch.where(MASKS[:, :, None] == 0, garbage, sequences)

    torch.testing.assert_close(encode(encoder, spoilt, MASKS), encode(encoder, sequences, MASKS))


def test_the_amount_of_padding_does_not_matter(encoder: Encoder) -> None:
    sequences = make_sequences()

    longer = encode(encoder, F.pad(sequences, (0, 0, 0, 3)), F.pad(MASKS, (0, 3)))

    torch.testing.assert_close(longer, encode(encoder, sequences, MASKS))


@pytest.mark.parametrize("training", [True, False])
def test_an_empty_sequence_gives_zeros_and_a_finite_gradient(encoder: Encoder, training: bool) -> None:
    encoder.train(training)
    sequences = make_sequences().requires_grad_()

    encoded = encode(encoder, sequences, MASKS)
    torch.autograd.backward(encoded.square().sum())

    assert encoded.shape == (len(MASKS), encoder.output_dim)
    assert (encoded[2] == 0).all()
    assert sequences.grad is not None
    assert torch.isfinite(sequences.grad).all()
    assert (sequences.grad[MASKS == 0] == 0).all()
    assert (sequences.grad[0].abs().sum(dim=1) > 0).all() or isinstance(encoder, SequenceCNN)
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


def test_a_batch_of_empty_sequences_still_reaches_every_weight(encoder: Encoder) -> None:
    encoded = encode(encoder, make_sequences(), torch.zeros_like(MASKS)).requires_grad_()

    torch.autograd.backward(encoded.sum())

    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name  # DDP waits for it
        assert (weight.grad == 0).all(), name


def test_no_rows_at_all_reach_every_weight(encoder: Encoder) -> None:
    """A rank whose files end early still trains in step with the others."""
    sequences = make_sequences()[:0].requires_grad_()

    encoded = encode(encoder.train(), sequences, MASKS[:0] > 0)

    assert encoded.shape == (0, encoder.output_dim)
    if list(encoder.parameters()):
        torch.autograd.backward(encoded.sum())
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name  # DDP waits for it
        assert (weight.grad == 0).all(), name


def test_a_row_is_encoded_alone_as_among_others(encoder: Encoder) -> None:
    sequences = make_sequences()

    torch.testing.assert_close(
        encode(encoder, sequences[1:2], MASKS[1:2]), encode(encoder, sequences, MASKS)[1:2]
    )


def test_the_mean_is_over_the_items_that_are_there() -> None:
    sequences = make_sequences()

    pooled = MeanPooling(DIM)(sequences, MASKS)

    torch.testing.assert_close(pooled[1], (sequences[1, 0] + sequences[1, 1]) / 2)


def test_a_filter_answers_to_neighbours() -> None:
    cnn = SequenceCNN(1, num_filters=1, filter_widths=[2])
    convolution = cnn.convolutions[0]
    assert isinstance(convolution, torch.nn.Conv1d)
    convolution.weight.data = torch.tensor([[[1.0, 2.0]]])
    convolution.bias = torch.nn.Parameter(torch.zeros(1))

    encoded = cnn(torch.tensor([[[1.0], [5.0], [3.0], [9.0]]]), torch.tensor([[1, 1, 1, 0]]))

    assert encoded.tolist() == [[11.0]]  # 1 + 2 * 5 = 11, 5 + 2 * 3 = 11, 3 + 0


def test_din_weighs_each_item_by_its_bearing_on_the_target() -> None:
    torch.manual_seed(0)
    din = DIN(DIM, hidden_dims=[16], dropout=0.0)
    sequences, targets = make_sequences(), torch.randn(len(MASKS), DIM)

    encoded = din(sequences, MASKS, targets)

    expected = torch.zeros(DIM)
    for item in sequences[1, :2]:
        pair = torch.cat([item, targets[1], item - targets[1], item * targets[1]])
        expected = expected + din.weight(din.attention(pair)) * item
    torch.testing.assert_close(encoded[1], expected)
    assert not torch.allclose(din(sequences, MASKS, -targets)[1], encoded[1])


def test_the_transformer_reads_the_order_and_only_what_is_there() -> None:
    torch.manual_seed(0)
    transformer = SequenceTransformer(DIM, 10, num_layers=1, num_heads=1, feedforward_dim=16, dropout=0.0)
    torch.nn.init.normal_(transformer.positions)
    sequences = make_sequences()[1:2]

    encoded = transformer(sequences, MASKS[1:2])

    (layer,) = transformer.layers
    assert isinstance(layer, torch.nn.TransformerEncoderLayer)
    hidden = sequences[0, :2] + transformer.positions[:2]
    query, key, value = (
        layer.norm1(hidden) @ weight.T + bias
        for weight, bias in zip(
            layer.self_attn.in_proj_weight.chunk(3), layer.self_attn.in_proj_bias.chunk(3), strict=True
        )
    )
    attended = (query @ key.T / math.sqrt(DIM)).softmax(dim=1) @ value
    hidden = hidden + layer.self_attn.out_proj(attended)
    hidden = hidden + layer.linear2(torch.relu(layer.linear1(layer.norm2(hidden))))
    torch.testing.assert_close(encoded[0], hidden.mean(dim=0))
    assert not torch.allclose(transformer(sequences[:, [1, 0, 2, 3, 4]], MASKS[1:2]), encoded)


def test_a_sequence_beyond_the_longest_is_refused() -> None:
    transformer = SequenceTransformer(DIM, 3, num_layers=1, num_heads=1, feedforward_dim=16, dropout=0.0)

    with pytest.raises(ValueError, match="a sequence has 5 items, but max_length is 3"):
        transformer(make_sequences(), MASKS)
