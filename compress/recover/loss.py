"""How far a student's answers are from what is wanted: soft shares, features, and labels if there are any.

Distillation as in arXiv 1503.02531; features beside logits as in TinyBERT, arXiv 1909.10351.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

LAST = ""
"""The name of what the last layer reads, among features that are called by the layers that they lie behind."""
FLOOR = 0.01
"""What every channel differs by at least, of the mean."""


@dataclass(frozen=True)
class Feature:
    """What a feature should come to."""

    wanted: Tensor
    """[B, ...]."""
    variance: Tensor
    """[...], of the wanted ones in each channel."""

    def distance(self, found: Tensor) -> Tensor:
        """The squared distance, as a share of how much the wanted ones differ: each channel for itself."""
        return ((found.float() - self.wanted).square() / self.variance).mean()


@dataclass(frozen=True)
class Wanted:
    """What a batch should come to."""

    shares: Tensor
    """[B, classes]."""
    features: Mapping[str, Feature] = field(default_factory=dict)
    labels: Tensor | None = None
    told: Tensor | None = None
    """[B], whether the shares of an image are learned; None where all are."""


@dataclass(frozen=True)
class Weights:
    """What each part counts for."""

    shares: float = 1.0
    features: float = 1.0
    """Of what the last layer reads."""
    stages: float = 1.0
    """Of all other features together."""
    labels: float = 0.5


def loss(logits: Tensor, features: Mapping[str, Tensor], wanted: Wanted, weights: Weights) -> Tensor:
    """Of a batch, in the mean over its images."""
    found = logits.float().log_softmax(1)
    of_shares = functional.kl_div(found, wanted.shares, reduction="none").sum(1)
    total = weights.shares * (of_shares if wanted.told is None else of_shares * wanted.told).mean()
    apart = {name: one.distance(features[name]) for name, one in wanted.features.items()}
    if LAST in apart:
        total = total + weights.features * apart.pop(LAST)
    if apart:
        total = total + weights.stages * torch.stack(list(apart.values())).mean()
    if wanted.labels is not None:
        total = total + weights.labels * functional.nll_loss(found, wanted.labels)
    return total


def variance(features: Tensor) -> Tensor:
    """How much features [N, ...] differ in each channel; one that hardly differs at all is taken to differ a little.

    Else a few large channels, or noise in the smallest, would be all that counts.
    """
    differ = features.float().var(0, correction=0)
    return differ + FLOOR * differ.mean() + torch.finfo(torch.float32).tiny


def is_near(features: Tensor, wanted: Tensor) -> bool:
    """Whether features are nearer to what is wanted than nothing is."""
    return bool((features - wanted).square().mean() < wanted.square().mean())
