"""Four-bit weights as TensorRT takes them: INT4 codes with a scale a block, before a product in half precision.

TensorRT multiplies no 4-bit integers: INT4 is a way to store weights, which its kernels unpack to float16 as they read
them. Rounding the activations to 8 bits would gain nothing there, so these products read them unrounded:

1. A MatMul whose weight is a DequantizeLinear of [K, N] codes of at most four bits, and whose activations were rounded
   to eight, gets INT4 codes. Codes of one and two bits take the same form: TensorRT has none below it.
2. The scale is repeated for blocks of 128, 64 or 32 rows, whichever divides K first. Where none does, and for
   convolutions, the codes stay bytes and the product stays 8-bit.
3. Its left factor is what stood before QuantizeLinear and DequantizeLinear; those go where nobody else reads them.

The blocks go along K, the second to last dimension. That they divide K, and that the scales have the rank of the codes,
is what the parser checks; the sizes are those that NVIDIA's own tools write. How fast it is was not measured.
"""

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import onnx_ir as ir

from .trt_graph import add_constant, constant, reads, source, sweep

BLOCKS = (128, 64, 32)
WIDEST = 4
"""Bits that an INT4 code holds."""


def pack_weights(model: ir.Model, bits: Mapping[str, int]) -> list[str]:
    """Store in four bits what fits; `bits` says how wide the codes of an initializer are. Gives the products' names."""
    packed = []
    for node in list(model.graph):
        weight, unrounded = source(node, 1), _unrounded(node)
        codes = constant(weight, 0)
        if weight is None or codes is None or unrounded is None or weight.op_type != "DequantizeLinear":
            continue
        block = next((size for size in BLOCKS if codes.shape[0] % size == 0), None)
        if bits.get(_stored_as(weight), 8) <= WIDEST and codes.ndim == 2 and block is not None:
            _pack(model.graph, weight, block)
            node.replace_input_with(0, unrounded)
            packed.append(str(node.name))
    sweep(model.graph)
    return packed


def _stored_as(dequantize: ir.Node) -> str:
    """The name of the initializer that holds the codes, before and after packing."""
    value = reads(dequantize, 0)
    return "" if value is None else str(value.name).removesuffix("_int4")


def _unrounded(node: ir.Node) -> ir.Value | None:
    """What a product's left factor was before it was rounded to eight bits; None where it was not, or to fewer."""
    quantize = source(source(node, 0), 0)
    if node.op_type != "MatMul" or quantize is None or quantize.op_type != "QuantizeLinear":
        return None
    before = source(quantize, 0)
    return None if before is not None and before.op_type == "Clip" else quantize.inputs[0]


def _pack(graph: ir.Graph, dequantize: ir.Node, block: int) -> None:
    """Turn bytes with a scale a column into INT4 with a scale a block."""
    codes, scale = constant(dequantize, 0), constant(dequantize, 1)
    if dequantize.attributes.get_int("block_size", 0) or codes is None or scale is None:
        return
    name = _stored_as(dequantize)
    packed = add_constant(graph, f"{name}_int4", codes.astype(ml_dtypes.int4))
    blocks = add_constant(graph, f"{name}_blocks", np.tile(scale, (codes.shape[0] // block, 1)))
    dequantize.replace_input_with(0, packed)
    dequantize.replace_input_with(1, blocks)
    dequantize.attributes["axis"] = ir.AttrInt64("axis", 0)
    dequantize.attributes["block_size"] = ir.AttrInt64("block_size", block)
