"""What an inference would take on a chip of 45 nm: a model, not a measurement, and never shown as one.

Energy of an operation and of a read from DRAM: Horowitz, "Computing's energy problem", ISSCC 2014, as EcoFormer
(arXiv 2209.09004) and ShiftAddViT (arXiv 2306.06446) count them: a multiply-accumulate is a multiplication and an
addition of its width; where a factor has one bit, only the addition is left. Memory is every byte of the file, read
once. Values on the way, softmax and the like are not in the model.

Operations as binary networks count them (Bi-Real Net, arXiv 1808.00278; BiViT, arXiv 2211.07091):
OPs = BOPs / 64 + FLOPs, where a multiply-accumulate of a and b bits is a x b BOPs, and a float one is one FLOP.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

MULTIPLY = {32: 3.7, 16: 1.1, 8: 0.2}
ADD = {32: 0.9, 16: 0.4, 8: 0.03}
"""Picojoules; 32 and 16 bits are floats, 8 bits are integers, and fewer bits are counted as 8."""
DRAM = 640 / 32
"""Picojoules a bit."""
FLOAT = 32
BINARY_IN_A_WORD = 64


@dataclass(frozen=True)
class Modelled:
    """Operations, and millijoules of arithmetic and of memory, of one image."""

    ops: int
    arithmetic_mj: float
    memory_mj: float


def modelled(macs: Mapping[str, int], size: int, *, exact_floats: bool) -> Modelled:
    """From multiply-accumulates by their bits (`w1a8`), and a file's bytes; floats that are not exact have 16 bits."""
    ops = picojoules = 0.0
    for name, count in macs.items():
        weight, activation = bits_of(name)
        if max(weight, activation) < FLOAT:
            ops += count * weight * activation / BINARY_IN_A_WORD
            picojoules += count * (ADD[8] + (MULTIPLY[8] if min(weight, activation) > 1 else 0.0))
        else:
            width = FLOAT if exact_floats else FLOAT // 2
            ops += count
            picojoules += count * (ADD[width] + MULTIPLY[width])
    return Modelled(round(ops), picojoules / 1e9, 8 * size * DRAM / 1e9)


def bits_of(name: str) -> tuple[int, int]:
    """Of `w1a8`: 1 and 8."""
    found = re.fullmatch(r"w(\d+)a(\d+)", name)
    if found is None:
        raise ValueError(f"{name!r} names no bits of two factors, as w8a8 does")
    return int(found[1]), int(found[2])
