from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.round_layers import flat_weight, stored
from vitc.compress.scheme import SCHEMES
from vitc.compress.weights import quantize_channels
from vitc.export import coreml_ops, to_coreml
from vitc.models.backbone import Backbone, Preprocessing
from vitc.runtimes.mil import MilSession

pytest.importorskip("coremltools")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec:FutureWarning")

SIZE = (4, 6, 8)

Function = Callable[[Tensor], Tensor]


class Coded(nn.Module):
    """A function of images and of a weight's codes and scales."""

    def __init__(self, function: Callable[..., Tensor], weight: Tensor | None = None, bits: int = 8) -> None:
        super().__init__()
        self.function, self.bits = function, bits
        codes, scale = torch.zeros(1), torch.zeros(1)
        if weight is not None:
            flat, scale = quantize_channels(flat_weight(weight), bits)
            codes = stored(flat, weight)
        self.register_buffer("layer_weight_codes", codes)
        self.register_buffer("layer_weight_scale", scale)
        self.register_buffer("bias", torch.linspace(-1, 1, len(scale)))

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.function(images, self.layer_weight_codes, self.layer_weight_scale, self.bias, self.bits)
        return found.flatten(1)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(1, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def weights() -> Callable[..., Tensor]:
    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(1))

    return drawn


def answers(module: nn.Module, images: Tensor, folder: Path) -> tuple[Tensor, Tensor]:
    """What torch and the saved package make of the images."""
    backbone = Backbone("a", module.eval(), Preprocessing(SIZE), 1, (), "", "int8")
    with torch.no_grad():
        wanted = module(images)
    with MilSession(to_coreml.write(backbone, folder).path) as session:
        return wanted, torch.from_numpy(session.run(images.numpy()))


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
def test_quantize_rounds_to_the_grid_of_the_scheme(bits: int, scheme: str, images: Tensor, tmp_path: Path) -> None:
    module = Coded(lambda x, *_: torch.ops.vitc.quantize(x, -1.0, 1.5, bits, scheme))
    wanted, found = answers(module, images, tmp_path)
    grid = SCHEMES[scheme].grid(-1.0, 1.5, bits)
    apart = (found - wanted).abs() / grid.scale
    # Where 16 bits cannot tell on which side of the middle between two codes a value lies, it may go to the other one.
    assert (apart > 0.5).float().mean() < 0.1
    assert apart.max() < 1.1
    assert len(found.unique()) <= 2**bits


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
def test_quantize_axis_rounds_every_index_to_a_grid_of_its_own(
    axis: int, bits: int, scheme: str, images: Tensor, tmp_path: Path
) -> None:
    count = SIZE[axis - 1] if axis > 0 else SIZE[axis]
    low, high = ([side * (index + 1) for index in range(count)] for side in (-0.4, 0.3))
    module = Coded(lambda x, *_: torch.ops.vitc.quantize_axis(x, low, high, axis, bits, scheme))
    wanted, found = (values.view(1, *SIZE).movedim(axis, 0) for values in answers(module, images, tmp_path))
    for index, ends in enumerate(zip(low, high, strict=True)):
        apart = (found[index] - wanted[index]).abs() / SCHEMES[scheme].grid(*ends, bits).scale
        assert (apart > 0.5).float().mean() < 0.1
        assert apart.max() < 1.1
        assert len(found[index].unique()) <= 2**bits


@pytest.mark.parametrize("bits", [8, 4, 1])
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "plain"])
def test_linear(bits: int, biased: object, images: Tensor, weights: Callable[..., Tensor], tmp_path: Path) -> None:
    def function(x: Tensor, codes: Tensor, scale: Tensor, bias: Tensor, width: int) -> Tensor:
        found: Tensor = torch.ops.vitc.linear(x, codes, scale, bias if biased else None, width)
        return found

    wanted, found = answers(Coded(function, weights(5, SIZE[-1]), bits), images, tmp_path)
    torch.testing.assert_close(found, wanted, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((6, 4, 3, 3), ([1, 1], [1, 1], [1, 1], 1)),
        ((6, 4, 3, 2), ([2, 1], [0, 2], [2, 1], 1)),
        ((8, 1, 3, 3), ([2, 2], [1, 1], [1, 1], 4)),
    ],
    ids=["padded", "uneven", "depthwise"],
)
@pytest.mark.parametrize("bits", [8, 4])
def test_conv2d(
    shape: tuple[int, ...],
    geometry: tuple[object, ...],
    bits: int,
    images: Tensor,
    weights: Callable[..., Tensor],
    tmp_path: Path,
) -> None:
    def function(x: Tensor, codes: Tensor, scale: Tensor, bias: Tensor, width: int) -> Tensor:
        found: Tensor = torch.ops.vitc.conv2d(x, codes, scale, bias, *geometry, width)
        return found

    wanted, found = answers(Coded(function, weights(*shape), bits), images, tmp_path)
    torch.testing.assert_close(found, wanted, rtol=5e-3, atol=1e-2)


def test_registering_again_does_no_harm() -> None:
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY as KNOWN

    before = KNOWN.get_func("aten::linear")
    coreml_ops.register()
    coreml_ops.register()
    assert all(KNOWN.get_func(name) is not None for name in coreml_ops.TRANSLATIONS)
    assert KNOWN.get_func("aten::linear") is before, "an operator of coremltools' own was replaced"


def test_the_widths_of_a_program_are_found(weights: Callable[..., Tensor]) -> None:
    function: Function = torch.ops.vitc.linear
    program = to_coreml.translatable(
        Backbone("a", Coded(function, weights(5, SIZE[-1]), 4), Preprocessing(SIZE), 1, (), ""), 1
    )
    assert coreml_ops.weight_bits(program.graph_module) == {4}
