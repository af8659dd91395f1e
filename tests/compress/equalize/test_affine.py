import pytest
import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Node

from vitc.compress.equalize.affine import Place, absorb, rescale, turn_inputs, turn_outputs
from vitc.compress.equalize.hadamard import rotation
from vitc.compress.parameters import bias_of, scale_outputs, weight_of
from vitc.models.program import trace

aten = torch.ops.aten
WIDTH = 8


class Normed(nn.Module):
    """A norm that two linears read, one without a bias."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH, bias=bias)
        self.one, self.other = nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4, bias=False)
        nn.init.normal_(self.norm.weight)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(images)
        answer: Tensor = self.one(tokens) * self.other(tokens)
        return answer


def traced(module: nn.Module, target: OpOverload) -> tuple[GraphModule, list[Node]]:
    program = trace(module.eval(), (5, WIDTH))
    return program, list(program.graph.find_nodes(op="call_function", target=target))


def outputs(program: GraphModule, x: Tensor) -> Tensor:
    program.recompile()
    with torch.no_grad():
        answer: Tensor = program(x)
    return answer


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bias", [True, False])
def test_rescaling_a_norm_is_undone_by_its_readers(x: Tensor, bias: bool) -> None:  # noqa: FBT001  (a case)
    torch.manual_seed(0)
    program, readers = traced(Normed(bias=bias), aten.linear.default)
    (norm,) = program.graph.find_nodes(op="call_function", target=aten.layer_norm.default)
    before, weight = outputs(program, x), weight_of(program, norm)
    scale, shift = torch.rand(WIDTH) + 0.5, torch.randn(WIDTH)
    rescale(program, Place(norm, torch.arange(WIDTH), tuple(readers), shiftable=True), scale, shift)
    assert torch.allclose(outputs(program, x), before, rtol=1e-5, atol=1e-5)
    assert torch.allclose(weight_of(program, norm) * scale, weight, atol=1e-6)
    assert all(bias_of(program, reader).any() for reader in readers), "the one without a bias got one"


def test_absorbing_computes_of_rescaled_values_what_it_did(x: Tensor) -> None:
    program, (only,) = traced(nn.Linear(WIDTH, 4), aten.linear.default)
    scale, shift = torch.rand(WIDTH) + 0.5, torch.randn(WIDTH)
    expected = outputs(program, x * scale + shift)
    absorb(program, only, scale, shift)
    assert torch.allclose(outputs(program, x), expected, atol=1e-5)


def test_turning_inputs_and_outputs(x: Tensor) -> None:
    matrix = rotation(WIDTH, seed=0)
    program, (only,) = traced(nn.Linear(WIDTH, WIDTH), aten.linear.default)
    before = outputs(program, x)
    turn_outputs(program, only, matrix)
    assert torch.allclose(outputs(program, x), before @ matrix.float(), atol=1e-5)
    turn_inputs(program, only, matrix)
    assert torch.allclose(outputs(program, x @ matrix.float()), before @ matrix.float(), atol=1e-5)


def test_a_convolution_s_outputs_are_turned_and_scaled(x: Tensor) -> None:
    program = trace(nn.Conv2d(3, WIDTH, 3).eval(), (3, 6, 6))
    (only,) = program.graph.find_nodes(op="call_function", target=aten.conv2d.default)
    images, matrix, scale = torch.randn(2, 3, 6, 6), rotation(WIDTH, seed=0), torch.rand(WIDTH)
    before = outputs(program, images).movedim(1, -1)
    scale_outputs(program, only, scale)
    turn_outputs(program, only, matrix)
    assert torch.allclose(outputs(program, images).movedim(1, -1), before * scale @ matrix.float(), atol=1e-5)
