"""vitc's operators for coremltools' torch frontend: how each is written as operators of a Core ML program."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch.fx import GraphModule

from ..compress import binary_softmax, ops
from ..compress.scheme import SCHEMES
from ..layers import layer_of
from .coreml_weights import packed


def register() -> None:
    """Teach coremltools the operators; again does no harm."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import register_torch_op

    for name, translate in TRANSLATIONS.items():
        register_torch_op(_converter(name, translate), torch_alias=[name], override=True)


def weight_bits(program: GraphModule) -> set[int]:
    """The widths of the codes that a program holds."""
    return {node.args[-1] for node in program.graph.nodes if node.target in ops.QUANTIZED.values()}


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
    if not grid.fills_byte:
        lowest, highest = grid.ends
        x = Builder.clip(x=x, alpha=lowest, beta=highest, name=f"{name}_clipped")
    step: dict[str, Any] = {"scale": np.float32(grid.scale)}
    if grid.zero_point:
        step["zero_point"] = np.dtype(grid.kind).type(grid.zero_point)
    codes = Builder.quantize(input=x, output_dtype=grid.kind, name=f"{name}_codes", **step)
    return Builder.dequantize(input=codes, name=name, **step)


def _quantize_axis(  # noqa: PLR0913  (likewise)
    x: Any, low: Any, high: Any, axis: int, bits: int, scheme: str, *, name: str
) -> Any:
    from coremltools.converters.mil import Builder

    grids, axis = ops.grids_of(low, high, bits, scheme), axis % len(x.shape)
    kind = grids[0].kind
    if not grids[0].fills_byte:
        shape = [-1 if index == axis else 1 for index in range(len(x.shape))]
        lowest, highest = (np.array(e, np.float32).reshape(shape) for e in zip(*(g.ends for g in grids), strict=True))
        x = Builder.maximum(x=x, y=lowest, name=f"{name}_raised")  # clip has one end for the whole tensor
        x = Builder.minimum(x=x, y=highest, name=f"{name}_clipped")
    step: dict[str, Any] = {"scale": np.array([grid.scale for grid in grids], np.float32), "axis": axis}
    if any(grid.zero_point for grid in grids):
        step["zero_point"] = np.array([grid.zero_point for grid in grids], kind)
    codes = Builder.quantize(input=x, output_dtype=kind, name=f"{name}_codes", **step)
    return Builder.dequantize(input=codes, name=name, **step)


def _binary_softmax(scores: Any, scale: Any, *, name: str) -> Any:
    from coremltools.converters.mil import Builder

    largest = Builder.reduce_max(x=scores, axes=[-1], keep_dims=True, name=f"{name}_largest")
    least = Builder.sub(x=largest, y=np.float32(binary_softmax.BEHIND), name=f"{name}_least")
    counting = Builder.cast(
        x=Builder.greater_equal(x=scores, y=least, name=f"{name}_counts"), dtype="fp32", name=f"{name}_ones"
    )
    return Builder.mul(x=counting, y=np.array(scale, np.float32).reshape(-1, 1, 1), name=name)


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
    return layer_of(codes.name.removeprefix("b_"))


TRANSLATIONS: Mapping[str, Callable[..., Any]] = {
    "vitc::quantize": _quantize,
    "vitc::quantize_axis": _quantize_axis,
    "vitc::binary_softmax": _binary_softmax,
    "vitc::linear": _linear,
    "vitc::conv2d": _conv2d,
}
