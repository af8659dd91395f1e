"""Reading and editing a traced program: nothing that belongs to another program changes."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress.graph import (
    arguments,
    assign,
    aten,
    channel_axis,
    find_sites,
    is_grouped,
    is_own,
    layer,
    of_images,
    tensor,
)
from vitc.models.program import trace


def sites_of(module: nn.Module, size: tuple[int, ...]) -> tuple[GraphModule, list[Node]]:
    program = trace(module.eval(), size)
    return program, find_sites(program)


def test_sites_are_told_apart() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(16, 3))
    _, (dense, grouped, linear) = sites_of(module, (4, 6, 6))
    assert [is_grouped(site) for site in (dense, grouped, linear)] == [False, True, False]
    assert [channel_axis(site) for site in (dense, linear)] == [1, -1]
    assert [layer(site) for site in (dense, grouped, linear)] == ["0", "1", "3"]
    assert arguments(dense)[3:] == ([1, 1], [0, 0], [1, 1], 1), "what the call leaves out is the schema's"


def test_assigning_changes_this_program_only() -> None:
    linear = nn.Linear(4, 3)
    before = linear.weight.detach().clone()
    program, (site,) = sites_of(nn.Sequential(nn.Flatten(), linear), (1, 2, 2))
    weight = site.args[1]
    assert isinstance(weight, Node)
    assign(program, weight, before * 2)
    assert torch.equal(tensor(program, weight), before * 2)
    assert torch.equal(linear.weight, before)


def test_a_weight_that_is_read_twice_is_nobodys_own() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both, self.once = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, images: Tensor) -> Tensor:
            answer: Tensor = self.once(self.both(self.both(images.flatten(1))))
            return answer

    program, (first, second, once) = sites_of(Tied(), (1, 2, 2))
    own = [is_own(program, node) for site in (first, second, once) for node in site.args[1:2] if isinstance(node, Node)]
    assert own == [False, False, True]


def test_a_size_of_the_images_depends_on_them_and_a_parameter_does_not() -> None:
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 1, 4))

        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([self.token.expand(images.shape[0], -1, -1), images.flatten(2)], 1)

    program = trace(Token().eval(), (3, 2, 2))
    found = of_images(program)
    assert {node.op for node in set(program.graph.nodes) - found} == {"get_attr"}
    assert set(program.graph.find_nodes(op="call_function", target=aten.expand.default)) <= found
