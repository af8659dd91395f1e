from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node

from vitc.compress.channels import as_axes, axis_after, axis_before, is_changed, rank_of, value_readers
from vitc.models.program import trace

SIZE = (4, 6, 10)
MOVES: dict[str, tuple[Callable[[Tensor], Tensor], int, int | None]] = {
    "permute": (lambda x: x.permute(0, 2, 3, 1), 1, 3),
    "transpose": (lambda x: x.transpose(1, -1), 1, 3),
    "transpose of others": (lambda x: x.transpose(2, 3), 1, 1),
    "flatten behind": (lambda x: x.flatten(2), 1, 1),
    "flatten in front": (lambda x: x.transpose(1, 3).flatten(0, 2), 1, 1),
    "flatten the axis away": (lambda x: x.flatten(1), 1, None),
    "split": (lambda x: x.reshape(-1, 2, 2, 6, 10), 1, None),
    "dropout": (lambda x: nn.functional.dropout(x, 0.5, training=False), 1, 1),
    "contiguous": (lambda x: x.contiguous(), 1, 1),
    "arithmetic": (torch.exp, 1, None),
}


class Moved(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images + 1)


def moves(function: Callable[[Tensor], Tensor]) -> list[Node]:
    """What the function was traced as."""
    return [node for node in trace(Moved(function), SIZE).graph.nodes if node.op == "call_function"][1:]


@pytest.mark.parametrize(("function", "axis", "wanted"), MOVES.values(), ids=MOVES.keys())
def test_an_axis_is_followed_both_ways(function: Callable[[Tensor], Tensor], axis: int, wanted: int | None) -> None:
    nodes = [node for node in moves(function) if "sym_size" not in str(node.target)]
    place: int | None = axis
    for node in nodes:
        before = place
        place = None if place is None else axis_after(node, place)
        assert place is None or axis_before(node, place) == before
    assert place == wanted


@pytest.mark.parametrize(
    ("axes", "keep", "wanted"), [((2, 3), False, 1), ((0, -1), False, 0), ((0, 2), True, 1), ((1, 2), False, None)]
)
def test_a_mean_keeps_the_other_axes(axes: tuple[int, ...], keep: bool, wanted: int | None) -> None:  # noqa: FBT001
    (mean,) = moves(lambda x: x.mean(axes, keepdim=keep))
    assert axis_after(mean, 1) == wanted
    assert axis_before(mean, 1) is None, "the mean of what comes before is not what comes before the mean"


def test_who_asks_for_a_shape_reads_no_values() -> None:
    program = trace(Moved(lambda x: x.flatten(1).exp().reshape_as(x)), SIZE)
    start = next(node for node in program.graph.nodes if node.op == "call_function")
    assert len(start.users) > 1
    assert [str(reader.target) for reader in value_readers(start)] == ["aten.flatten.using_ints"]


def test_writing_into_a_view_is_noticed() -> None:
    for function, wanted in ((lambda x: x.flatten(1).relu_(), True), (lambda x: x.flatten(1).relu(), False)):
        program = trace(Moved(function), SIZE)
        start = next(node for node in program.graph.nodes if node.op == "call_function")
        assert is_changed(start) is wanted


def test_rank() -> None:
    assert [rank_of(node) for node in moves(lambda x: x.flatten(1))] == [2]


def test_axes_are_counted_from_the_front() -> None:
    assert as_axes([-1, 0, -3], 3) == [2, 0, 0]
