"""What Core ML cannot hold, seen in a program before it is converted: operators, ranks, free dimensions, magnitudes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .coreml_image import LAYOUTS
from .coreml_weights import NARROWEST_BYTES
from .preflight import HALF_END, MARGIN, Finding, Subject

MOST_AXES = 5
ENDLESS = 1e38
"""From here on a value stands for infinity, as in the masks of attention; coremltools writes it as such."""

aten = torch.ops.aten
_RESHAPES = {aten.view.default, aten._unsafe_view.default, aten.reshape.default}
_COPIES = {aten.clone.default}
_PERMUTES = {aten.permute.default, aten.transpose.int}


def unknown_operators(program: GraphModule) -> Iterator[Finding]:
    """Operators that coremltools does not translate, each once."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY as KNOWN

    first = {_operator(node): node for node in reversed(program.graph.nodes) if node.op == "call_function"}
    for operator, node in first.items():
        if KNOWN.get_func(operator) is None:
            what = f"coremltools has no translation of {operator}"
            yield Finding("operator", node.name, what, "replace it in the model", fatal=True)


def _operator(node: Node) -> str:
    """What coremltools looks an operator up by."""
    target: Any = node.target
    return str(target.name() if hasattr(target, "name") else target.__name__)


def high_ranks(program: GraphModule) -> Iterator[Finding]:
    """Values of more than five axes, but for those between two reshapes: coremltools permutes their axes in steps."""
    between = {node for start in program.graph.nodes for node in _excursion(start)}
    for node in program.graph.nodes:
        if _rank(node) > MOST_AXES and node not in between:
            what = f"has {_rank(node)} axes, Core ML at most {MOST_AXES}"
            yield Finding("rank", node.name, what, "reshape it to fewer in the model", fatal=True)


def _excursion(start: Node) -> list[Node]:
    """What a reshape to a high rank leads to, until another brings it back; nothing where something else happens."""
    path, node = [start], start
    if start.target not in _RESHAPES or _rank(start) <= MOST_AXES:
        return []
    while len(node.users) == 1:
        node = next(iter(node.users))
        if node.target in _RESHAPES and _rank(node) <= MOST_AXES:
            return path
        if node.target not in _COPIES | _PERMUTES:
            return []
        path.append(node)
    return []


def _rank(node: Node) -> int:
    value = node.meta.get("val") if node.op == "call_function" else None
    return value.dim() if isinstance(value, Tensor) else 0


def free_dimensions(program: GraphModule) -> Iterator[Finding]:
    """Values whose size depends on what is in them."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and not all(isinstance(size, int) for size in value.shape):
            what = f"its shape {tuple(value.shape)} is known only when it is computed"
            yield Finding("shape", node.name, what, "replace what chooses elements by their values", fatal=True)
            return


def overflow(subject: Subject) -> Iterator[Finding]:
    """Values that do not fit 16-bit floats, or come near: the worst of them."""
    computed = {node.name for node in subject.program.graph.nodes if node.op == "call_function"}
    peaks = {name: peak for name, peak in subject.peaks.items() if name in computed and peak < ENDLESS}
    name = max(peaks, key=peaks.__getitem__, default="")
    if not name or peaks[name] * MARGIN <= HALF_END:
        return
    beyond = sum(peak > HALF_END for peak in peaks.values())
    if beyond:
        what = f"reaches {peaks[name]:.3g} on sample images, 16-bit floats end at {HALF_END:.0f} ({beyond} such values)"
    else:
        what = f"reaches {peaks[name]:.3g} on sample images, within {MARGIN} times of {HALF_END:.0f}"
    mend = "scale the layers before it down and those after it up, or choose a target with 32-bit floats"
    yield Finding("fp16 overflow", name, what, mend, fatal=beyond > 0)


def wishes(subject: Subject) -> Iterator[Finding]:
    """What was asked for and comes out otherwise, or not at all."""
    options, channels = subject.options, subject.backbone.preprocessing.input_size[0]
    if options.batch is None:
        what = "its batch is fixed: one image an inference"
        yield Finding("batch", "input", what, "give --batch for another number", fatal=False)
    if options.image_input and channels not in LAYOUTS:
        what = f"an image of {channels} channels is none that Core ML knows"
        yield Finding("image", "input", what, "leave the input a tensor", fatal=True)
    if options.image_input and (options.batch or 1) > 1:
        what = f"an image input takes one image an inference, not {options.batch}"
        yield Finding("image", "input", what, "leave --batch at 1, or the input a tensor", fatal=True)
    bits = subject.weight_bits
    if bits is not None and NARROWEST_BYTES <= bits < 8:
        what = f"codes of {bits} bits are stored in bytes"
        yield Finding("packing", "weights", what, "take 8 bits, or 4 and fewer, which are packed", fatal=False)
