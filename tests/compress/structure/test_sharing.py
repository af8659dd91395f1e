"""A share goes where it costs least to the answers, in numbers that every head can give up."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress.graph import find_sites
from vitc.compress.structure.sharing import Share
from vitc.compress.structure.trials import Parameters
from vitc.errors import UserError
from vitc.models.program import trace

SIZE = (3, 4, 4)


@dataclass(frozen=True)
class Room:
    name: str
    width: int
    heads: int


@dataclass(frozen=True)
class Fading:
    """A way that makes a layer's weights smaller with each removal, at a speed of its own."""

    site: Node
    losses: Tensor
    weight: Tensor
    bias: Tensor
    speed: float

    def refitted(self, program: GraphModule, count: int) -> Parameters:
        assert program is not None
        return self.weight * (1 - self.speed * count), self.bias

    def narrow(self, program: GraphModule, count: int) -> None:
        raise AssertionError(f"what is settled is not done yet: {count} of {program}")


def test_stops_are_those_of_every_head() -> None:
    share = Share("values", 0.25, 8)
    assert share.stops(Room("one", 3 * 64, 3)) == [0, 24, 48, 72, 96, 120]
    assert share.stops(Room("one", 192, 1)) == [0, *range(8, 121, 8)]
    assert share.budget([Room("one", 192, 3), Room("other", 192, 3)]) == 96


@pytest.mark.parametrize("heads", [1, 2])
def test_what_matters_less_to_the_answers_gives_up_more(heads: int) -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(4, 32), nn.Linear(32, 32)
    module = nn.Sequential(one, nn.Tanh(), other, nn.Tanh(), nn.Flatten(), nn.Linear(384, 5))
    program = trace(module.eval(), SIZE)
    ways = [
        Fading(site, torch.ones(32), layer.weight, layer.bias, speed)
        for site, layer, speed in zip(find_sites(program), (one, other), (0.0, 0.05), strict=False)
    ]
    rooms = [Room("free", 32, heads), Room("dear", 32, heads)]
    x = torch.randn(9, *SIZE, generator=torch.Generator().manual_seed(0))
    assert Share("neurons", 0.25, 4).settle(program, rooms, ways, [x]) == [16, 0]
    assert Share("neurons", 0.25, 4).settle(program, rooms[::-1], ways[::-1], [x]) == [0, 16]


def test_shares_that_cannot_be_met_are_refused() -> None:
    rooms = [Room("one", 96, 3), Room("other", 96, 3)]
    with pytest.raises(UserError, match=r"values=0\.1 of 192 in tiny is less than a layer gives up in one step"):
        Share("values", 0.1, 8).check(rooms, "tiny")
    with pytest.raises(UserError, match="it can give up 144 and keep 8 in each head"):
        Share("values", 0.9, 8).check(rooms, "tiny")
    with pytest.raises(UserError, match="keep 64 in each layer"):
        Share("neurons", 0.9, 64).check([Room("one", 96, 1)], "tiny")
    Share("values", 0.2, 8).check(rooms, "tiny")
