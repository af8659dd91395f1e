"""Attention with queries, keys and values in one layer: what stands in for it in a graph, and its heads as groups."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .cuts import Cut, Group

HEADS = "heads"


class StandIn(nn.Linear):
    """Reads and writes tokens as the attention does whose place it takes."""

    norm: tuple[str, ...] = ()
    """The tensors of the norm that the attention begins with."""

    def forward(self, input: Tensor, *_: Any, **__: Any) -> Tensor:  # noqa: A002 (torch's name)
        """Tokens [..., C] again; masks and sizes are passed over."""
        return super().forward(input)


def attentions(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The attention modules with one linear layer before them, and one behind."""
    for name, one in module.named_modules():
        qkv, proj, count = (getattr(one, own, None) for own in ("qkv", "proj", "num_heads"))
        if not (isinstance(qkv, nn.Linear) and isinstance(proj, nn.Linear) and isinstance(count, int)):
            continue
        if qkv.out_features == 3 * proj.in_features and not proj.in_features % count:
            yield name, one


def replace(draft: nn.Module) -> None:
    """Put stand-ins where the draft has attention."""
    for name, one in list(attentions(draft)):
        qkv: Any = one.qkv
        proj: Any = one.proj
        parent, _, child = name.rpartition(".")
        new = StandIn(qkv.in_features, proj.out_features, bias=proj.bias is not None)
        norm = getattr(one, "norm", None)
        if isinstance(norm, nn.LayerNorm):
            new.norm = tuple(f"norm.{own}" for own, _ in norm.named_parameters())
        setattr(draft.get_submodule(parent), child, new)


def norm_of(layer: nn.Module, name: str) -> list[str]:
    """The tensors that are as wide as what a stand-in reads, besides its weight."""
    return [f"{name}.{own}" for own in layer.norm] if isinstance(layer, StandIn) else []


def find(module: nn.Module) -> list[Group]:
    """The heads of every attention module."""
    return [_heads(name, one) for name, one in attentions(module) if int(one.num_heads) > 1]  # type: ignore[arg-type]


def _heads(name: str, attention: nn.Module) -> Group:
    count: int = attention.num_heads  # type: ignore[assignment]
    width = int(attention.get_submodule("proj").in_features)  # type: ignore[arg-type]
    unit = torch.arange(width) // (width // count)
    rows, of = torch.arange(3 * width), unit.repeat(3)
    cuts = [
        Cut(f"{name}.qkv.weight", 0, rows, of, writes=True),
        Cut(f"{name}.proj.weight", 1, torch.arange(width), unit, reads=True),
    ]
    if attention.get_submodule("qkv").bias is not None:
        cuts.append(Cut(f"{name}.qkv.bias", 0, rows, of))
    each = torch.arange(count)
    for own, parameter in attention.named_parameters(recurse=False):
        axes = [axis for axis, size in enumerate(parameter.shape) if size == count]
        if axes:
            cuts.append(Cut(f"{name}.{own}", axes[-1], each, each))
    return Group(f"{name}.{HEADS}", HEADS, count, tuple(cuts), attention=name)
