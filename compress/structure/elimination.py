"""Which neurons a layer can do without: one after the other, the one whose loss the others make up for best.

The optimal brain surgeon (Hassibi and Stork, 1992), for whole columns of a linear layer. With H the covariance of the
neurons that are left and w_j the column that reads neuron j, its removal adds |w_j|^2 / (H^-1)_jj to the squared error
of the outputs, once the other columns have moved to where they are best; those are the weights that CORP's ridge
regression finds (arXiv 2602.05243), with mean shift (VBP, ICCV 2025) in the bias. A neuron that varies little, or that
others together repeat, is cheap. H^-1 follows by a rank-one change a step, kept as the rows of its pivoted Cholesky
root, so that all steps together cost no more than one factorization.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..moments import Moments, root

PRIOR = 100
"""Imagined rows, of neurons as large as those seen but unrelated: they keep few images from seeming to explain all."""


@dataclass(frozen=True)
class Elimination:
    """A way down, neuron by neuron."""

    order: Tensor
    """The neurons that go, [T]."""
    losses: Tensor
    """What each removal adds to the mean squared error, summed over outputs, [T]."""
    weight: Tensor
    """The layer's weight before, [N, K] in doubles."""
    mean: Tensor
    """Of the neurons, [K]."""
    columns: Tensor
    """What read each neuron when its turn came, [N, T]."""
    shares: Tensor
    """How the others take over, [T, K]: their part of it, with the sign changed."""

    def kept(self, count: int) -> Tensor:
        """The neurons that are left when `count` are gone, in their order."""
        left = torch.ones(self.weight.shape[1], dtype=torch.bool)
        left[self.order[:count]] = False
        return left.nonzero().flatten()

    def refitted(self, count: int) -> tuple[Tensor, Tensor]:
        """The best weight when `count` are gone, zeros where they were, and what must be added to the bias."""
        weight = self.weight - self.columns[:, :count] @ self.shares[:count]
        weight[:, self.order[:count]] = 0
        return weight, (self.weight - weight) @ self.mean


def eliminate(moments: Moments, weight: Tensor, most: int, groups: int = 1) -> Elimination:
    """The removal of the first `most` neurons of a layer that reads them with `weight`, [N, K].

    Where they lie in equal groups, as heads do, no group loses its next one before each has lost as many.
    """
    was = weight.double()
    left, inverse = was.clone(), moments.rows * torch.cholesky_inverse(root(moments.centred, PRIOR)[0])
    rows = inverse.new_zeros(most, len(inverse))
    pivots = inverse.diagonal().clone()
    alive = torch.ones(len(inverse), dtype=torch.bool)
    waiting = alive.view(groups, -1).clone()
    order, losses, columns, shares = [], [], [], torch.zeros_like(rows)
    for step in range(most):
        loss = torch.where(alive & waiting.flatten(), left.square().sum(0) / pivots, torch.inf)
        chosen = int(loss.argmin())
        row = inverse[chosen] - rows[:step, chosen] @ rows[:step]
        row = torch.where(alive, row, 0.0)
        order.append(chosen)
        losses.append(loss[chosen])
        columns.append(left[:, chosen].clone())
        shares[step] = row / row[chosen]
        rows[step] = row / row[chosen].sqrt()
        alive[chosen] = False
        waiting[chosen // waiting.shape[1]] = False
        if not waiting.any():
            waiting[:] = True
        left -= torch.outer(columns[-1], shares[step])
        pivots -= rows[step].square()
    none = was.new_zeros(len(was), 0)
    return Elimination(
        torch.tensor(order, dtype=torch.long),
        torch.stack(losses) if losses else was.new_zeros(0),
        was,
        moments.centred.mean,
        torch.stack(columns, 1) if columns else none,
        shares,
    )
