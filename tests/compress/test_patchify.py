from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional

from vitc.compress.graph import arguments
from vitc.compress.patchify import patchify
from vitc.models.program import trace

SIZE = (4, 12, 12)
aten = torch.ops.aten

APPLIES = {
    "square": nn.Conv2d(4, 6, 3, stride=3),
    "no bias": nn.Conv2d(4, 6, 4, stride=4, bias=False),
    "oblong": nn.Conv2d(4, 6, (2, 6), stride=(2, 6)),
    "whole image": nn.Conv2d(4, 6, 12, stride=12),
}
LEFT_ALONE = {
    "stride is less": nn.Conv2d(4, 6, 3, stride=2),
    "stride is more": nn.Conv2d(4, 6, 2, stride=3),
    "padded": nn.Conv2d(4, 6, 3, stride=3, padding=3),
    "grouped": nn.Conv2d(4, 6, 3, stride=3, groups=2),
    "dilated": nn.Conv2d(4, 6, 3, stride=3, dilation=2),
    "not tiling": nn.Conv2d(4, 6, 5, stride=5),
    "1x1": nn.Conv2d(4, 6, 1),
}


class Standardized(nn.Conv2d):
    """Its weight is computed, so there is no parameter to flatten."""

    def forward(self, images: Tensor) -> Tensor:
        return functional.conv2d(images, self.weight - self.weight.mean(), self.bias, self.stride)


def targets(program: GraphModule) -> list[Any]:
    return [node.target for node in program.graph.nodes if node.op == "call_function"]


def rewritten(module: nn.Module) -> GraphModule:
    program = trace(module, SIZE)
    patchify(program)
    program.graph.lint()
    program.recompile()
    return program


@pytest.mark.parametrize("module", APPLIES.values(), ids=APPLIES.keys())
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_patches_give_the_same_sums(module: nn.Module, batch: int) -> None:
    program = rewritten(module)
    assert aten.conv2d.default not in targets(program)
    assert aten.linear.default in targets(program)
    images = torch.randn(batch, *SIZE)
    torch.testing.assert_close(program(images), module(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("module", LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
def test_what_does_not_tile_is_left_alone(module: nn.Module) -> None:
    program = trace(module, SIZE)
    before = str(program.graph)
    patchify(program)
    assert str(program.graph) == before


def test_a_computed_weight_is_left_alone() -> None:
    module = Standardized(4, 6, 3, stride=3)
    assert aten.conv2d.default in targets(rewritten(module))


@pytest.mark.parametrize("between", [nn.GELU(), nn.Identity()], ids=["apart", "one after the other"])
def test_every_such_convolution_is_rewritten(between: nn.Module) -> None:
    module = nn.Sequential(nn.Conv2d(4, 8, 2, stride=2), between, nn.Conv2d(8, 16, 3, stride=3))
    program = rewritten(module)
    assert targets(program).count(aten.linear.default) == 2
    images = torch.randn(3, *SIZE)
    torch.testing.assert_close(program(images), module(images), rtol=1e-5, atol=1e-5)


def test_the_program_can_be_traced_again() -> None:
    program = rewritten(APPLIES["square"])
    again, images = trace(program, SIZE), torch.randn(7, *SIZE)
    assert torch.equal(again(images), program(images))


def test_the_module_that_was_traced_keeps_its_weights() -> None:
    module = nn.Conv2d(4, 6, 3, stride=3)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    rewritten(module)
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_arguments_are_filled_up_from_the_schema() -> None:
    node = next(node for node in trace(nn.Conv2d(4, 6, 3, bias=False), SIZE).graph.nodes if "conv" in node.name)
    image, weight, bias, *geometry = arguments(node)
    assert (image.op, weight.op, bias) == ("placeholder", "get_attr", None)
    assert [value if isinstance(value, int) else list(value) for value in geometry] == [[1, 1], [0, 0], [1, 1], 1]
