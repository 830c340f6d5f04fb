import logging
from pathlib import Path

import pytest
import torch

from mtl_model.layers.precision import warn_of_slow_bf16, why_bf16_is_slow


@pytest.mark.parametrize(
    ("flags", "is_slow"), [("avx512_bf16", True), ("avx512_bf16 amx_bf16 amx_tile", False)]
)
def test_bf16_is_fast_on_a_matrix_unit(flags: str, is_slow: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags}\n")

    assert bool(why_bf16_is_slow(torch.device("cpu"), tmp_path / "cpuinfo")) is is_slow


def test_a_training_in_fp32_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_slow_bf16("fp32", torch.device("cpu"))

    assert not caplog.records
