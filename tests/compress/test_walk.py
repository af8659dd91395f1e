"""A walk computes a program twice, keeps only what is still to be read, and computes once what is the same."""

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress.graph import find_sites
from vitc.compress.placing import round_input
from vitc.compress.ranges import Range
from vitc.compress.walk import Walk, last_read
from vitc.models.program import trace


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1)
        x = x + self.first(x)
        answer: Tensor = x + self.second(x).relu()
        return answer


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return Residual().eval()


@pytest.fixture
def program(module: nn.Module) -> GraphModule:
    """The second layer reads what is rounded to a coarse grid."""
    made = trace(module, (1, 2, 3))
    second = find_sites(made)[1]
    source = second.args[0]
    assert isinstance(source, Node)
    round_input(source, [second], Range(-2.0, 2.0), 3, "asymmetric")
    made.recompile()
    return made


@pytest.fixture
def batches() -> list[Tensor]:
    return list(torch.randn(5, 1, 2, 3, generator=torch.Generator().manual_seed(0)).split(2))


def test_both_results_are_those_of_the_programs(module: nn.Module, program: GraphModule, batches: list[Tensor]) -> None:
    walk, last = Walk(program, batches, exactly=True), program.graph.output_node().all_input_nodes[0]
    found: dict[str, list[Tensor]] = {}

    def after(node: Node) -> None:
        if node is last:
            found.update(exact=walk.exact[node], rounded=walk.rounded[node])

    walk.run(lambda _: None, after)
    for at, batch in enumerate(batches):
        assert torch.allclose(found["exact"][at], module(batch))
        assert torch.equal(found["rounded"][at], program(batch))
    assert not torch.allclose(found["exact"][0], found["rounded"][0])


def test_what_is_the_same_is_computed_once(program: GraphModule, batches: list[Tensor]) -> None:
    walk, shared = Walk(program, batches, exactly=True), []
    walk.run(lambda _: None, lambda node: shared.append(walk.rounded[node] is walk.exact[node]))
    rounding = [node.target for node in program.graph.nodes].index(torch.ops.vitc.quantize.default)
    assert all(shared[:rounding])
    assert not any(shared[rounding:][:1])


def test_only_what_will_be_read_is_kept(program: GraphModule, batches: list[Tensor]) -> None:
    walk = Walk(program, batches, exactly=True)
    nodes = list(program.graph.nodes)

    def before(node: Node) -> None:
        behind = nodes.index(node)
        assert all(any(nodes.index(user) >= behind for user in known.users) for known in walk.exact)

    walk.run(before, lambda _: None)
    done = [node for those in last_read(program).values() for node in those]
    assert sorted(done, key=nodes.index) == nodes, "every value is let go of, once"


def test_what_is_put_instead_changes_the_rounded_program_only(program: GraphModule, batches: list[Tensor]) -> None:
    first = find_sites(program)[0]
    walk = Walk(program, batches, exactly=True)
    seen: dict[str, Tensor] = {}
    walk.instead[first] = lambda x, *_: torch.zeros(len(x), 6)

    def after(node: Node) -> None:
        if node is first:
            seen.update(exact=walk.exact[node][0], rounded=walk.rounded[node][0])

    walk.run(lambda _: None, after)
    assert not seen["rounded"].any()
    assert seen["exact"].any()


def test_a_softmax_of_one_bit_is_a_softmax_in_the_exact_program() -> None:
    class Weighing(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            answer: Tensor = torch.ops.vitc.binary_softmax(images * 2, [0.3])
            return answer + 0

    made, images = trace(Weighing(), (3, 4)), torch.randn(2, 3, 4)
    walk, found = Walk(made, [images], exactly=True), dict[str, Tensor]()

    def after(node: Node) -> None:
        if node is made.graph.output_node().all_input_nodes[0]:
            found.update(exact=walk.exact[node][0], rounded=walk.rounded[node][0])

    walk.run(lambda _: None, after)
    torch.testing.assert_close(found["exact"], (images * 2).softmax(-1))
    assert torch.equal(found["rounded"], made(images))
