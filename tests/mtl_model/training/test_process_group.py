import pytest
import torch

from mtl_model.training.process_group import gpu_of


def test_a_process_has_the_gpu_of_its_number() -> None:
    assert gpu_of(local_rank=1, num_gpus=2) == torch.device("cuda", 1)


def test_more_processes_than_gpus_are_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"process 2 of this node, which has 1 GPUs: .*--nproc-per-node 1"):
        gpu_of(local_rank=1, num_gpus=1)
