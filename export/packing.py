"""Narrow weights in the file, bytes in the arithmetic.

Stock CPU kernels multiply bytes; they have no faster product for fewer bits. So codes that fit 4, 2 or 1 bits are
stored as such, several a byte, and a prologue makes bytes of them again: `Reshape(Gather(table, packed))`, where the
table holds what each of the 256 bytes means. It reads constants only, so a runtime works it out once, when it loads the
file. A table needs no 4-bit type, hence no newer opset than the rest.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .passes import editing

WIDTHS = (1, 2, 4)
"""Bits that divide a byte; codes of 3 bits take 4."""
Bytes = NDArray[np.uint8]
Codes = NDArray[np.int8]


def pack_weights(model: ir.Model) -> None:
    """Store the codes of every quantized weight in as few bits as hold them."""
    read = [node.inputs[place] for node in model.graph if (place := _PLACES.get(node.op_type)) is not None]
    for value in dict.fromkeys(read):
        codes = editing.constant(value)
        if value is not None and value.is_initializer() and codes is not None and codes.dtype == np.int8:
            bits = width(codes)
            if bits is not None and codes.size > 1:
                _replace(model.graph, value, codes, bits)


_PLACES = {"DequantizeLinear": 0, "MatMulIntegerToFloat": 1, "ConvInteger": 1}
"""Who reads codes, and as which input."""


def width(codes: Codes) -> int | None:
    """The fewest bits that hold the codes; None if that is a byte."""
    if (np.abs(codes) == 1).all():
        return 1
    return next(
        (bits for bits in WIDTHS[1:] if codes.min() >= -(2 ** (bits - 1)) and codes.max() < 2 ** (bits - 1)), None
    )


def table(bits: int) -> Codes:
    """The codes that each byte holds, [256, codes a byte], lowest bits first."""
    fields = np.arange(256)[:, None] >> np.arange(0, 8, bits) & 2**bits - 1
    codes: Codes = (2 * fields - 1 if bits == 1 else fields - 2 ** (bits - 1)).astype(np.int8)
    return codes


def pack(codes: Codes, bits: int) -> Bytes:
    """The codes, row by row, several a byte; the last byte is filled up with zero bits."""
    fields = (codes.ravel() > 0) if bits == 1 else codes.ravel() + 2 ** (bits - 1)
    fields = np.pad(fields.astype(np.uint8), (0, -codes.size % (8 // bits))).reshape(-1, 8 // bits)
    packed: Bytes = np.bitwise_or.reduce(fields << np.arange(0, 8, bits, dtype=np.uint8), axis=1)
    return packed


def _replace(graph: ir.Graph, value: ir.Value, codes: Codes, bits: int) -> None:
    name, first = str(value.name), graph[0]
    packed = editing.store(graph, f"{name}_packed", pack(codes, bits))
    index = editing.put(first, "Cast", (packed,), {"to": ir.DataType.INT32})
    result = editing.put(first, "Gather", (editing.store(graph, f"unpack_{bits}", table(bits)), index), {"axis": 0})
    if codes.size % (8 // bits):
        flat = editing.put(first, "Reshape", (result, editing.store_ints(graph, -1)))
        ends = [editing.store_ints(graph, number) for number in (0, codes.size, 0)]
        result = editing.put(first, "Slice", (flat, *ends))
    result = editing.put(first, "Reshape", (result, editing.store_ints(graph, *codes.shape)))
    result.shape, result.type = value.shape, value.type
    ir.convenience.replace_all_uses_with(value, result)
    del graph.initializers[name]
    result.name = name
