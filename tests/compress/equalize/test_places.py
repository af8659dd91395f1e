from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitc.compress.equalize.affine import Place
from vitc.compress.equalize.labels import Labels
from vitc.compress.equalize.places import find_norms, find_values
from vitc.compress.graph import as_node, layer
from vitc.models.program import trace

WIDTH, HEADS = 12, 3


class Attention(nn.Module):
    """One attention, written in one of many ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.norm, self.qkv, self.proj = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mix, self.other, self.how = nn.Linear(4, 4), nn.Linear(WIDTH, WIDTH), how
        self.hides, self.shows = (nn.Buffer(torch.ones(4, 4, dtype=torch.bool).tril(below)) for below in (-1, 0))

    def forward(self, images: Tensor) -> Tensor:
        normed = self.norm(images)
        heads = self.qkv(normed).reshape(-1, 4, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = heads.unbind(0)
        scores = q @ k.mT
        ways: dict[str, Callable[[], Tensor]] = {
            "fused": lambda: functional.scaled_dot_product_attention(q, k, v),
            "mask hides a token's all": lambda: functional.scaled_dot_product_attention(q, k, v, self.hides),
            "mask shows some": lambda: functional.scaled_dot_product_attention(q, k, v, self.shows),
            "mask of the image": lambda: functional.scaled_dot_product_attention(q, k, v, scores),
            "dropout": lambda: functional.scaled_dot_product_attention(q, k, v, dropout_p=0.5),
            "written out": lambda: scores.softmax(-1) @ v,
            "one bit": lambda: torch.ops.vitc.binary_softmax(scores, [0.1] * HEADS) @ v,
            "softmax of the other axis": lambda: scores.softmax(-2) @ v,
            "softmax turned": lambda: scores.softmax(-1).mT @ v,
            "softmax mixed": lambda: self.mix(scores.softmax(-1)) @ v,
            "no softmax": lambda: scores @ v,
            "values are keys": lambda: functional.scaled_dot_product_attention(q, v, v),
            "values read twice": lambda: scores.softmax(-1) @ v + v,
            "values mixed": lambda: scores.softmax(-1) @ v.mT.reshape(-1, HEADS, 4, 4),
        }
        tokens = ways.get(self.how, ways["fused"])().transpose(1, 2).flatten(2)
        answer: Tensor = self.proj(tokens) + (self.other(normed) if self.how == "apart" else 0)
        return answer


class Norms(nn.Module):
    """Norms that may be rescaled, and norms that may not."""

    def __init__(self) -> None:
        super().__init__()
        names = ("plain", "two", "other", "summed", "padded", "tied", "again")
        self.norms = nn.ModuleDict({name: nn.LayerNorm(WIDTH) for name in names})
        self.linears = nn.ModuleDict({name: nn.Linear(WIDTH, WIDTH) for name in names})
        self.bare, self.wide = nn.LayerNorm(WIDTH, elementwise_affine=False), nn.LayerNorm((4, WIDTH))
        self.linears["tied"].weight = self.linears["again"].weight

    def forward(self, x: Tensor) -> Tensor:
        norms, linears = self.norms, self.linears
        two, summed = norms["two"](x), norms["summed"](x)
        x = x + linears["plain"](norms["plain"](x)) + linears["two"](two) * linears["other"](two)
        x = x + linears["summed"](summed) + summed
        x = x + linears["padded"](functional.pad(norms["padded"](x), (0, 0, 1, 0)))[:, 1:]
        x = x + linears["tied"](norms["tied"](x)) + linears["again"](norms["again"](x))
        answer: Tensor = linears["other"](self.bare(x)) + self.wide(x)
        return answer


def values(how: str) -> list[Place]:
    program = trace(Attention(how).eval(), (4, WIDTH))
    return list(find_values(program, Labels(program)))


def test_shares_of_one_bit_do_not_sum_to_one() -> None:
    (place,) = values("one bit")
    assert not place.shiftable


@pytest.mark.parametrize("how", ["fused", "mask shows some", "written out"])
def test_attention_values_are_found(how: str) -> None:
    (place,) = values(how)
    assert layer(place.writer) == "qkv"
    assert [layer(reader) for reader in place.readers] == ["proj"]
    assert place.rows.tolist() == list(range(2 * WIDTH, 3 * WIDTH))
    assert place.shiftable


@pytest.mark.parametrize("how", ["mask hides a token's all", "mask of the image"])
def test_a_row_that_may_be_hidden_whole_takes_no_shift(how: str) -> None:
    assert [place.shiftable for place in values(how)] == [False]


@pytest.mark.parametrize(
    "how",
    [
        "dropout",
        "softmax of the other axis",
        "softmax turned",
        "softmax mixed",
        "no softmax",
        "values are keys",
        "values read twice",
        "values mixed",
    ],
)
def test_what_does_not_average_values_is_left_alone(how: str) -> None:
    assert values(how) == []


def test_norms_that_only_linears_of_their_own_weights_read_are_found() -> None:
    program = trace(Norms().eval(), (4, WIDTH))
    found = {
        str(as_node(place.writer.args[2]).target): (sorted(layer(reader) for reader in place.readers), place.shiftable)
        for place in find_norms(program, Labels(program))
    }
    assert found == {
        "norms.plain.weight": (["linears.plain"], True),
        "norms.padded.weight": (["linears.padded"], False),
    }, "one linear of `two` is read again, `summed` by a sum; `tied` and `again` have one weight"


def test_a_norm_that_several_linears_read_is_found() -> None:
    program = trace(Attention("apart").eval(), (4, WIDTH))
    (place,) = find_norms(program, Labels(program))
    assert sorted(layer(reader) for reader in place.readers) == ["other", "qkv"]
