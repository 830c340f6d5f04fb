import torch

from mtl_model.layers.embedding import FusedEmbedding


def test_each_slot_reads_its_own_rows() -> None:
    embedding = FusedEmbedding(slot_rows=[3, 2, 4], slot_dims=[2, 2, 2])
    table = embedding.tables["2"]

    (output,) = embedding(torch.tensor([[2, 0, 3], [0, 1, 0]]))

    assert torch.equal(output[0], torch.cat([table[2], table[3], table[8]]))
    assert torch.equal(output[1], torch.cat([table[0], table[4], table[5]]))


def test_slots_of_different_dims_have_a_table_each() -> None:
    embedding = FusedEmbedding(slot_rows=[3, 2, 4], slot_dims=[2, 5, 2])

    outputs = embedding(torch.tensor([[2, 1, 3]]))

    assert [tuple(output.shape) for output in outputs] == [(1, 4), (1, 5)]
    assert embedding.output_dim == 9
    assert torch.equal(outputs[0][0], torch.cat([embedding.tables["2"][2], embedding.tables["2"][6]]))
    assert torch.equal(outputs[1][0], embedding.tables["5"][1])


def test_the_gradient_reaches_the_rows_looked_up_and_no_other() -> None:
    embedding = FusedEmbedding(slot_rows=[3, 3], slot_dims=[2, 2])

    embedding(torch.tensor([[1, 2]]))[0].sum().backward()

    gradient = embedding.tables["2"].grad
    assert gradient is not None
    assert gradient[:, 0].tolist() == [0, 1, 0, 0, 0, 1]


def test_a_sparse_gradient_holds_the_rows_looked_up_and_no_other() -> None:
    dense, sparse = (FusedEmbedding([3, 3], [2, 2], sparse_gradients=choice) for choice in (False, True))
    ids, factors = torch.tensor([[1, 2], [0, 2]]), torch.arange(8.0).view(2, 4)

    for embedding in (dense, sparse):
        torch.autograd.backward((embedding(ids)[0] * factors).sum())

    expected, gradient = dense.tables["2"].grad, sparse.tables["2"].grad
    assert expected is not None
    assert gradient is not None
    assert gradient._indices().tolist() == [[1, 5, 0, 5]]
    assert torch.equal(gradient.to_dense(), expected)
    assert (dense.sparse_parameters(), sparse.sparse_parameters()) == ([], ["tables.2"])


def test_a_slot_with_copies_has_several_embeddings_per_id() -> None:
    embedding = FusedEmbedding(slot_rows=[3, 4, 2], slot_dims=[2, 5, 2], slot_copies=[3, 1, 3])
    copied, common = embedding.tables["2x3"], embedding.tables["5"]

    outputs = embedding(torch.tensor([[2, 3, 1], [0, 0, 0]]))

    assert (embedding.output_dim, embedding.num_copies) == (9, 3)
    by_width = {output.shape[2]: output for output in outputs}
    assert by_width[4].shape == (3, 2, 4)
    for copy in range(3):
        columns = slice(2 * copy, 2 * copy + 2)
        assert torch.equal(by_width[4][copy, 0], torch.cat([copied[2, columns], copied[4, columns]]))
        assert torch.equal(by_width[5][copy], common[torch.tensor([3, 0])])


def test_no_slots_give_no_embeddings() -> None:
    assert FusedEmbedding(slot_rows=[], slot_dims=[])(torch.empty(4, 0, dtype=torch.int64)) == []
