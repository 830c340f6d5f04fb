import logging
from pathlib import Path

import pytest
import torch

from mtl_model.layers import precision
from mtl_model.layers.precision import choose_precision, why_bf16_is_slow
from mtl_model.training.config import Precision


@pytest.mark.parametrize(
    ("flags", "is_slow"), [("avx512_bf16", True), ("avx512_bf16 amx_bf16 amx_tile", False)]
)
def test_bf16_is_fast_on_a_matrix_unit(flags: str, is_slow: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags}\n")

    assert bool(why_bf16_is_slow(torch.device("cpu"), tmp_path / "cpuinfo")) is is_slow


@pytest.mark.parametrize(
    ("lack", "chosen"),
    [
        ("this processor has no AMX", {"fp32": "fp32", "bf16": "bf16", "auto": "fp32"}),
        (None, {"fp32": "fp32", "bf16": "bf16", "auto": "bf16"}),
    ],
)
def test_auto_is_bf16_where_it_is_fast(
    lack: str | None,
    chosen: dict[Precision, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(precision, "why_bf16_is_slow", lambda device: lack)
    warned = {}

    for name, expected in chosen.items():
        caplog.clear()
        assert choose_precision(name, torch.device("cpu")) == expected
        warned[name] = any(record.levelno == logging.WARNING for record in caplog.records)

    assert warned == {"fp32": False, "bf16": bool(lack), "auto": False}
