"""Narrow weights in the file, bytes in the arithmetic.

Stock CPU kernels multiply bytes; they have no faster product for fewer bits. So codes that fit 4, 2 or 1 bits are
stored as such, several a byte, and a prologue makes bytes of them again: `Reshape(Gather(table, packed))`, where the
table holds what each of the 256 bytes means. It reads constants only, so a runtime works it out once, when it loads the
file. A table needs no 4-bit type, hence no newer opset than the rest.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .passes import editing

Bytes = NDArray[np.uint8]
Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Form:
    """How codes are stored: in so many bits, which count whole numbers, or odd ones (as sums of signs are)."""

    bits: int
    odd: bool

    @property
    def lowest(self) -> int:
        """The code whose bits are all zero."""
        return 1 - (1 << self.bits) if self.odd else -(1 << self.bits - 1)

    @property
    def pitch(self) -> int:
        """How far codes are apart."""
        return 2 if self.odd else 1

    def holds(self, codes: Codes) -> bool:
        """Whether it can store them all."""
        fields = codes.astype(np.int16) - self.lowest
        return bool(((fields % self.pitch == 0) & (fields >= 0) & (fields < self.pitch * 2**self.bits)).all())


FORMS = (Form(1, odd=True), Form(2, odd=True), Form(2, odd=False), Form(4, odd=False))
"""The narrowest first; their bits divide a byte, so codes of 3 bits take 4."""


def pack_weights(model: ir.Model) -> None:
    """Store the codes of every quantized weight in as few bits as hold them."""
    read = [node.inputs[place] for node in model.graph if (place := _PLACES.get(node.op_type)) is not None]
    for value in dict.fromkeys(read):
        codes = editing.constant(value)
        if value is not None and value.is_initializer() and codes is not None and codes.dtype == np.int8:
            form = narrowest(codes)
            if form is not None and codes.size > 1:
                _replace(model.graph, value, codes, form)


_PLACES = {"DequantizeLinear": 0, "MatMulIntegerToFloat": 1, "ConvInteger": 1}
"""Who reads codes, and as which input."""


def narrowest(codes: Codes) -> Form | None:
    """The form of the fewest bits that hold the codes; None if that is a byte."""
    return next((form for form in FORMS if form.holds(codes)), None)


def table(form: Form) -> Codes:
    """The codes that each byte holds, [256, codes a byte], lowest bits first."""
    fields = np.arange(256)[:, None] >> np.arange(0, 8, form.bits) & 2**form.bits - 1
    codes: Codes = (form.pitch * fields + form.lowest).astype(np.int8)
    return codes


def pack(codes: Codes, form: Form) -> Bytes:
    """The codes, row by row, several a byte; the last byte is filled up with zero bits."""
    whole = np.pad(codes.ravel().astype(np.int16) - form.lowest, (0, -codes.size % (8 // form.bits)))
    fields = (whole // form.pitch).astype(np.uint8).reshape(-1, 8 // form.bits)
    packed: Bytes = np.bitwise_or.reduce(fields << np.arange(0, 8, form.bits, dtype=np.uint8), axis=1)
    return packed


def _replace(graph: ir.Graph, value: ir.Value, codes: Codes, form: Form) -> None:
    name, first = str(value.name), graph[0]
    packed = editing.store(graph, f"{name}_packed", pack(codes, form))
    index = editing.put(first, "Cast", (packed,), {"to": ir.DataType.INT32})
    result = editing.put(first, "Gather", (editing.store(graph, _name(form), table(form)), index), {"axis": 0})
    if codes.size % (8 // form.bits):
        flat = editing.put(first, "Reshape", (result, editing.store_ints(graph, -1)))
        ends = [editing.store_ints(graph, number) for number in (0, codes.size, 0)]
        result = editing.put(first, "Slice", (flat, *ends))
    result = editing.put(first, "Reshape", (result, editing.store_ints(graph, *codes.shape)))
    result.shape, result.type = value.shape, value.type
    ir.convenience.replace_all_uses_with(value, result)
    del graph.initializers[name]
    result.name = name


def _name(form: Form) -> str:
    return f"unpack_{form.bits}{'_odd' if form.odd else ''}"
