"""Reading and editing a traced program: nothing that belongs to another program changes."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress.graph import (
    arguments,
    as_axes,
    assign,
    aten,
    channel_axis,
    channel_readers,
    find_sites,
    is_grouped,
    is_own,
    layer,
    tensor,
)
from vitc.models.program import trace


class Views(nn.Module):
    """A norm that two linears read: one through windows, one after its axes were turned."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.kept, self.turned = nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(4, 6)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(images.flatten(2))
        kept = self.kept(nn.functional.dropout(tokens.roll(1, 1).reshape(-1, 2, 2, 6), 0.0))
        turned = self.turned(tokens.transpose(1, 2))
        answer: Tensor = kept.sum((1, 2)) + turned.sum(1)
        return answer


def sites_of(module: nn.Module, size: tuple[int, ...]) -> tuple[GraphModule, list[Node]]:
    program = trace(module.eval(), size)
    return program, find_sites(program)


def test_readers_are_followed_while_the_last_axis_stays_whole() -> None:
    program, (kept, turned) = sites_of(Views(), (4, 2, 3))
    (norm,) = program.graph.find_nodes(op="call_function", target=aten.layer_norm.default)
    found = list(channel_readers(norm))
    assert kept in found
    assert turned not in found, "its columns are tokens, not channels"
    assert aten.transpose.int in {node.target for node in found}


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


def test_axes_are_counted_from_the_front() -> None:
    assert as_axes([-1, 0, -3], 3) == [2, 0, 0]
