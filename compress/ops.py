"""The operators of a quantized program, simulated in torch: two that round, `vitc::linear` and `vitc::conv2d`.

A quantized program is the `torch.export` graph of a backbone in which every linear and convolution reads its input
through `quantize` and its weights as integer codes. `quantize` carries the calibrated *range* and the name of a scheme,
so the same program serves every target: `retarget` only changes that name. `quantize_axis` has a range for every head,
or for every channel. `bits` says how wide a weight's codes are, so that a target may pack them; at one bit they are -1
and 1.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional

from .scheme import SCHEMES, Grid


@torch.library.custom_op("vitc::quantize", mutates_args=())
def quantize(x: Tensor, low: float, high: float, bits: int, scheme: str) -> Tensor:
    """`x` rounded to the grid that `scheme` makes of the range [low, high]: s * (clamp(round(x / s) + z) - z)."""
    grid = SCHEMES[scheme].grid(low, high, bits)
    codes = x.div(grid.scale).round_().add_(grid.zero_point).clamp_(grid.lowest, grid.highest)
    return codes.sub_(grid.zero_point).mul_(grid.scale)


@torch.library.custom_op("vitc::quantize_axis", mutates_args=())
def quantize_axis(x: Tensor, low: list[float], high: list[float], axis: int, bits: int, scheme: str) -> Tensor:
    """`quantize` with a range for every index of `axis`: heads of queries, channels of images."""
    shape, grids = _along(x, low, high, axis), grids_of(low, high, bits, scheme)
    scales, zero_points = (
        x.new_tensor(values).view(shape) for values in ([g.scale for g in grids], [g.zero_point for g in grids])
    )
    codes = x.div(scales).round_().add_(zero_points).clamp_(grids[0].lowest, grids[0].highest)
    return codes.sub_(zero_points).mul_(scales)


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


@quantize_axis.register_fake
def _(x: Tensor, low: list[float], high: list[float], axis: int, bits: int, scheme: str) -> Tensor:
    _along(x, low, high, axis)
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


def grids_of(low: Sequence[float], high: Sequence[float], bits: int, scheme: str) -> list[Grid]:
    """The grid of every index that `quantize_axis` rounds by; all have the same codes."""
    return [SCHEMES[scheme].grid(*ends, bits) for ends in zip(low, high, strict=True)]


def _along(x: Tensor, low: Sequence[float], high: Sequence[float], axis: int) -> list[int]:
    """The shape in which one number an index of `axis` meets `x`."""
    if not len(low) == len(high) == x.shape[axis]:
        raise ValueError(f"{len(low)} low and {len(high)} high ends for the {x.shape[axis]} indices of axis {axis}")
    return [-1 if index == axis % x.dim() else 1 for index in range(x.dim())]


QUANTIZED: Mapping[object, Callable[..., Tensor]] = {
    torch.ops.aten.linear.default: torch.ops.vitc.linear.default,
    torch.ops.aten.conv2d.default: torch.ops.vitc.conv2d.default,
}
"""What is quantized, and what it becomes; the last argument of each is the bits of its codes."""

ROUNDING = (torch.ops.vitc.quantize.default, torch.ops.vitc.quantize_axis.default)
"""The operators that round activations; the last argument of each is the scheme."""


def scheme_of(module: nn.Module) -> str | None:
    """The scheme that a program rounds by, first of all its inputs; None for what is not quantized."""
    graph = module.graph if isinstance(module, GraphModule) else None
    return next((str(node.args[-1]) for node in (graph.nodes if graph else ()) if node.target in ROUNDING), None)


def retarget(program: GraphModule, scheme: str) -> GraphModule:
    """The program with its ranges turned into integers by another scheme; the weights are shared.

    What had another scheme than the program's keeps it: operands of attention are signed for whoever multiplies them.
    """
    scheme_before = scheme_of(program)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # copying makes torch warn of a class of its own
        other = GraphModule(program, deepcopy(program.graph))
    for node in other.graph.nodes:
        if node.target in ROUNDING and node.args[-1] == scheme_before:
            node.args = (*node.args[:-1], scheme)
    other.recompile()
    return other
