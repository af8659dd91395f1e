"""vitc's operators for coremltools' torch frontend: how each is written as operators of a Core ML program."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule

from ..compress import ops  # noqa: F401  (registers the operators)
from ..compress.scheme import SCHEMES
from .coreml_weights import packed

_WEIGHTED = {torch.ops.vitc.linear.default, torch.ops.vitc.conv2d.default}


def register() -> None:
    """Teach coremltools the operators; again does no harm."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import register_torch_op

    for name, translate in TRANSLATIONS.items():
        register_torch_op(_converter(name, translate), torch_alias=[name], override=True)


def weight_bits(program: GraphModule) -> set[int]:
    """The widths of the codes that a program holds."""
    return {node.args[-1] for node in program.graph.nodes if node.target in _WEIGHTED}


def _converter(name: str, translate: Callable[..., Any]) -> Callable[[Any, Any], None]:
    """A function of the frontend's form: it looks up what a node reads, and files what becomes of it."""

    def convert(context: Any, node: Any) -> None:
        values = [context[value] if isinstance(value, str) and value in context else value for value in node.inputs]
        context.add(translate(*values, name=node.name))

    convert.__name__ = name.replace("::", "_")  # the registry files it under this name too
    return convert


def _quantize(x: Any, low: float, high: float, bits: int, scheme: str, *, name: str) -> Any:  # noqa: PLR0913  (its parameters are the operator's schema)
    from coremltools.converters.mil import Builder

    grid = SCHEMES[scheme].grid(low, high, bits)
    kind = "int8" if grid.lowest < 0 else "uint8"
    if grid.highest - grid.lowest < 255:
        lowest, highest = (grid.scale * (code - grid.zero_point) for code in (grid.lowest, grid.highest))
        x = Builder.clip(x=x, alpha=lowest, beta=highest, name=f"{name}_clipped")
    step: dict[str, Any] = {"scale": np.float32(grid.scale)}
    if grid.zero_point:
        step["zero_point"] = np.dtype(kind).type(grid.zero_point)
    codes = Builder.quantize(input=x, output_dtype=kind, name=f"{name}_codes", **step)
    return Builder.dequantize(input=codes, name=name, **step)


def _linear(x: Any, codes: Any, scale: Any, bias: Any, bits: int, *, name: str) -> Any:  # noqa: PLR0913  (likewise)
    from coremltools.converters.mil import Builder

    weight = packed(np.ascontiguousarray(codes.val.T), scale.val, bits, _layer(codes))
    return Builder.linear(x=x, weight=weight, bias=bias, name=name)


def _conv2d(  # noqa: PLR0913  (likewise)
    x: Any,
    codes: Any,
    scale: Any,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    bits: int,
    *,
    name: str,
) -> Any:
    from coremltools.converters.mil import Builder

    weight = packed(codes.val, scale.val, bits, _layer(codes))
    pad = [side for length in padding for side in (length, length)]
    return Builder.conv(
        x=x,
        weight=weight,
        bias=bias,
        strides=stride,
        pad_type="custom",
        pad=pad,
        dilations=dilation,
        groups=groups,
        name=name,
    )


def _layer(codes: Any) -> str:
    """What the unfolded weight of a buffer of codes is called: the layer's own name and `weight`."""
    name: str = codes.name
    return name.removeprefix("b_").removesuffix("_codes").removesuffix("_flat")


TRANSLATIONS: Mapping[str, Callable[..., Any]] = {
    "vitc::quantize": _quantize,
    "vitc::linear": _linear,
    "vitc::conv2d": _conv2d,
}
