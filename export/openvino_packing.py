"""Weight codes in as few bits as they need: 8, 4, 2 or 1 in the file, 8 again when OpenVINO has loaded it.

1. Codes that are all -1 or +1 are stored as bits, and gathered from a table of the two; so are those of -3, -1, 1 and 3
   in two bits. As 2 * bit - 1 they would be taken for a scale and a zero point of the weights, which the product does
   not take in.
2. Codes from -8 to 7 are stored in 4 bits.
3. Both are converted to 8-bit integers in front of the usual dequantization: what is constant is folded at load, so the
   product runs as one of 8-bit codes. Without that Convert a 4-bit weight makes the product a float one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .openvino_codes import constant


def pack(model: Any) -> int:
    """Rewrite the model in place; how many weights became narrower."""
    return sum(_pack(node) for node in model.get_ordered_ops() if node.get_type_name() == "Convert")


def _pack(convert: Any) -> bool:
    import openvino

    codes = constant(convert.input_value(0))
    if codes is None or codes.dtype != np.int8 or codes.ndim < 2:
        return False
    if (bits := next((bits for bits in (1, 2) if _are_odd(codes, bits)), None)) is not None:
        narrow, wide = _looked_up(codes, bits)
    elif codes.min() >= -8 and codes.max() <= 7:
        narrow = openvino.opset13.constant(codes, openvino.Type.i4)
        wide = openvino.opset13.convert(narrow, "i8")
    else:
        return False
    narrow.set_friendly_name(convert.input_value(0).get_node().get_friendly_name())
    convert.input(0).replace_source_output(wide.output(0))
    return True


def _are_odd(codes: NDArray[np.int8], bits: int) -> bool:
    return bool((codes % 2 == 1).all() and np.abs(codes).max() < 2**bits)


def _looked_up(codes: NDArray[np.int8], bits: int) -> tuple[Any, Any]:
    """The constant that is named after the weights, and the codes that it stands for."""
    import openvino
    from openvino import opset13 as op

    reach = 2**bits - 1
    fields = op.constant(((codes + reach) // 2).astype(np.uint8), getattr(openvino.Type, f"u{bits}"))
    known = op.constant(np.arange(-reach, reach + 1, 2, dtype=np.int8))
    return known, op.gather(known, op.convert(fields, "i32"), op.constant(np.int32(0)))
