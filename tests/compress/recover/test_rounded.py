"""What stands for a rounding operator gives what it gives, lets gradients through, and writes back what it learned."""

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from vitc.compress.binary_softmax import BINARY
from vitc.compress.graph import as_node, tensor
from vitc.compress.quantize import Quantize
from vitc.compress.recover.rounded import Layer, OneBit, Passed, Range, rounded
from vitc.models.backbone import Backbone, Preprocessing


@pytest.fixture(params=["linear", "convolution"])
def program(request: pytest.FixtureRequest) -> GraphModule:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(48, 6))
    module = linear if request.param == "linear" else nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1))
    backbone = Backbone("tiny", module.eval(), Preprocessing((3, 4, 4)), 6, (), "abc")
    made = Quantize(4, 4, equalize=()).apply(backbone, [torch.randn(8, 3, 4, 4)])
    assert isinstance(made.module, GraphModule)
    return made.module


def node_of(program: GraphModule, kind: str) -> Node:
    found = (node for node in program.graph.nodes if kind in str(node.target) and node.op == "call_function")
    return as_node(next(found))


def layer_of(program: GraphModule) -> Node:
    kind = "vitc.linear" if program.graph.find_nodes(op="call_function", target=torch.ops.vitc.linear.default) else ""
    return node_of(program, kind or "vitc.conv2d")


def given(site: Node) -> Tensor:
    x = torch.randn(3, 48, generator=torch.Generator().manual_seed(1))
    return x if site.target is torch.ops.vitc.linear.default else x.view(3, 3, 4, 4)


def plainly(program: GraphModule, site: Node, x: Tensor) -> Tensor:
    stored = [tensor(program, as_node(one)) for one in site.args[1:4]]
    found: Tensor = site.target(x, *stored, *site.args[4:])  # type: ignore[operator]
    return found


def test_a_layer_gives_what_its_codes_give_and_learns(program: GraphModule) -> None:
    site = layer_of(program)
    module = rounded(program, site, {})
    assert isinstance(module, Layer)
    x = given(site)
    found = module(x)
    torch.testing.assert_close(found, plainly(program, site, x), rtol=1e-4, atol=1e-5)
    found.square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in module.parameters())
    with torch.no_grad():
        for one in module.parameters():
            one.add_(0.1 * torch.randn(one.shape, generator=torch.Generator().manual_seed(2)))
    module.write(program, site)
    codes = tensor(program, as_node(site.args[1]))
    assert codes.dtype == torch.int8
    assert codes.unique().numel() > 9
    torch.testing.assert_close(plainly(program, site, x), module(x).detach(), rtol=1e-4, atol=1e-5)


def test_known_float_weights_are_where_it_starts(program: GraphModule) -> None:
    site = layer_of(program)
    name = str(as_node(site.args[1]).target).removesuffix("_codes")
    plain = rounded(program, site, {})
    assert isinstance(plain, Layer)
    moved = plain.learned.detach() + 0.3 * plain.log_scale.detach().exp()
    known = rounded(program, site, {name: moved})
    assert isinstance(known, Layer)
    torch.testing.assert_close(known.learned.detach(), moved)
    x = given(site)
    torch.testing.assert_close(known(x), plain(x))


def test_a_range_learns_its_scale(program: GraphModule) -> None:
    node = node_of(program, "vitc.quantize")
    module = rounded(program, node, {})
    assert isinstance(module, Range)
    x = 2 * torch.randn(50, generator=torch.Generator().manual_seed(1))
    operator = torch.ops.vitc.quantize
    torch.testing.assert_close(module(x), operator(x, *node.args[1:]))
    with torch.no_grad():
        module.log_scale.add_(0.2)
    module.write(program, node)
    torch.testing.assert_close(operator(x, *node.args[1:]), module(x).detach(), rtol=1e-5, atol=1e-5)


def test_a_softmax_of_one_bit_learns_its_scales_and_passes_gradients_to_its_shares(program: GraphModule) -> None:
    x = next(iter(program.graph.nodes))
    with program.graph.inserting_after(x):
        node = program.graph.call_function(BINARY, (x, [0.3, 0.2]))
    module = rounded(program, node, {})
    assert isinstance(module, OneBit)
    scores = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    found = module(scores)
    torch.testing.assert_close(found.detach(), BINARY(scores.detach(), [0.3, 0.2]))
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    (found * weight).sum().backward()
    (wanted,) = torch.autograd.grad((scores.softmax(-1) * weight).sum(), scores)
    torch.testing.assert_close(scores.grad, wanted)
    counted = BINARY(scores.detach(), [1.0, 1.0])
    slopes = (counted * weight).sum((0, 2, 3)) * torch.tensor([0.3, 0.2])  # by the logarithm
    assert module.log_scale.grad is not None
    torch.testing.assert_close(module.log_scale.grad.flatten(), slopes)
    with torch.no_grad():
        module.log_scale.add_(0.5)
    module.write(program, node)
    torch.testing.assert_close(BINARY(scores.detach(), node.args[1]), module(scores).detach())


def test_other_rounding_lets_gradients_through(program: GraphModule) -> None:
    graph = program.graph
    with graph.inserting_after(next(iter(graph.nodes))):
        x = next(iter(graph.nodes))
        node = graph.call_function(
            torch.ops.vitc.quantize_axis.default, (x, [-1.0, -2.0], [1.0, 2.0], 0, 4, "asymmetric")
        )
    module = rounded(program, node, {})
    assert isinstance(module, Passed)
    values = torch.randn(2, 5, requires_grad=True)
    found = module(values)
    wanted = torch.ops.vitc.quantize_axis(values.detach(), *node.args[1:])
    torch.testing.assert_close(found.detach(), wanted)
    found.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[1.0] * 5] * 2


def test_what_does_not_round_stays(program: GraphModule) -> None:
    assert all(rounded(program, node, {}) is None for node in program.graph.nodes if "vitc" not in str(node.target))
