"""Attention reads its heads where they lie.

Rule: where queries, keys and values are linears of one input [B, N, C], that input is transposed to [N, B, C], and the
linears' results are [N, B * heads, d] by a Reshape alone. The products of attention then read them through a Transpose
that swaps the first two axes, which onnxruntime leaves out: its FusedMatMul takes strides. Three transposed copies of
floats become one of the input, of codes where it is quantized. What is added to the scores of all heads alike, as the
sizes of merged tokens are, is repeated for them. Exact. Int8 DeiT-Tiny takes 2 % less time on onnxruntime;
`MultiHeadAttention`, onnxruntime's own, was tried and gained less.
"""

from dataclasses import dataclass

import onnx_ir as ir

from . import editing
from .linears import Linear, linear


class TokensFirst(ir.passes.InPlacePass):
    """See above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite every attention that has this form."""
        found = [attention for node in list(model.graph) if (attention := _attention(node))]
        repeated: dict[tuple[ir.Value, int], ir.Value] = {}
        for attention in found:
            _rewrite(attention)
            if attention.masked is not None:
                _repeat(attention.masked, attention.sizes[1], repeated)
        return ir.passes.PassResult(model, modified=bool(found))


@dataclass(frozen=True)
class _Attention:
    layers: tuple[Linear, Linear, Linear]
    transposes: tuple[ir.Node, ir.Node, ir.Node]
    """Of queries, keys and values: [B, N, h, d] to [B, h, N, d], of the keys to [B, h, d, N]."""
    products: tuple[ir.Node, ir.Node]
    """Queries with keys, and weights with values."""
    inner: tuple[ir.Node, ...]
    """What lies between."""
    masked: ir.Node | None
    """What adds something to the scores, [B, 1, 1, N], its second input."""
    sizes: tuple[int, int, int]
    """N, h, d."""


def _attention(softmax: ir.Node) -> _Attention | None:
    """The attention around a Softmax, if nothing but a scale and what is added for all heads alike stands between."""
    second = editing.only_reader(softmax.outputs[0]) if softmax.op_type == "Softmax" else None
    if second is None or second.op_type != "MatMul" or second.inputs[0] is not softmax.outputs[0]:
        return None
    masked = editing.made_by(softmax.inputs[0], "Add")
    first = editing.made_by(masked.inputs[0] if masked else softmax.inputs[0], "MatMul")
    scaled = editing.made_by(first.inputs[0], "Mul") if first else None
    if first is None or not (_is_for_all_heads(masked) and _is_number(scaled)):
        return None
    heads = _heads(scaled.inputs[0] if scaled else first.inputs[0], (0, 2, 1, 3))
    others = _heads(first.inputs[1], (0, 2, 3, 1)), _heads(second.inputs[1], (0, 2, 1, 3))
    if heads is None or others[0] is None or others[1] is None:
        return None
    parts = (heads, others[0], others[1])
    if len({sizes for *_, sizes in parts}) != 1 or len({id(layer.x) for layer, *_ in parts}) != 1:
        return None
    inner = tuple(node for node in (scaled, first, masked, softmax) if node)
    if any(editing.only_reader(node.outputs[0]) is None for node in inner):
        return None
    layers, transposes = (parts[0][0], parts[1][0], parts[2][0]), (parts[0][1], parts[1][1], parts[2][1])
    return _Attention(layers, transposes, (first, second), inner, masked, heads[2])


def _heads(value: ir.Value | None, permutation: tuple[int, ...]) -> tuple[Linear, ir.Node, tuple[int, int, int]] | None:
    """The linear whose columns are the heads, with their Transpose and N, h and d."""
    transpose = editing.made_by(value, "Transpose")
    reshape = editing.made_by(transpose.inputs[0], "Reshape") if transpose else None
    layer = linear(reshape.inputs[0]) if reshape else None
    sizes = editing.constant(reshape.inputs[1]) if reshape else None
    if transpose is None or reshape is None or layer is None or sizes is None or len(sizes) != 4:
        return None
    if transpose.attributes["perm"].as_ints() != permutation or layer.x.shape is None or layer.x.shape.rank() != 3:
        return None
    inside = (transpose.outputs[0], reshape.outputs[0], layer.output)
    if layer.x.shape[1] != sizes[1] or any(editing.only_reader(value) is None for value in inside):
        return None
    return layer, transpose, (int(sizes[1]), int(sizes[2]), int(sizes[3]))


def _is_number(scaled: ir.Node | None) -> bool:
    """Whether a Mul, where there is one, is by a number."""
    array = editing.constant(editing.reads(scaled, 1))
    return scaled is None or (array is not None and array.size == 1)


def _is_for_all_heads(masked: ir.Node | None) -> bool:
    """Whether an Add, where there is one, adds the same to the scores of every head and every query."""
    mask = editing.reads(masked, 1)
    shape = mask.shape if mask is not None else None
    alike = shape is not None and shape.rank() == 4 and shape[1] == shape[2] == 1 and isinstance(shape[3], int)
    return masked is None or alike


def _repeat(masked: ir.Node, heads: int, repeated: dict[tuple[ir.Value, int], ir.Value]) -> None:
    """What is added, once for every head: [B * heads, 1, N]. Blocks that add the same share it."""
    mask = masked.inputs[1]
    assert mask is not None
    if (mask, heads) not in repeated:
        graph = editing.graph_of(masked)
        every = editing.put(masked, "Expand", (mask, editing.store_ints(graph, 1, heads, 1, 1)))
        assert mask.shape is not None
        tokens = mask.shape[3]
        assert isinstance(tokens, int)
        flat = editing.store_ints(graph, -1, 1, tokens)
        repeated[mask, heads] = editing.put(masked, "Reshape", (every, flat))
    masked.replace_input_with(1, repeated[mask, heads])


def _rewrite(attention: _Attention) -> None:
    tokens, heads, width = attention.sizes
    graph = editing.graph_of(attention.products[0])
    x = _turned(attention.layers)
    flat = editing.store_ints(graph, tokens, -1, width)
    for layer, transpose, swap in zip(
        attention.layers, attention.transposes, ((1, 0, 2), (1, 2, 0), (1, 0, 2)), strict=True
    ):
        layer.product.replace_input_with(0, x)
        reshape = transpose.predecessors()[0]
        reshape.replace_input_with(1, flat)
        transpose.attributes["perm"] = ir.AttrInt64s("perm", swap)
        for node in (layer.product, layer.add, reshape, transpose):
            if node is not None:
                node.outputs[0].shape = None  # the batch is in another place now
    for node in attention.inner:
        node.outputs[0].shape = None
    result = attention.products[1].outputs[0]
    after, whole = list(result.uses()), result.shape
    seat = after[0].node
    shape = editing.store_ints(graph, -1, heads, tokens, width)
    back = editing.put(seat, "Reshape", (result, shape))
    for node, index in after:
        node.replace_input_with(index, back)
    back.shape, back.type, result.shape = whole, result.type, None


def _turned(layers: tuple[Linear, Linear, Linear]) -> ir.Value:
    """The input as [N, B, C]: its codes, where it is quantized."""
    x, before = layers[0].x, layers[0].product
    read = editing.made_by(x, "DequantizeLinear")
    if read is None:
        return editing.put(before, "Transpose", (x,), {"perm": (1, 0, 2)})
    turned = editing.put(before, "Transpose", (read.inputs[0],), {"perm": (1, 0, 2)})
    result = editing.put(before, "DequantizeLinear", (turned, *read.inputs[1:]))
    result.type = x.type
    return result
