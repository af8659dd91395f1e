"""The operators of a quantized program, simulated in torch: `vitc::quantize`, `vitc::linear` and `vitc::conv2d`.

A quantized program is the `torch.export` graph of a backbone in which every linear and convolution reads its input
through `quantize` and its weights as integer codes. `quantize` carries the calibrated *range* and the name of a scheme,
so the same program serves every target: `retarget` only changes that name. `bits` says how wide a weight's codes are,
so that a target may pack them; at one bit they are -1 and 1.
"""

import warnings
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional

from .scheme import SCHEMES


@torch.library.custom_op("vitc::quantize", mutates_args=())
def quantize(x: Tensor, low: float, high: float, bits: int, scheme: str) -> Tensor:
    """`x` rounded to the grid that `scheme` makes of the range [low, high]: s * (clamp(round(x / s) + z) - z)."""
    grid = SCHEMES[scheme].grid(low, high, bits)
    codes = x.div(grid.scale).round_().add_(grid.zero_point).clamp_(grid.lowest, grid.highest)
    return codes.sub_(grid.zero_point).mul_(grid.scale)


@torch.library.custom_op("vitc::linear", mutates_args=())
def linear(x: Tensor, codes: Tensor, scale: Tensor, bias: Tensor | None, bits: int) -> Tensor:
    """`x @ (codes * scale) + bias`, with codes [K, N] and one scale a column."""
    product = x @ (codes.to(x.dtype) * scale)
    return product if bias is None else product + bias


@torch.library.custom_op("vitc::conv2d", mutates_args=())
def conv2d(
    x: Tensor,
    codes: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    bits: int,
) -> Tensor:
    """A convolution with codes [O, I / groups, h, w] and one scale an output channel."""
    weight = codes.to(x.dtype) * scale.view(-1, 1, 1, 1)
    return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)


@quantize.register_fake
def _(x: Tensor, low: float, high: float, bits: int, scheme: str) -> Tensor:
    return torch.empty_like(x)


@linear.register_fake
def _(x: Tensor, codes: Tensor, scale: Tensor, bias: Tensor | None, bits: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], codes.shape[1]))


@conv2d.register_fake
def _(
    x: Tensor,
    codes: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    bits: int,
) -> Tensor:
    return functional.conv2d(x, codes.to(x.dtype), bias, stride, padding, dilation, groups)


def scheme_of(module: nn.Module) -> str | None:
    """The scheme that a program rounds by; None for what is not quantized."""
    graph = module.graph if isinstance(module, GraphModule) else None
    rounded = graph.find_nodes(op="call_function", target=torch.ops.vitc.quantize.default) if graph else ()
    return next((str(node.args[4]) for node in rounded), None)


def retarget(program: GraphModule, scheme: str) -> GraphModule:
    """The program with its ranges turned into integers by another scheme; the weights are shared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # copying makes torch warn of a class of its own
        other = GraphModule(program, deepcopy(program.graph))
    for node in other.graph.find_nodes(op="call_function", target=torch.ops.vitc.quantize.default):
        node.args = (*node.args[:4], scheme)
    other.recompile()
    return other
