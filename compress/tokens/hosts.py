"""The models whose tokens can be reduced: timm's vision transformers, and what their blocks cost.

A model fits if it runs its blocks as one `nn.Sequential` of timm's plain pre-norm blocks, and reads of the last
tokens those in front (class, distillation) or the average. Windows, grids and positions inside the blocks need every
token in its place, so hierarchical models and relative or rotary positions are refused.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from ...errors import UserError
from ...models import cost
from ...models.backbone import FLOAT, Backbone
from ...models.timm_ready import timm
from .blocks import AveragedBlocks, Blocks
from .schedule import Amounts, Body

POOLS = ("token", "avg")
INSTEAD = "quantize it instead (--ptq), or choose a plain ViT or DeiT"


@dataclass(frozen=True)
class Host:
    """A backbone whose tokens can be reduced."""

    backbone: Backbone
    tokens: int
    """How many enter the first block."""

    @property
    def module(self) -> Any:
        """The timm model."""
        return self.backbone.module

    @property
    def prefix(self) -> int:
        """How many tokens in front are no patches."""
        return int(self.module.num_prefix_tokens)

    @property
    def blocks(self) -> Sequence[Any]:
        """Its blocks."""
        return list(self.module.blocks)

    @property
    def width(self) -> int:
        """How many numbers a token has."""
        return int(self.module.embed_dim)

    def body(self, most: Callable[[int], int], own: Callable[[int, int, int], int]) -> Body:
        """What a schedule must know; `own` is what taking a number of tokens away costs in a block that has so many."""
        everything = cost.cost(self.module, self.backbone.preprocessing.input_size).macs

        def macs(amounts: Amounts) -> int:
            left, total = self.tokens, everything
            for index, count in enumerate(amounts):
                total -= self._block(index, self.tokens, self.tokens) - self._block(index, left, left - count)
                total += own(index, left, count) if count else 0
                left -= count
            return total

        return Body(self.tokens, len(self.blocks), most, macs)

    def _block(self, index: int, tokens: int, after: int) -> int:
        """Multiply-accumulates of a block that gets so many tokens, and whose MLP gets so many."""
        block = self.blocks[index]
        attention = 2 * tokens * tokens * block.attn.num_heads * block.attn.head_dim
        return int(tokens * _per_token(block.attn) + attention + after * _per_token(block.mlp))

    def reduced(self, reductions: Mapping[int, nn.Module], step: str) -> Backbone:
        """The backbone, with reductions in some blocks; `step` says which."""
        module: Any = deepcopy(self.module)
        if module.global_pool == "avg":
            skip = 0 if module.pool_include_prefix else self.prefix
            module.blocks = AveragedBlocks(module.blocks, reductions, module.norm, skip)
            module.norm = nn.Identity()
        else:
            module.blocks = Blocks(module.blocks, reductions)
        return replace(self.backbone, module=module.eval(), form=(*self.backbone.form, step))


def host(backbone: Backbone) -> Host:
    """The backbone as one whose tokens can be reduced; refused where they cannot."""
    for reason in _obstacles(backbone):
        raise UserError(f"the tokens of {backbone.name} cannot be reduced: {reason}")
    tokens = _tokens(backbone)
    if tokens is None:
        raise UserError(f"the tokens of {backbone.name} cannot be reduced: it does not run its blocks in one go")
    return Host(backbone, tokens)


def _obstacles(backbone: Backbone) -> Iterable[str]:
    """What is in the way, the plainest first."""
    module: Any = backbone.module
    blocks: Any = getattr(module, "blocks", None)
    if backbone.precision != FLOAT:
        yield f"it is {backbone.precision} already; reduce them before bits"
    if isinstance(module, GraphModule):
        yield "in a saved program the blocks cannot be told apart: start from the model's own name"
    if isinstance(blocks, Blocks):
        yield "they are already; give one schedule for all blocks"
    vit = timm.models.vision_transformer
    if not isinstance(module, vit.VisionTransformer):
        yield (
            f"{type(module).__name__} is not timm's VisionTransformer; windows, grids and positions inside blocks "
            f"need every token in its place: {INSTEAD}"
        )
        return
    odd = {
        type(one).__name__
        for one in blocks
        if type(one) is not vit.Block or type(one.attn) is not timm.layers.Attention
    }
    if odd:
        yield f"its blocks are {', '.join(sorted(odd))}, with something else than attention and then an MLP: {INSTEAD}"
    if module.global_pool not in POOLS:
        yield f"it pools them by {module.global_pool!r}; allowed: {', '.join(POOLS)}: {INSTEAD}"


def _tokens(backbone: Backbone) -> int | None:
    """How many tokens a blank image has where the blocks begin."""
    seen: list[int] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].shape[1])

    handle = backbone.module.get_submodule("blocks").register_forward_pre_hook(note)
    try:
        with torch.no_grad():
            backbone.module(torch.zeros(1, *backbone.preprocessing.input_size))
    finally:
        handle.remove()
    return seen[0] if seen else None


def _per_token(module: nn.Module) -> int:
    return sum(one.weight.numel() for one in module.modules() if isinstance(one, nn.Linear))
