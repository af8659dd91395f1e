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
from onnx_ir.passes import common

from .passes.editing import constant, made_by, reads, store

BLOCKS = (128, 64, 32)
WIDEST = 4
"""Bits that an INT4 code holds."""


def pack_weights(model: ir.Model, bits: Mapping[str, int]) -> list[str]:
    """Store in four bits what fits; `bits` says how wide the codes of an initializer are. Gives the products' names."""
    packed = []
    for node in list(model.graph):
        weight, unrounded = made_by(reads(node, 1), "DequantizeLinear"), _unrounded(node)
        codes = constant(reads(weight, 0))
        if weight is None or codes is None or unrounded is None:
            continue
        block = next((size for size in BLOCKS if codes.shape[0] % size == 0), None)
        if bits.get(_stored_as(weight), 8) <= WIDEST and codes.ndim == 2 and block is not None:
            _pack(model.graph, weight, block)
            node.replace_input_with(0, unrounded)
            packed.append(str(node.name))
    common.RemoveUnusedNodesPass()(model)
    return packed


def _stored_as(dequantize: ir.Node) -> str:
    """The name of the initializer that holds the codes, before and after packing."""
    value = reads(dequantize, 0)
    return "" if value is None else str(value.name).removesuffix("_int4")


def _unrounded(node: ir.Node) -> ir.Value | None:
    """What a product's left factor was before it was rounded to eight bits; None where it was not, or to fewer."""
    rounded = made_by(reads(node, 0), "DequantizeLinear")
    quantize = made_by(reads(rounded, 0), "QuantizeLinear")
    if node.op_type != "MatMul" or quantize is None:
        return None
    return None if made_by(quantize.inputs[0], "Clip") else quantize.inputs[0]


def _pack(graph: ir.Graph, dequantize: ir.Node, block: int) -> None:
    """Turn bytes with a scale a column into INT4 with a scale a block."""
    codes, scale = (constant(reads(dequantize, position)) for position in (0, 1))
    if dequantize.attributes.get_int("block_size", 0) or codes is None or scale is None:
        return
    name = _stored_as(dequantize)
    packed = store(graph, f"{name}_int4", codes.astype(ml_dtypes.int4))
    blocks = store(graph, f"{name}_blocks", np.tile(scale, (codes.shape[0] // block, 1)))
    dequantize.replace_input_with(0, packed)
    dequantize.replace_input_with(1, blocks)
    dequantize.attributes["axis"] = ir.AttrInt64("axis", 0)
    dequantize.attributes["block_size"] = ir.AttrInt64("block_size", block)
