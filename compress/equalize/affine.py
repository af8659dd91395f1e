"""Affine changes of channels between what writes them and what reads them: `(x - shift) / scale`, undone by weights."""

from dataclasses import dataclass

from torch import Tensor
from torch.fx import GraphModule, Node

from ..parameters import bias_of, set_bias, set_weight, weight_of


@dataclass(frozen=True)
class Place:
    """Channels that one operator writes and that only linears read, along their last axis."""

    writer: Node
    """A layer norm or a linear."""
    rows: Tensor
    """Which of the writer's outputs each column of the readers sees, [K]."""
    readers: tuple[Node, ...]
    shiftable: bool
    """Whether a constant added by the writer arrives as that constant at every reader."""


def rescale(program: GraphModule, place: Place, scale: Tensor, shift: Tensor) -> None:
    """Have the writer write `(x - shift) / scale`, [K] each, and the readers undo it."""
    scale, shift = scale.double(), shift.double()
    weight = weight_of(program, place.writer)
    weight[place.rows] /= scale.view(-1, *[1] * (weight.dim() - 1))
    set_weight(program, place.writer, weight)
    bias = bias_of(program, place.writer)
    bias[place.rows] = (bias[place.rows] - shift) / scale
    set_bias(program, place.writer, bias)
    for reader in place.readers:
        absorb(program, reader, scale, shift)


def absorb(program: GraphModule, reader: Node, scale: Tensor, shift: Tensor) -> None:
    """Have a linear read `x` and compute what it did of `x * scale + shift`, [K] each."""
    weight = weight_of(program, reader)
    set_bias(program, reader, bias_of(program, reader) + weight @ shift.double())
    set_weight(program, reader, weight * scale.double())


def turn_inputs(program: GraphModule, reader: Node, matrix: Tensor) -> None:
    """Have a linear read `x @ matrix`, [K, K] orthogonal, and compute what it did of `x`."""
    set_weight(program, reader, weight_of(program, reader) @ matrix)


def turn_outputs(program: GraphModule, writer: Node, matrix: Tensor) -> None:
    """Have a linear or a convolution write `x @ matrix`, [N, N], in place of `x`."""
    weight = weight_of(program, writer)
    set_weight(program, writer, (matrix.t() @ weight.flatten(1)).view(weight.shape))
    set_bias(program, writer, bias_of(program, writer) @ matrix)
