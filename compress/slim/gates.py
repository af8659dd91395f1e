"""How much a unit matters: what closing a gate where it is read would do to the answers, to second order.

A gate is a factor on all that reads the unit; its gradient is the sum of weight times gradient over those places (NViT,
arXiv 2110.04869). Its mean square over images is the Fisher information of the gate, so half of it is what the answers
diverge by (Theis et al., arXiv 1801.05787). No labels are needed: the gradient starts from noise with the covariance
that labels drawn from the answers themselves would have. Each image is run alone, so batches change nothing.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from .cuts import Group, Kept, narrowed

Scores = dict[str, Tensor]
"""Of every group, by name, how much each unit matters; zero for those that are gone."""

NOISE = 0


def score(module: nn.Module, groups: Sequence[Group], kept: Kept, batches: Iterable[Tensor]) -> Scores:
    """How much the kept units matter to the narrowed model."""
    model = narrowed(module, groups, kept).requires_grad_(requires_grad=True)
    parameters = dict(model.named_parameters())
    noise = torch.Generator().manual_seed(NOISE)
    sums = {group.name: torch.zeros(group.units, dtype=torch.float64) for group in groups}
    readers = {group.name: _reader_units(group, groups, kept) for group in groups}
    for image in (image for batch in batches for image in batch):
        model.zero_grad(set_to_none=True)
        with torch.enable_grad():
            answer = model(image[None])
            torch.autograd.backward(answer, _start(answer.detach(), noise))
        products = _Products(parameters)
        for name, places in readers.items():
            gate = torch.zeros_like(sums[name])
            for tensor, axis, own, of in places:
                gate.index_add_(0, of, products.along(tensor, axis)[own])
            sums[name] += gate.square()
    return sums


def _start(answer: Tensor, noise: torch.Generator) -> Tensor:
    """Noise with the covariance diag(p) - pp' of a label's gradient, for one image; plain where there is one number."""
    drawn = torch.randn(answer.shape, generator=noise)
    if answer.shape[-1] == 1:
        return drawn
    shares = answer.softmax(-1)
    return shares.sqrt() * drawn - shares * (shares.sqrt() * drawn).sum(-1, keepdim=True)


class _Products:
    """Weights times gradients of one image, summed over all axes but one; each is done once."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self._parameters = parameters
        self._sums: dict[tuple[str, int], Tensor] = {}

    def along(self, name: str, axis: int) -> Tensor:
        if (name, axis) not in self._sums:
            weight = self._parameters[name]
            product = weight.detach() * weight.grad if weight.grad is not None else torch.zeros_like(weight)
            others = [other for other in range(weight.dim()) if other != axis]
            self._sums[name, axis] = product.double().sum(others)
        return self._sums[name, axis]


def _reader_units(group: Group, groups: Sequence[Group], kept: Kept) -> list[tuple[str, int, Tensor, Tensor]]:
    """Where the narrowed model reads a group's units: tensor, axis, places there, and the unit of each."""
    found = []
    for cut in (cut for cut in group.cuts if cut.reads):
        gone = [
            other.places[~kept[one.name][other.of]]
            for one in groups
            for other in one.cuts
            if (other.tensor, other.axis) == (cut.tensor, cut.axis)
        ]
        lost = torch.cat(gone)
        stays = kept[group.name][cut.of]
        places = cut.places[stays]
        moved = places - (lost.sort().values[None] < places[:, None]).sum(1)
        found.append((cut.tensor, cut.axis, moved, cut.of[stays]))
    return found
