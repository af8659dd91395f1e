"""What training runs on: one CPU or GPU, or as many as `accelerate launch` started processes for."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

from .duration import BF16, FP32

TURNS = 2
"""That a mean is of, at least."""


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


def seconds(works: Mapping[str, Callable[[], object]], device: torch.device, least: float = 0.0) -> dict[str, float]:
    """How long each of some works takes, once it is warm: the mean of two times, or of as many as take `least` seconds.

    They take turns, so that a machine that is fast and slow by turns is so to all of them.
    """
    found: dict[str, list[float]] = {name: [] for name in works}
    turns = 0
    while turns <= TURNS or sum(sum(times[1:]) for times in found.values()) < least:
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            found[name].append(time.perf_counter() - started)
        turns += 1
    return {name: sum(times[1:]) / len(times[1:]) for name, times in found.items()}
