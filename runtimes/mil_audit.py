"""What a Core ML package's multiplications run on, as its MIL program's operators say.

This is what the file offers. A multiplication counts as one of integers where its input stands directly behind a pair
of `quantize` and `dequantize` and its weights are 8-bit codes with one scale along each sum: the form that Apple
describes as accelerated on the Neural Engine (A17 Pro, M4 and later). Nothing is said of narrower weights, so they
count as the float type that they unfold to. What an engine makes of it, and which engine it is, is known on the device
only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import mil_package
from .audit import Kernel

OPERATORS = {
    "linear": "MatMul",
    "matmul": "MatMul",
    "einsum": "MatMul",
    "scaled_dot_product_attention": "MatMul",
    "conv": "Conv",
    "conv_transpose": "Conv",
}
"""What multiplies matrices, in the audit's words."""

CODES = {
    "constexpr_affine_dequantize": "quantized_data",
    "constexpr_blockwise_shift_scale": "data",
    "constexpr_lut_to_dense": "indices",
    "dequantize": "input",
}
"""What unfolds weights, and where it keeps their codes."""

_MOVES = frozenset(
    ("concat", "expand_dims", "identity", "reshape", "slice_by_index", "slice_by_size", "split", "squeeze", "transpose")
)
"""Operators that leave quantized values on their grid."""

Noted = tuple[str, tuple[int, ...]]


def executed(path: Path, images: NDArray[np.float32]) -> list[Kernel]:
    """The multiplications of one inference of `images`."""
    package = mil_package.open_package(path)
    function = mil_package.main_function(package)
    return [kernel for op in function.operations if op.op_type in OPERATORS for kernel in _kernels(op, len(images))]


def promised(path: Path) -> dict[str, str]:
    """Operation -> layer, where the weights are codes that integers are summed with and the input was quantized."""
    function = mil_package.main_function(mil_package.open_package(path))
    return {
        op.name: op.inputs["weight"].name.removesuffix("_weight")
        for op in function.operations
        if op.op_type in OPERATORS and _has_integer_weights(op) and _comes_from_codes(op.inputs["x"])
    }


def _kernels(op: Any, batch: int) -> Iterator[Kernel]:
    """One kernel for an operation, two for an attention."""
    operator, out = OPERATORS[op.op_type], _noted(op.outputs[0], batch)
    if op.op_type == "scaled_dot_product_attention":
        query, key, value = (_noted(op.inputs[name], batch) for name in ("query", "key", "value"))
        scores = (query[0], (*query[1][:-1], key[1][-2]))
        yield Kernel(operator, op.name, (query, key), (scores,))
        yield Kernel(operator, op.name, (scores, value), (out,))
        return
    if "weight" not in op.inputs:
        factors = op.inputs["values"] if op.op_type == "einsum" else (op.inputs["x"], op.inputs["y"])
        yield Kernel(operator, op.name, tuple(_noted(factor, batch) for factor in factors), (out,))
        return
    x, weight = _noted(op.inputs["x"], batch), op.inputs["weight"]
    if _has_integer_weights(op) and (activations := _quantized(op.inputs["x"])):
        x = (activations, x[1])
    stored = codes(weight)
    noted = (_kind(weight if stored is None else stored), tuple(weight.shape))
    if op.op_type == "conv_transpose":  # it multiplies as much as the convolution whose gradient it is
        x, out = (x[0], out[1]), (out[0], x[1])
    yield Kernel(operator, op.name, (x, noted), (out,))


def codes(weight: Any) -> Any:
    """What a weight is stored as, if it is unfolded from codes, else None."""
    return None if weight.op is None else weight.op.inputs.get(CODES.get(weight.op.op_type, ""))


def _has_integer_weights(op: Any) -> bool:
    """Whether the weights are bytes that have one scale along each sum."""
    weight = op.inputs.get("weight")
    if weight is None or (stored := codes(weight)) is None or _kind(stored) not in ("int8", "uint8"):
        return False
    scale, outputs = weight.op.inputs.get("scale"), 1 if op.op_type == "conv_transpose" else 0
    if weight.op.op_type == "constexpr_blockwise_shift_scale":
        return all(size == 1 for axis, size in enumerate(scale.shape) if axis != outputs)
    if scale is None or scale.rank == 0:
        return scale is not None
    return bool(int(weight.op.inputs["axis"].val) % weight.rank == outputs)


def _quantized(x: Any) -> str | None:
    """The type of the codes that `x` directly comes from."""
    if x.op is None or x.op.op_type != "dequantize":
        return None
    source = x.op.inputs["input"]
    return _kind(source) if source.op is not None and source.op.op_type == "quantize" else None


def _comes_from_codes(x: Any) -> bool:
    """Whether `x` was quantized and has only been moved since."""
    while x.op is not None and x.op.op_type in _MOVES:
        x = x.op.inputs["x"] if "x" in x.op.inputs else x.op.inputs["values"][0]
    return _quantized(x) is not None


def _noted(var: Any, batch: int) -> Noted:
    """Type and shape of a value; a free size is the batch."""
    return _kind(var), tuple(int(size) if isinstance(size, int | np.integer) else batch for size in var.shape)


def _kind(var: Any) -> str:
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(var.dtype))
