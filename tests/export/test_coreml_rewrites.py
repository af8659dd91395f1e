from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional

from vitc.export.coreml_rewrites import rewrite

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, of copying a program

SIZE = (3, 12, 16)
UNEVEN = {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 0), "stride": (3, 2)}
aten = torch.ops.aten

Function = Callable[[Tensor], Tensor]
Traced = Callable[[Function], ExportedProgram]


def positions(images: Tensor) -> Tensor:
    """Makes a table on every call, part by part, as ConViT does."""
    table = torch.zeros(16, 2)
    table[:, 0] = torch.arange(16.0)
    table[:, 1] = table[:, 0] ** 2
    return images @ table


def patches(images: Tensor) -> Tensor:
    """Overlapping patches, weighed and put together again, as VOLO does."""
    found = functional.unfold(images, 3, padding=1, stride=2)
    return functional.fold(found * torch.linspace(0, 1, 27)[None, :, None], (12, 16), 3, padding=1, stride=2)


def uneven(images: Tensor) -> Tensor:
    return functional.fold(functional.unfold(images, **UNEVEN), (12, 16), **UNEVEN)


def sparse(images: Tensor) -> Tensor:
    """Patches that do not reach the last pixels."""
    return functional.fold(functional.unfold(images, 2, stride=5), (12, 16), 2, stride=5)


FUNCTIONS: dict[str, tuple[Function, object]] = {
    "size": (lambda x: functional.interpolate(x, size=(9, 23), mode="bicubic"), aten.upsample_bicubic2d),
    "aligned": (
        lambda x: functional.interpolate(x, size=(24, 5), mode="bicubic", align_corners=True),
        aten.upsample_bicubic2d,
    ),
    "factor": (
        lambda x: functional.interpolate(x, scale_factor=(1.3, 0.7), mode="bicubic"),
        aten.upsample_bicubic2d,
    ),
    "antialias": (
        lambda x: functional.interpolate(x, size=(5, 7), mode="bicubic", antialias=True),
        aten._upsample_bicubic2d_aa,
    ),
    "fold": (patches, aten.col2im),
    "uneven fold": (uneven, aten.col2im),
    "sparse fold": (sparse, aten.col2im),
    "positions": (positions, aten.arange),
    "alias": (aten.alias.default, aten.alias),
}


@pytest.fixture
def traced(decomposed: Callable[..., ExportedProgram]) -> Traced:
    return lambda function: decomposed(function, SIZE, batch=1)


def operators(program: ExportedProgram) -> set[object]:
    return {node.target.overloadpacket for node in program.graph.nodes if node.op == "call_function"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_operator_is_gone_and_the_numbers_are_the_same(traced: Traced, name: str) -> None:
    function, operator = FUNCTIONS[name]
    program = traced(function)
    assert operator in operators(program), "the case tests nothing"
    rewrite(program.graph_module)
    assert operator not in operators(program)
    images = torch.randn(1, *SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(program.module()(images), function(images), rtol=1e-5, atol=1e-5)


def test_a_table_of_constants_leaves_no_operator_behind(traced: Traced) -> None:
    program = traced(positions)
    rewrite(program.graph_module)
    assert operators(program) == {aten.matmul}


def test_what_is_computed_from_weights_is_not_folded(traced: Traced) -> None:
    layer = nn.Linear(16, 4)
    program = traced(lambda x: x @ functional.softmax(layer.weight, 1).t())
    before = operators(program)
    rewrite(program.graph_module)
    assert aten.softmax in before
    assert operators(program) == before


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_output_keeps_the_name_that_the_signature_gives_it(traced: Traced, name: str) -> None:
    program = traced(FUNCTIONS[name][0])
    rewrite(program.graph_module)
    (wanted,) = (spec.arg.name for spec in program.graph_signature.output_specs)
    assert [node.name for node in program.graph.output_node().args[0]] == [wanted]
