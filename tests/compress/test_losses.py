"""What rounding costs each layer: nothing where nothing is rounded away, more with fewer bits."""

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.draft import Bits, Draft
from vitc.compress.graph import find_sites, layer
from vitc.compress.losses import IMAGES, Losses
from vitc.models.program import trace


def measured(module: nn.Module, bits: Bits, batches: list[Tensor]) -> dict[str, float]:
    program, losses = trace(module.eval(), tuple(batches[0].shape[1:])), Losses()
    losses.measure(Draft(program, {layer(site): bits for site in find_sites(program)}, "asymmetric"), batches, "now")
    return {name: one.errors["now"] for name, one in losses.layers.items()}


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(64, 5))


@pytest.fixture(scope="module")
def batches() -> list[Tensor]:
    return list(torch.randn(IMAGES + 4, 3, 4, 4, generator=torch.Generator().manual_seed(0)).split(4))


def test_fewer_bits_lose_more(module: nn.Module, batches: list[Tensor]) -> None:
    eight, four = (measured(module, bits, batches) for bits in (Bits(8, 8), Bits(4, 4)))
    assert set(eight) == {"0", "3"}
    for name in eight:
        assert 0 < 20 * eight[name] < four[name] < 0.1


def test_what_lies_on_the_grid_loses_nothing() -> None:
    linear = nn.Linear(4, 2, bias=False)
    module = nn.Sequential(nn.Flatten(), linear)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[127.0, -5, 3, -127], [1, -1, 127, -100]]))
    images = torch.tensor([0.0, 1, 100, 255]).view(1, 1, 2, 2)
    assert measured(module, Bits(8, 8), [images])["1"] < 1e-12


def test_only_the_first_images_are_looked_at(module: nn.Module, batches: list[Tensor]) -> None:
    assert measured(module, Bits(8, 8), batches) == measured(module, Bits(8, 8), [*batches[:2], batches[2] * 100])


def test_points_stand_in_the_order_in_which_they_were_noted() -> None:
    losses = Losses()
    for point, error in (("before", 0.5), ("after", 0.25)):
        losses.note("head", Bits(4, 8), point, error)
    assert losses.to_json() == [
        {"name": "head", "weight_bits": 4, "activation_bits": 8, "loss": {"before": 0.5, "after": 0.25}}
    ]
