"""Integer codes for weights: signed, symmetric, one scale an output channel, right on every x86 CPU.

Of few bits every code counts: at one bit they are -1 and 1, at two -3, -1, 1 and 3, without a zero. The latter are two
bases of signs, the second half as long as the first: 2a * B1 + a * B2 (residual binarization, arXiv 1711.08760, with
the ratio fixed, so that the sum is one integer and a product with it one product).

Kernels older than VNNI multiply bytes by signed bytes and add two neighbouring products in 16 bits, saturating: two
large weights of one sign side by side give another result there than in the simulation and on newer CPUs. So the grid
of a channel ends at its largest *sum of two neighbours of one sign*, and no such sum can saturate, whatever the
activations are.
"""

import torch
from torch import Tensor

DEAD = 2**-20
"""A channel this much smaller than the largest takes the largest one's grid, and its codes are zeros.

Runtimes add a convolution's bias in 32 bits, in steps of its channel's scale: in steps of next to nothing it would not
fit.
"""
TINIEST = 2**-100
"""What a weight that is all zeros is taken to reach; its scale is still a normal number."""


SIGNS = 2
"""Up to so many bits, codes are sums of signs: odd numbers."""
SAFE = 128
"""What two neighbouring codes may add up to, in magnitude: 255 * 128 = 32,640 fits 16 bits."""


def quantize_channels(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Codes [N, K] as int8 and scales [N] for a weight [N, K]."""
    if bits == 1:
        return _signs(weight)
    reach = pair_reach(weight) if bits == 8 else weight.abs().amax(1)  # two codes of 7 bits cannot saturate
    largest = reach.max().clamp_min(TINIEST)
    dead = largest if bits > SIGNS else TINIEST  # where no code is zero, a step of next to nothing is as near
    scale = torch.where(reach < largest * DEAD, dead, reach) / highest(bits)
    return snap(weight / scale[:, None], bits).to(torch.int8), scale


def highest(bits: int) -> int:
    """The largest code; the lowest is its negative, so that no code lacks its opposite."""
    return (1 << bits - 1) - 1 if bits > SIGNS else (1 << bits) - 1


def pitch(bits: int) -> int:
    """How far codes are apart."""
    return 1 if bits > SIGNS else 2


def snap(values: Tensor, bits: int, beside: Tensor | None = None) -> Tensor:
    """The codes nearest to values that are given in steps; of 8 bits, those that are safe with what stands beside."""
    if bits == 1:
        return torch.ones_like(values).masked_fill(values < 0, -1)
    if bits == SIGNS:
        return values.mul(0.5).floor_().mul_(2).add_(1).clamp_(-highest(bits), highest(bits))
    codes: Tensor = torch.round(values).clamp_(-highest(bits), highest(bits))
    return codes if beside is None or bits < 8 else codes.clamp(-SAFE - beside, SAFE - beside)


def neighbours(width: int) -> list[int | None]:
    """The column that each of `width` columns is multiplied together with; the last of an odd number has none."""
    return [other if (other := column ^ 1) < width else None for column in range(width)]


def keep_pairs(codes: Tensor) -> Tensor:
    """Codes [N, K] of 8 bits with no two neighbours that could saturate: what a pair exceeds by, each gives half of."""
    pairs = torch.nn.functional.pad(codes.int(), (0, codes.shape[1] % 2)).unflatten(1, (-1, 2))
    total = pairs.sum(2)
    excess = (total.abs() - SAFE).clamp_min(0)
    half = torch.stack([excess - excess // 2, excess // 2], 2) * total.sign()[..., None]
    kept: Tensor = (pairs - half).flatten(1)
    return kept[:, : codes.shape[1]].to(torch.int8)


def pair_reach(weight: Tensor) -> Tensor:
    """The largest magnitude in each row that one value, or columns 2i and 2i + 1 where their signs agree, add up to.

    Rounding adds at most 1 to a pair of codes: 255 * (127 + 1) = 32,640 still fits 16 bits.
    """
    pairs = torch.nn.functional.pad(weight, (0, weight.shape[1] % 2)).unflatten(1, (-1, 2))
    return torch.maximum(pairs.clamp_min(0).sum(2), -pairs.clamp_max(0).sum(2)).amax(1)


def _signs(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes -1 and 1, with the mean magnitude as the scale: the closest such matrix (XNOR-Net, arXiv 1603.05279)."""
    scale = weight.abs().mean(1).clamp_min(TINIEST)
    return torch.where(weight < 0, -1, 1).to(torch.int8), scale
