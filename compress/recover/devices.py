"""What training runs on: one CPU or GPU, or as many as `accelerate launch` started processes for."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

from .duration import BF16, FP32


def accelerator() -> "Accelerator":
    """This process's part in the training."""
    from accelerate import Accelerator

    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")  # precision is this package's own


def precisions(device: torch.device) -> tuple[str, ...]:
    """What is worth trying on a device: half precision where it multiplies in it."""
    if device.type == "cuda":
        return (FP32, BF16) if torch.cuda.is_bf16_supported() else (FP32,)
    return (FP32, BF16) if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else (FP32,)


def arithmetic(precision: str, device: torch.device) -> torch.autocast:
    """Products in a precision, as long as it is entered."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == BF16)


def seconds(work: Callable[[], object], device: torch.device, times: int = 2, least: float = 0.0) -> float:
    """How long some work takes, once it is warm; the mean of so many times, and of as many as take `least` seconds."""
    found: list[float] = []
    while len(found) <= times or sum(found[1:]) < least:
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return sum(found[1:]) / len(found[1:])
