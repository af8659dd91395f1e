"""Which tokens are merged into which, and their merging: the bipartite soft matching of ToMe (arXiv 2210.09461).

Every second patch token is a source, those between are destinations. Each source finds the destination whose key is
most like its own (cosine), and the sources that found the likeliest are merged: averages, weighted by how many patches
each token stands for already. Counts are fixed, so every tensor has a static shape; rows are gathered from the
flattened batch and added up by a small 0/1 matrix, so no runtime needs a scatter.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Matching(NamedTuple):
    """Positions among all tokens, of the destinations among the destinations."""

    merged: Tensor
    """The sources that go, [B, r]."""
    kept: Tensor
    """The sources that stay, in their order, [B, sources - r]."""
    into: Tensor
    """The destination of each source that goes, [B, r]."""


def most(tokens: int, prefix: int) -> int:
    """How many of so many tokens can be merged at once: the sources."""
    return (tokens - prefix) // 2


def match(keys: Tensor, prefix: int, count: int) -> Matching:
    """Match by keys [B, N, d], of which the first `prefix` are let alone."""
    unit = keys / keys.square().sum(-1, keepdim=True).clamp_min(1e-6).sqrt()
    alike, nearest = (unit[:, prefix + 1 :: 2] @ unit[:, prefix::2].transpose(1, 2)).max(-1)
    order = alike.topk(alike.shape[1]).indices
    gone, kept = order[:, :count], order[:, count:].sort().values
    return Matching(gone * 2 + (prefix + 1), kept * 2 + (prefix + 1), nearest.gather(1, gone))


def merge(x: Tensor, sizes: Tensor, matching: Matching, prefix: int) -> tuple[Tensor, Tensor]:
    """Tokens [B, N, C] and their sizes [B, N] after merging: the prefix, the sources that stay, the destinations."""
    x_into, sizes_into = x[:, prefix::2], sizes[:, prefix::2]
    places = torch.arange(x_into.shape[1])[:, None]
    weights = (matching.into[:, None] == places) * take(sizes, matching.merged)[:, None]
    total = sizes_into + weights.sum(-1)
    x_into = x_into * (sizes_into / total)[..., None] + (weights / total[..., None]) @ take(x, matching.merged)
    if not matching.kept.shape[1]:
        return torch.cat([x[:, :prefix], x_into], 1), torch.cat([sizes[:, :prefix], total], 1)
    return (
        torch.cat([x[:, :prefix], take(x, matching.kept), x_into], 1),
        torch.cat([sizes[:, :prefix], take(sizes, matching.kept), total], 1),
    )


def take(values: Tensor, positions: Tensor) -> Tensor:
    """Of values [B, N, …] those at positions [B, k]. Whole rows are copied: a gather by element is slow."""
    images, tokens = values.shape[:2]
    rows = positions + torch.arange(images)[:, None] * tokens
    taken: Tensor = values.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, (images, -1))
    return taken
