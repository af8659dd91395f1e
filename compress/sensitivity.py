"""Which layers bear few bits least: each is rounded alone, and the answers are held against the exact ones.

What counts is how far the answers diverge (Kullback and Leibler), with codes that make up for their errors as well as
they will in the end, for each weight that would be stored in more bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.nn import functional

from .draft import Bits, Draft
from .graph import as_node, find_sites, layer, tensor
from .round_layers import Rounder, Settled
from .walk import Walk

WIDE = 8
"""Bits of the weights of layers that are kept."""


class _Alone(Interpreter):
    """A program in which one layer is rounded."""

    rounded: Settled | None = None

    def run_node(self, n: Node) -> Any:
        """What a node gives."""
        if self.rounded is None or n is not self.rounded.site:
            return super().run_node(n)
        return self.rounded.call(*self.fetch_args_kwargs_from_env(n)[0])


def divergences(draft: Draft, batches: Sequence[Tensor], rounding: str) -> dict[str, float]:
    """How far the mean image's answers diverge, by the name of the layer that is rounded."""
    walk = Walk(draft.program, batches)
    rounder = Rounder(draft, walk, rounding)

    def settle(node: Node) -> None:
        rounder.visit(node)
        walk.instead.pop(node, None)  # the layers behind read what they read in the exact program

    walk.run(settle, lambda _: None)
    program = _Alone(draft.program)
    with torch.no_grad():
        exact = [_shares(program, images) for images in batches]
        found = dict[str, float]()
        for site, program.rounded in rounder.settled.items():
            parts = [_apart(_shares(program, images), wanted) for images, wanted in zip(batches, exact, strict=True)]
            found[layer(site)] = sum(parts) / sum(map(len, batches))
    return found


def keep(draft: Draft, batches: Sequence[Tensor], rounding: str, count: int) -> Mapping[str, Bits]:
    """The widths of a draft's layers, with `count` of those below 8 bits kept at 8: where that does most a weight."""
    low = {name: bits for name, bits in draft.bits.items() if bits.weight < WIDE}
    apart = divergences(replace(draft, bits=low), batches, rounding)
    sizes = {layer(site): tensor(draft.program, as_node(site.args[1])).numel() for site in find_sites(draft.program)}
    kept = sorted(apart, key=lambda name: apart[name] / sizes[name], reverse=True)[:count]
    draft.notes.append(
        "keep: at 8 bits, and how far the answers diverge with each of them alone rounded: "
        + ", ".join(f"{name} ({apart[name]:.2g})" for name in kept)
    )
    return {**draft.bits, **{name: replace(low[name], weight=WIDE) for name in kept}}


def _shares(program: _Alone, images: Tensor) -> Tensor:
    answers: Tensor = program.run(images)
    return answers.flatten(1).log_softmax(1)


def _apart(found: Tensor, wanted: Tensor) -> float:
    return float(functional.kl_div(found, wanted, reduction="sum", log_target=True))
