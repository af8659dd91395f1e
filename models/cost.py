"""What a backbone costs: its parameters, and the multiply-accumulates of one image."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

CODES = "_codes"
"""How the names of integer weights end in a quantized program."""

Shape = Sequence[int]


@dataclass(frozen=True)
class Cost:
    """Parameters, and multiply-accumulates for one image."""

    params: int
    macs: int


def cost(module: nn.Module, input_size: Sequence[int]) -> Cost:
    """Count both by running one blank image; attention is counted as the two matrix products that it is."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter() as flops:
        module(torch.zeros(1, *input_size))
    return Cost(sum(tensor.numel() for tensor in _weights(module)), flops.get_total_flops() // 2)


def counter() -> FlopCounterMode:
    """Counts two operations for every multiply-accumulate of a block, vitc's own operators included."""
    return FlopCounterMode(display=False, custom_mapping=_quantized_operators())


def _weights(module: nn.Module) -> Iterator[Tensor]:
    """Every parameter and every buffer of codes, once; of a program, those that its graph still reads."""
    used = (
        {node.target for node in module.graph.nodes if node.op == "get_attr"}
        if isinstance(module, GraphModule)
        else None
    )
    codes = ((name, buffer) for name, buffer in module.named_buffers() if name.endswith(CODES))
    for name, tensor in (*module.named_parameters(), *codes):
        if used is None or name in used:
            yield tensor


def _quantized_operators() -> dict[Any, Callable[..., int]]:
    """Formulas for vitc's own operators, where they are registered."""
    formulas: dict[str, Callable[..., int]] = {"linear": _linear_flops, "conv2d": _conv2d_flops}
    operators = torch.ops.vitc
    return {getattr(operators, name): formula for name, formula in formulas.items() if hasattr(operators, name)}


def _linear_flops(_x: Shape, codes: Shape, *_: object, out_shape: Shape) -> int:
    return 2 * math.prod(out_shape) * codes[0]


def _conv2d_flops(_x: Shape, codes: Shape, *_: object, out_shape: Shape) -> int:
    return 2 * math.prod(out_shape) * math.prod(codes[1:])
