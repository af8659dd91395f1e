"""The residual stream rotated, so that no channel stands out (QuaRot, arXiv 2404.00456; QuantVGGT, arXiv 2509.21302).

What few channels hold is spread over all of them: their extremes shrink, and fewer bits do. The rotation is folded
into the weights that write the stream and those that read it. It fixes the vector of ones, so layer norms stay.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ...models.data import Batches
from ..draft import Draft
from ..graph import arguments, assign, tensor
from ..parameters import scale_outputs
from .affine import absorb, turn_inputs, turn_outputs
from .hadamard import rotation
from .stream import Stream, factors, find_streams


@dataclass(frozen=True)
class Rotate:
    """A randomised Hadamard rotation of every residual stream, or of none."""

    seed: int = 0
    """Of the signs."""

    def apply(self, draft: Draft, batches: Batches) -> None:  # noqa: ARG002  (a step is given images; this asks none)
        """Rotate the streams, if nothing stands in the way of any."""
        streams = find_streams(draft.program)
        order = {node: place for place, node in enumerate(draft.program.graph.nodes)}
        obstacles = sorted((node for stream in streams for node in stream.obstacles), key=order.__getitem__)
        if obstacles:
            draft.notes.append(f"rotate: nothing was rotated, {obstacles[0].name} cannot take a rotation up")
        elif not streams:
            draft.notes.append("rotate: nothing was rotated, there is no residual stream between layer norms")
        else:
            for stream in streams:
                turn(draft.program, stream, rotation(stream.width, self.seed))
                draft.notes.append(
                    f"rotate: {len(stream.norms)} layer norms of {stream.width} channels read a rotated stream"
                )
            draft.program.recompile()


def turn(program: GraphModule, stream: Stream, matrix: Tensor) -> None:
    """Have everything that writes a stream write `x @ matrix`, and everything that reads it undo that."""
    for product, writer in stream.scales.items():
        written, factor = factors(product)
        scale_outputs(program, writer, tensor(program, factor).flatten())
        product.replace_all_uses_with(written)
        program.graph.erase_node(product)
    for norm, readers in stream.norms.items():
        strip(program, norm, readers)
    for reader in [*stream.readers, *(reader for readers in stream.norms.values() for reader in readers)]:
        turn_inputs(program, reader, matrix)
    for writer in stream.writers:
        turn_outputs(program, writer, matrix)
    for parameter in stream.parameters:
        value = tensor(program, parameter)
        assign(program, parameter, (value.double() @ matrix).to(value.dtype))


def strip(program: GraphModule, norm: Node, readers: list[Node]) -> None:
    """Fold a layer norm's weight and bias into the linears that read it."""
    _, _, weight, bias, *_ = arguments(norm)
    if weight is None:
        return
    scale = tensor(program, weight)
    shift = torch.zeros_like(scale) if bias is None else tensor(program, bias)
    for reader in readers:
        absorb(program, reader, scale, shift)
    assign(program, weight, torch.ones_like(scale))
    if bias is not None:
        assign(program, bias, torch.zeros_like(shift))
