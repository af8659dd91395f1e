"""How far a student's answers are from what is wanted: soft shares, what the last layer reads, and labels if there are.

Distillation as in arXiv 1503.02531; features beside logits as in TinyBERT, arXiv 1909.10351, at the last layer only.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Wanted:
    """What a batch should come to."""

    shares: Tensor
    """[B, classes]."""
    features: Tensor | None = None
    labels: Tensor | None = None


@dataclass(frozen=True)
class Weights:
    """What each part counts for, beside 1 for the shares."""

    features: float = 0.5
    labels: float = 0.5


def loss(logits: Tensor, features: Tensor | None, wanted: Wanted, weights: Weights) -> Tensor:
    """Of a batch, in the mean over its images."""
    found = logits.float().log_softmax(1)
    total = functional.kl_div(found, wanted.shares, reduction="batchmean")
    if features is not None and wanted.features is not None:
        total = total + weights.features * distance(features, wanted.features)
    if wanted.labels is not None:
        total = total + weights.labels * functional.nll_loss(found, wanted.labels)
    return total


def distance(features: Tensor, wanted: Tensor) -> Tensor:
    """The squared distance of features, as a share of how much the wanted ones differ among themselves."""
    apart = (features.float() - wanted).square().mean()
    return apart / (wanted - wanted.mean(0)).square().mean().clamp_min(torch.finfo(torch.float32).tiny)
