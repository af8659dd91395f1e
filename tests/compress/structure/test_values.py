"""Dimensions of values that others repeat cost nothing; turning loses nothing; each head gives up as many."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitc.compress.structure.values import find_values, turned, ways
from vitc.models.program import trace

SIZE = (3, 4, 16)
WIDTH = 8


class Attention(nn.Module):
    """Two heads; in the first two values repeat others, in the second two are not read."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(16, 48), nn.Linear(16, 24)
        with torch.no_grad():
            values = self.qkv.weight[32:]
            values[6:8] = values[2:4] - values[:2]
            self.proj.weight[:, 8:10] = 0

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1, 2)
        q, k, v = self.qkv(x).reshape(x.shape[0], 12, 3, 2, WIDTH).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(y.transpose(1, 2).reshape(x.shape[0], 12, 16))
        return out.flatten(1)


def images(count: int) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(0))


def test_turning_loses_nothing_and_sorts() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, mix = (torch.randn(24, 16, generator=generator).double() for _ in range(2))
    seen = mix.t() @ mix
    turn, axes = turned(seen, weight, 2)
    torch.testing.assert_close(axes @ turn, weight)
    assert not turn[:8, 8:].any()
    assert not turn[8:, :8].any()
    spread = turn @ seen @ turn.t()
    for head in (spread[:8, :8], spread[8:, 8:]):
        torch.testing.assert_close(head, head.diagonal().diag(), rtol=1e-3, atol=1e-3 * float(head.max()))
        assert bool((head.diagonal().diff() <= 0).all())


@pytest.mark.parametrize("seen", [torch.zeros(16, 16), torch.ones(16, 16)], ids=["nothing", "one thing"])
def test_turning_loses_nothing_where_images_show_little(seen: Tensor) -> None:
    weight = torch.randn(24, 16, generator=torch.Generator().manual_seed(0)).double()
    turn, axes = turned(seen.double(), weight, 2)
    torch.testing.assert_close(axes @ turn, weight)


def test_values_that_add_nothing_go_and_the_answers_stay() -> None:
    torch.manual_seed(0)
    module = Attention().eval()
    program, x = trace(module, SIZE), images(60)
    (room,) = find_values(program)
    assert (room.name, room.width, room.heads) == ("qkv.value", 16, 2)
    (way,) = ways(program, [room], [12], x.split(7))
    assert float(way.losses[:4].sum()) < 1e-3 * float(way.losses[4:].sum())
    way.narrow(program, 4)
    program.recompile()
    with torch.no_grad():
        torch.testing.assert_close(program(x), module(x), rtol=1e-2, atol=1e-3)
    assert program.get_parameter("qkv.value.weight").shape == (12, 16)
    assert program.get_parameter("qkv.query.weight").shape == (16, 16)
    assert program.get_parameter("proj.weight").shape == (24, 12)


def test_each_head_gives_up_as_many() -> None:
    torch.manual_seed(0)
    program = trace(Attention().eval(), SIZE)
    rooms = find_values(program)
    (way,) = ways(program, rooms, [12], [images(20)])
    for rounds in range(1, 7):
        gone = way.way.order[: 2 * rounds]
        assert int((gone < WIDTH).sum()) == rounds


def test_an_output_narrower_than_a_head_is_left_alone() -> None:
    class Narrow(Attention):
        def __init__(self) -> None:
            super().__init__()
            self.proj = nn.Linear(16, 5)

    assert not find_values(trace(Narrow().eval(), SIZE))
