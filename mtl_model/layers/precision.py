"""bf16: the dense part of a training step in half the bits, its weights and sums of losses in fp32.

bfloat16 keeps the range of float32 with 8 significant bits, so no loss needs scaling (Kalamkar et al., 2019,
arxiv.org/abs/1905.12322).
"""

import logging
from pathlib import Path

import torch
from torch import Tensor

from mtl_model.training.config import Precision

logger = logging.getLogger(__name__)

CPU_INFO = Path("/proc/cpuinfo")


def match_autocast(*tensors: Tensor) -> list[Tensor]:
    """The tensors in autocast's type where it is on: it does not reach into a backward pass of our own."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors]


def why_bf16_is_slow(device: torch.device, cpu_info: Path = CPU_INFO) -> str | None:
    """What the device lacks to be faster in bf16 than in fp32; None where it lacks nothing."""
    if device.type == "cuda":
        return None if torch.cuda.is_bf16_supported(including_emulation=False) else "this GPU has no bf16"
    flags = cpu_info.read_text() if cpu_info.is_file() else ""
    return None if "amx_bf16" in flags else "this processor has no AMX matrix unit for bf16"


def choose_precision(precision: Precision, device: torch.device) -> Precision:
    """fp32 or bf16; of `auto` the faster one on this device."""
    lack = why_bf16_is_slow(device) if precision != "fp32" else None
    if precision == "bf16" and lack:
        logger.warning("training.precision is bf16, but %s: fp32 is likely to be faster here", lack)
    if precision != "auto":
        return precision
    chosen: Precision = "fp32" if lack else "bf16"
    logger.info("training.precision is auto: %s here%s", chosen, f", for {lack}" if lack else "")
    return chosen
