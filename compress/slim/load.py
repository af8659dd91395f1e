"""What a narrowed model costs, told from the widths alone: a product of the shares that each layer keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .cuts import Group, Kept, dropped


@dataclass(frozen=True)
class Layer:
    """A layer's multiply-adds, and how long its weight is along the axes that may be cut."""

    weight: str
    macs: int
    outputs: int
    inputs: int
    """0 where each output reads one input."""


@dataclass(frozen=True)
class Load:
    """The multiply-adds of a model by layer, those of attention's products by module, and all of them."""

    layers: tuple[Layer, ...]
    products: dict[str, int]
    total: int

    def share(self, groups: Sequence[Group], kept: Kept) -> float:
        """What the narrowed model needs of the whole one's multiply-adds."""
        gone = dropped(groups, kept)
        saved = sum(self._saved(layer, gone) for layer in self.layers)
        for group in groups:
            if group.attention is not None:
                saved += self.products.get(group.attention, 0) * (1 - float(kept[group.name].float().mean()))
        return 1 - saved / self.total

    @staticmethod
    def _saved(layer: Layer, gone: dict[tuple[str, int], Tensor]) -> float:
        rows, columns = gone.get((layer.weight, 0)), gone.get((layer.weight, 1))
        if rows is None and columns is None:
            return 0.0
        left = 1 - len(rows) / layer.outputs if rows is not None else 1.0
        read = 1 - len(columns) / layer.inputs if columns is not None and layer.inputs else 1.0
        return layer.macs * (1 - left * read)


def load_of(module: nn.Module, input_size: Sequence[int]) -> Load:
    """Count by running one blank image."""
    layers: list[Layer] = []
    hooks = [
        one.register_forward_hook(lambda m, _, y, name=name: layers.append(_layer(name, m, y)))
        for name, one in module.named_modules()
        if isinstance(one, nn.Linear | nn.Conv2d)
    ]
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            module(torch.zeros(1, *input_size))
    finally:
        for hook in hooks:
            hook.remove()
    products = {
        name.partition(".")[2]: sum(flops for operator, flops in found.items() if "bmm" in str(operator)) // 2
        for name, found in counter.get_flop_counts().items()
    }
    return Load(tuple(layers), products, counter.get_total_flops() // 2)


def _layer(name: str, layer: nn.Module, output: Tensor) -> Layer:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    positions = output.numel() // len(weight)
    grouped = isinstance(layer, nn.Conv2d) and layer.groups > 1
    return Layer(f"{name}.weight", positions * weight.numel(), len(weight), 0 if grouped else weight.shape[1])
