"""What torch's exporter is told of: vitc's quantized operators in ONNX's terms, and attention in fewer nodes.

Quantized linears are written in the one form that stock runtimes fuse into integer kernels: QuantizeLinear and
DequantizeLinear on the input, codes as [K, N] dequantized along axis 1, and a bias with leading ones, because a bias of
rank 1 is merged into a float Gemm before the integer fusions run. Codes are written as 8-bit integers;
[packing](packing.py) makes them narrower in the file.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset18 as op
from torch.export import ExportedProgram

from ..compress import binary_softmax, ops
from ..compress.scheme import SCHEMES

ATTENTION = torch.ops.aten.scaled_dot_product_attention.default


def translations(program: ExportedProgram) -> dict[Callable[..., Any], Callable[..., Any]]:
    """The translations that a program needs beyond torch's own.

    Attention that is causal, grouped or masked by truth values is left to torch: images have no future.
    """
    calls = program.graph.find_nodes(op="call_function", target=ATTENTION)
    return {**TRANSLATIONS, ATTENTION: _attention} if all(map(_plain, calls)) else dict(TRANSLATIONS)


def _quantize(x: Any, low: float, high: float, bits: int, scheme: str) -> Any:
    grid = SCHEMES[scheme].grid(low, high, bits)
    if not grid.fills_byte:
        x = op.Clip(x, *(op.Constant(value_float=end) for end in grid.ends))
    scale = op.Constant(value_float=grid.scale)
    zero_point = op.Constant(value=ir.tensor(np.array(grid.zero_point, dtype=grid.kind)))
    return op.DequantizeLinear(op.QuantizeLinear(x, scale, zero_point), scale, zero_point)


def _quantize_axis(x: Any, low: list[float], high: list[float], axis: int, bits: int, scheme: str) -> Any:  # noqa: PLR0913  (its parameters are the operator's schema)
    grids, rank = ops.grids_of(low, high, bits, scheme), len(x.shape)
    if not grids[0].fills_byte:
        shape = [-1 if index == axis % rank else 1 for index in range(rank)]
        lowest, highest = (np.array(e, np.float32).reshape(shape) for e in zip(*(g.ends for g in grids), strict=True))
        # Clip has one end for the whole tensor.
        x = op.Min(op.Max(x, op.Constant(value=ir.tensor(lowest))), op.Constant(value=ir.tensor(highest)))
    scales = op.Constant(value=ir.tensor(np.array([grid.scale for grid in grids], dtype=np.float32)))
    zero_points = op.Constant(value=ir.tensor(np.array([grid.zero_point for grid in grids], dtype=grids[0].kind)))
    codes = op.QuantizeLinear(x, scales, zero_points, axis=axis % rank)
    return op.DequantizeLinear(codes, scales, zero_points, axis=axis % rank)


def _binary_softmax(scores: Any, scale: list[float]) -> Any:
    largest = op.ReduceMax(scores, op.Constant(value_ints=[-1]))
    counting = op.GreaterOrEqual(scores, op.Sub(largest, op.Constant(value_float=binary_softmax.BEHIND)))
    scales = np.array(scale, dtype=np.float32).reshape(-1, 1, 1)
    return op.Mul(op.Cast(counting, to=ir.DataType.FLOAT), op.Constant(value=ir.tensor(scales)))


def _linear(x: Any, codes: Any, scale: Any, bias: Any, bits: int) -> Any:  # noqa: ARG001  (the operator's schema)
    product = op.MatMul(x, op.DequantizeLinear(codes, scale, axis=1))
    if bias is None:
        return product
    rank = max(len(x.shape), 3)
    total = op.Add(product, op.Reshape(bias, op.Constant(value_ints=[*[1] * (rank - 1), -1])))
    added = list(range(rank - len(x.shape)))
    return op.Squeeze(total, op.Constant(value_ints=added)) if added else total


def _conv2d(  # noqa: PLR0913  (its parameters are the operator's schema)
    x: Any,
    codes: Any,
    scale: Any,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    bits: int,  # noqa: ARG001  (likewise)
) -> Any:
    weight = op.DequantizeLinear(codes, scale, axis=0)
    pads = [*padding, *padding]
    return op.Conv(x, weight, bias, strides=stride, pads=pads, dilations=dilation, group=groups)


def _attention(  # noqa: PLR0913  (its parameters are the operator's schema)
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,  # noqa: ARG001  (likewise; 0 in eval mode)
    is_causal: bool = False,  # noqa: ARG001, FBT001, FBT002  (likewise; false, as seen to by `translations`)
    scale: float | None = None,
    enable_gqa: bool = False,  # noqa: ARG001, FBT001, FBT002  (likewise)
) -> Any:
    rank = len(query.shape)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    transposed = op.Transpose(key, perm=[*range(rank - 2), rank - 1, rank - 2])
    products = op.MatMul(op.Mul(query, op.Constant(value_float=float(factor))), transposed)
    if attn_mask is not None:
        products = op.Add(products, attn_mask)
    return op.MatMul(op.Softmax(products, axis=-1), value)


def _plain(call: torch.fx.Node) -> bool:
    """Whether `_attention` says it all."""
    named = dict(zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), call.args, strict=False))
    named |= call.kwargs
    mask = named.get("attn_mask")
    truths = isinstance(mask, torch.fx.Node) and mask.meta["val"].dtype == torch.bool
    query = named["query"]
    assert isinstance(query, torch.fx.Node)
    fixed = isinstance(query.meta["val"].shape[-1], int)
    return fixed and not (truths or named.get("is_causal") or named.get("enable_gqa"))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.vitc.quantize.default: _quantize,
    torch.ops.vitc.quantize_axis.default: _quantize_axis,
    binary_softmax.BINARY: _binary_softmax,
    torch.ops.vitc.linear.default: _linear,
    torch.ops.vitc.conv2d.default: _conv2d,
}
