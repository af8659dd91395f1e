"""Scores keep what they were where an axis holds nothing, and are nearest to it elsewhere; the scale stays."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitc.compress.graph import arguments
from vitc.compress.structure.queries import axes, find_queries, ways
from vitc.models.program import trace

SIZE = (3, 4, 16)
WIDTH = 8


class Attention(nn.Module):
    """Two heads; of the keys of each, two dimensions repeat others."""

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.qkv, self.proj, self.scale = nn.Linear(16, 48), nn.Linear(16, 16), scale
        with torch.no_grad():
            keys = self.qkv.weight[16:32].view(2, WIDTH, 16)
            keys[:, 6:] = keys[:, 2:4] - keys[:, :2]
            self.qkv.weight[:32] *= 3

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1, 2)
        q, k, v = self.qkv(x).reshape(x.shape[0], 12, 3, 2, WIDTH).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)
        out: Tensor = self.proj(y.transpose(1, 2).reshape(x.shape[0], 12, 16))
        return out.flatten(1)


def images(count: int) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(0))


def made() -> tuple[Tensor, Tensor]:
    """Queries and keys that depend on each other, [h, R, d]."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(2, 2, WIDTH, WIDTH, generator=generator, dtype=torch.float64)
    q, k = torch.randn(2, 2, 300, WIDTH, generator=generator, dtype=torch.float64) @ mix
    return q + 1, k - k.mean(1, keepdim=True)


def test_all_axes_give_all_scores() -> None:
    q, k = made()
    to_q, to_k, _ = axes(q.mT @ q, k.mT @ k)
    torch.testing.assert_close((q @ to_q.mT) @ (k @ to_k.mT).mT, q @ k.mT)


@pytest.mark.parametrize("left", range(1, WIDTH))
def test_what_is_left_is_the_nearest_of_its_rank(left: int) -> None:
    q, k = made()
    to_q, to_k, losses = axes(q.mT @ q, k.mT @ k)
    exact = q @ k.mT
    found = (q @ to_q[:, :left].mT) @ (k @ to_k[:, :left].mT).mT
    off = (found - exact).square().sum((1, 2))
    best = torch.linalg.svdvals(exact)[:, left:].square().sum(1)
    torch.testing.assert_close(off, best, rtol=1e-4, atol=1e-4)
    gone = 2 * (WIDTH - left)
    assert float(losses[:gone].sum()) == pytest.approx(float(best.sum()), rel=1e-4)


def test_queries_and_keys_reach_the_same() -> None:
    q, k = made()
    to_q, to_k, _ = axes(q.mT @ q, k.mT @ k)
    torch.testing.assert_close((q @ to_q.mT).square().sum(1), (k @ to_k.mT).square().sum(1))


def test_dead_queries_leave_numbers() -> None:
    for found in axes(torch.zeros(2, WIDTH, WIDTH).double(), torch.zeros(2, WIDTH, WIDTH).double()):
        assert bool(found.isfinite().all())


@pytest.mark.parametrize("scale", [None, 0.2])
def test_keys_that_repeat_others_cost_nothing_and_the_scale_stays(scale: float | None) -> None:
    torch.manual_seed(0)
    module = Attention(scale).eval()
    program, x = trace(module, SIZE), images(30)
    (room,) = find_queries(program)
    assert (room.name, room.width, room.heads) == ("qkv.query", 16, 2)
    (way,) = ways(program, [room], [12], x.split(7))
    assert float(way.losses[:4].sum()) < 1e-4 * float(way.losses[4:].sum())
    way.narrow(program, 4)
    program.recompile()
    with torch.no_grad():
        torch.testing.assert_close(program(x), module(x), rtol=1e-3, atol=1e-4)
    query, *_ = arguments(room.attention)
    assert arguments(room.attention)[6] == (scale or WIDTH**-0.5)
    assert next(iter(program.get_parameter("qkv.query.weight").shape)) == 12
    assert query is room.attention.args[0]


def test_the_batches_make_no_difference() -> None:
    torch.manual_seed(0)
    program, x = trace(Attention().eval(), SIZE), images(20)
    rooms = find_queries(program)
    (one,), (other,) = (ways(program, rooms, [12], x.split(size)) for size in (3, 20))
    assert torch.equal(one.queries, other.queries)
    assert torch.equal(one.keys, other.keys)
