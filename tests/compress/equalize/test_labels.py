from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.equalize.labels import Labels, moves, origin
from vitc.models.program import trace

WIDTH = 12
linear = torch.ops.aten.linear.default


class Shaped(nn.Module):
    """One linear, and one that reads what `shape` makes of its output."""

    def __init__(self, shape: str, width: int = WIDTH) -> None:
        super().__init__()
        self.first, self.second, self.shape = nn.Linear(WIDTH, WIDTH), nn.Linear(width, 2), shape

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        shapes: dict[str, Callable[[], Tensor]] = {
            "plain": lambda: x,
            "moved": lambda: x.reshape(-1, 5, 3, 4).permute(2, 0, 1, 3).permute(1, 2, 0, 3).flatten(2),
            "heads mixed": lambda: x.reshape(-1, 5, 3, 4).transpose(2, 3).flatten(2),
            "half": lambda: x.chunk(2, -1)[1],
            "rolled": lambda: x.roll(1, 1),
            "channels rolled": lambda: x.roll(1, 2),
            "tokens and channels swapped": lambda: x[:, :4].transpose(1, 2),
            "mean of tokens": lambda: x.mean(1),
            "mean of channels": lambda: x.reshape(-1, 5, 2, 6).mean(2),
            "padded": lambda: nn.functional.pad(x, (0, 0, 1, 0)),
            "padded, mean": lambda: nn.functional.pad(x, (0, 0, 1, 0)).mean(1),
            "padded by nothing": lambda: nn.functional.pad(x, (0, 0, 0, 0)),
            "padded by ones": lambda: nn.functional.pad(x, (0, 0, 1, 0), value=1.0),
            "padded channels": lambda: nn.functional.pad(x, (0, 1)),
            "dropped": lambda: nn.functional.dropout(x, 0.5, training=True),
        }
        answer: Tensor = self.second(shapes[self.shape]())
        return answer


def columns(shape: str, width: int = WIDTH) -> list[int] | None:
    """The channels that the second linear reads, or None if they cannot be told."""
    program = trace(Shaped(shape, width), (5, WIDTH))
    first, second = program.graph.find_nodes(op="call_function", target=linear)
    (reading,) = Labels(program).readings(first)
    found = reading.columns() if reading.reader is second else None
    return None if found is None else found.tolist()


IN_ORDER = list(range(1, WIDTH + 1))


@pytest.mark.parametrize("shape", ["plain", "moved", "rolled", "mean of tokens", "padded", "padded by nothing"])
def test_channels_arrive_in_order(shape: str) -> None:
    assert columns(shape) == IN_ORDER


def test_channels_arrive_in_another_order() -> None:
    assert columns("heads mixed") == [1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12]
    assert columns("channels rolled") == [12, *IN_ORDER[:-1]]
    assert columns("half", 6) == IN_ORDER[6:]


@pytest.mark.parametrize(
    ("shape", "width"),
    [
        ("tokens and channels swapped", 4),
        ("mean of channels", 6),
        ("padded, mean", WIDTH),
        ("padded by ones", WIDTH),
        ("padded channels", WIDTH + 1),
        ("dropped", WIDTH),
    ],
)
def test_what_is_no_channel_is_not_taken_for_one(shape: str, width: int) -> None:
    assert columns(shape, width) is None


@pytest.mark.parametrize(("shape", "padded"), [("padded", True), ("padded by nothing", False)])
def test_padding_is_noticed(shape: str, padded: bool) -> None:  # noqa: FBT001  (a case of the table)
    program = trace(Shaped(shape), (5, WIDTH))
    (reading,) = Labels(program).readings(program.graph.find_nodes(op="call_function", target=linear)[0])
    assert reading.padded == padded


def test_the_origin_lies_behind_all_that_moves() -> None:
    program = trace(Shaped("moved"), (5, WIDTH))
    first, second = program.graph.find_nodes(op="call_function", target=linear)
    assert second.args[0] is not first
    assert origin(second.all_input_nodes[0]) is first
    assert not moves(first)
