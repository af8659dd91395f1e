"""What a float backbone's own graph tells of TensorRT, before anything is translated: values, dimensions, wishes.

LayerNorm and whatever else squares and sums runs in float32 (`trt_half`), so that those sums cannot overflow. Every
other value is a float16, and the peaks that a few images reach say whether it fits.
"""

import operator
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.fx import Node

from .preflight import HALF_END, MARGIN, Finding, Subject
from .trt_int4 import WIDEST

MOST_DIMENSIONS = 8
WIDE = {
    getattr(torch.ops.aten, name)
    for name in (
        *("layer_norm", "native_layer_norm", "group_norm", "rms_norm", "linalg_vector_norm", "pow", "sqrt", "rsqrt"),
        *("reciprocal", "mean", "sum", "var", "std", "exp", "log", "cumsum"),
    )
}
"""What the exporter turns into operators that stay in float32."""
ATTENTION = torch.ops.aten.scaled_dot_product_attention


def foresee(subject: Subject) -> Iterator[Finding]:
    """All of this file's rules."""
    yield from overflow(subject)
    yield from attention(subject)
    yield from dimensions(subject)
    yield from wishes(subject)


def overflow(subject: Subject) -> Iterator[Finding]:
    """Values that float16 cannot hold, or only just; what is computed and read in float32 does not count."""
    for node in subject.program.graph.nodes:
        peak = subject.peaks.get(node.name, 0.0)
        narrow = not _is_wide(node) or not all(_is_wide(reader) for reader in node.users)
        if node.op not in {"placeholder", "output"} and narrow and peak * MARGIN > HALF_END:
            yield Finding(
                "fp16-overflow",
                node.name,
                f"values reach {peak:.3g}, and float16 ends at {HALF_END:.0f}",
                "lower its scale in the model, or choose another target",
                fatal=peak > HALF_END,
            )


def attention(subject: Subject) -> Iterator[Finding]:
    """Scores of attention, which no value of the graph shows: at most |q| |k| sqrt(d) for the largest elements."""
    for node in subject.program.graph.nodes:
        if getattr(node.target, "overloadpacket", None) is not ATTENTION:
            continue
        query, key = node.args[:2]
        bound = subject.peaks[query.name] * subject.peaks[key.name] * query.meta["val"].shape[-1] ** 0.5
        if bound > HALF_END:
            yield Finding(
                "fp16-overflow",
                node.name,
                f"scores may reach {bound:.3g}, and float16 ends at {HALF_END:.0f}",
                "compare the answers on the device, or normalize queries and keys in the model",
                fatal=False,
            )


def dimensions(subject: Subject) -> Iterator[Finding]:
    """Tensors of more dimensions than TensorRT has."""
    for node in subject.program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.dim() > MOST_DIMENSIONS:
            what = f"{value.dim()} dimensions, where TensorRT has at most {MOST_DIMENSIONS}"
            yield Finding("rank", node.name, what, "replace it in the model", fatal=True)


def wishes(subject: Subject) -> Iterator[Finding]:
    """What was asked for and is not done as asked."""
    bits = subject.weight_bits
    if bits is not None and bits <= WIDEST:
        yield Finding(
            "weight-only",
            f"{bits}-bit weights",
            f"stored in {WIDEST} bits and multiplied in float16: smaller, and not promised to be faster",
            "use --ptq int8 for integer arithmetic",
            fatal=False,
        )
    if subject.options.image_input:
        yield Finding(
            "image-input",
            "the input",
            "stays a normalized float32 tensor: the preprocessing is not in the file",
            "prepare images as build.json's metadata says",
            fatal=False,
        )


def _is_wide(node: Node) -> bool:
    """Whether a node of the program runs in float32."""
    return getattr(node.target, "overloadpacket", None) in WIDE or node.target is operator.getitem
