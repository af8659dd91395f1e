"""What share of the multiplications a runtime really executes in integers, from the kernels that it says it ran."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Kernel:
    """One executed operation: its type, the node of the file it was made of, and the tensors it saw: (dtype, shape)."""

    operator: str
    name: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class AuditResult:
    """Percent of all MACs that ran in 8-bit integers, percent of the promised ones, and the layers that fell back."""

    int8_macs_pct: float
    promised_pct: float
    fallbacks: tuple[tuple[str, str], ...]
    """(layer, reason)."""
    macs_pct: dict[str, float]
    """Percent of all MACs by the precision that they ran in."""


INT8 = "int8"
PRECISIONS = {
    **dict.fromkeys(("uint8", "int8", "u8", "i8"), INT8),
    **dict.fromkeys(("float", "float32", "fp32", "f32"), "fp32"),
    **dict.fromkeys(("float16", "fp16", "f16", "half"), "fp16"),
    **dict.fromkeys(("bfloat16", "bf16"), "bf16"),
}
"""What the engines call the types that a product's left factor may have."""


def audit(kernels: Sequence[Kernel], promised: Mapping[str, str]) -> AuditResult:
    """Weigh the executed kernels; `promised` says which layer each quantized node is."""
    counted: Counter[str] = Counter()
    kept = fallen = 0
    fallbacks = []
    for kernel in kernels:
        if not (count := macs(kernel)):
            continue
        dtype = kernel.inputs[0][0]
        precision = PRECISIONS.get(dtype, dtype)
        counted[precision] += count
        if precision == INT8:
            kept += count
        elif kernel.name in promised:
            fallen += count
            fallbacks.append((promised[kernel.name], f"runs as {kernel.operator} on {dtype}"))
    shares = {precision: round(100 * count / counted.total(), 2) for precision, count in sorted(counted.items())}
    promised_pct = round(100 * kept / max(kept + fallen, 1), 2) if promised else 100.0
    return AuditResult(shares.get(INT8, 0.0), promised_pct, tuple(fallbacks), shares)


def macs(kernel: Kernel) -> int:
    """Multiplications of one kernel, by the last word of its operator's name; 0 for what multiplies no matrices."""
    if not kernel.outputs:
        return 0
    shapes = [shape for _, shape in kernel.inputs]
    result = math.prod(kernel.outputs[0][1])
    if "Conv" in kernel.operator:
        weight = next(shape for shape in shapes[1:] if len(shape) == len(shapes[0]))
        return result * math.prod(weight[1:])
    if "MatMul" in kernel.operator or "Gemm" in kernel.operator:
        *_, rows, columns = (1, 1, *kernel.outputs[0][1])
        right = next((shape for shape in shapes[1:] if len(shape) > 1), ())
        # [.., M, K] x [.., K, N], however they are transposed: every element of the left factor meets N columns and
        # every one of the right factor M rows. The smaller product is of a factor that is repeated along a batch.
        return max(math.prod(shapes[0]) * columns, math.prod(right) * rows)
    return 0
