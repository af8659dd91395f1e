"""Attention of one bit: what a softmax gives is one scale, or zero (softmax-aware binarization of BiViT, ICCV 2023).

A share counts where it is at least a quarter of the largest of its row, which scores tell without the softmax: its
score is at least the largest, less ln 4. One scale a head stands for all shares that count, the one with the least
squared error. Gradients pass straight through to the softmax.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

PART = 0.25
"""Of the largest share of a row: what is smaller counts for nothing."""
BEHIND = -math.log(PART)
"""How far a score may be behind the largest."""
HEADED = 4
"""Axes of scores that have one for heads, the second."""


@torch.library.custom_op("vitc::binary_softmax", mutates_args=())
def binary_softmax(scores: Tensor, scale: list[float]) -> Tensor:
    """The scale of its head for each score that is hardly behind the largest of its row, zero for all others."""
    return counting(scores).mul_(per_head(scores, scale))


@binary_softmax.register_fake
def _(scores: Tensor, scale: list[float]) -> Tensor:
    if len(scale) != heads(scores):
        raise ValueError(f"{len(scale)} scales for {heads(scores)} heads")
    return torch.empty_like(scores)


def _keep(ctx: Any, inputs: tuple[Tensor, list[float]], output: Tensor) -> None:  # noqa: ARG001  (torch's names)
    ctx.save_for_backward(inputs[0].softmax(-1))


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    """As if it were the softmax."""
    (shares,) = ctx.saved_tensors
    return shares * (gradient - (gradient * shares).sum(-1, keepdim=True)), None


binary_softmax.register_autograd(_backward, setup_context=_keep)

BINARY = torch.ops.vitc.binary_softmax.default


def counting(scores: Tensor) -> Tensor:
    """1 where a score counts, 0 elsewhere."""
    return (scores >= scores.amax(-1, keepdim=True) - BEHIND).to(scores.dtype)


def exactly(scores: Tensor, scale: object) -> Tensor:  # noqa: ARG001  (called in the operator's place)
    """What it stands for."""
    return scores.softmax(-1)


def heads(scores: Tensor) -> int:
    """How many scales there are for scores."""
    return scores.shape[1] if scores.dim() == HEADED else 1


def per_head(scores: Tensor, scale: Sequence[float]) -> Tensor:
    """One number a head, in the shape in which it meets scores."""
    return scores.new_tensor(scale).view(-1, 1, 1)


class Fit:
    """Sums over images, from which the scales of least squared error follow."""

    def __init__(self) -> None:
        self.shares = self.counted = torch.zeros(())
        self.power = self.elements = 0.0

    def add(self, scores: Tensor) -> None:
        """Take in the scores of a batch."""
        shares, counted = scores.softmax(-1), counting(scores)
        self.shares = self.shares + _by_head(shares * counted)
        self.counted = self.counted + _by_head(counted)
        self.power += float(shares.square().sum(dtype=torch.float64))
        self.elements += shares.numel()

    def scale(self) -> list[float]:
        """For each head the mean of the shares that count: |shares - scale * counting| is least there."""
        return [float(one) for one in (self.shares / self.counted).float()]

    def error(self) -> float:
        """The squared error that is left, as a share of the squares."""
        return 1 - float((self.shares.square() / self.counted).sum()) / self.power

    def density(self) -> float:
        """The share of ones."""
        return float(self.counted.sum()) / self.elements


def _by_head(values: Tensor) -> Tensor:
    return (
        values.flatten(0, -3 if values.dim() < HEADED else 0)
        .view(-1, heads(values), *values.shape[-2:])
        .sum((0, 2, 3), dtype=torch.float64)
    )
