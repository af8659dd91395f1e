"""Layer after layer: what a layer's inputs have become decides its codes, and nothing errs more than plain rounding."""

import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node

from vitc.compress.draft import Bits, Draft
from vitc.compress.graph import as_node, find_sites, layer, tensor
from vitc.compress.placing import round_input
from vitc.compress.ranges import Whole, calibrate
from vitc.compress.round_layers import POSITIONS, Rounder, evenly, flat_weight, rows_of, stored
from vitc.compress.walk import Walk
from vitc.models.program import trace


def rounder(module: nn.Module, bits: Bits, batches: list[Tensor], rounding: str = "gptq") -> Rounder:
    """After the walk."""
    program = trace(module.eval(), tuple(batches[0].shape[1:]))
    sites = find_sites(program)
    for source in dict.fromkeys(as_node(site.args[0]) for site in sites):
        seen = calibrate(program, {source: Whole(bits.activation)}, batches)[source]
        round_input(source, [site for site in sites if site.args[0] is source], seen, bits.activation, "asymmetric")
    walk = Walk(program, batches)
    found = Rounder(Draft(program, {layer(site): bits for site in sites}, "asymmetric"), walk, rounding)
    walk.run(found.visit, lambda _: None)
    return found


@pytest.fixture(scope="module")
def batches() -> list[Tensor]:
    return list(torch.randn(12, 4, 6, 6, generator=torch.Generator().manual_seed(0)).split(5))


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(4, 8, 3, padding=1, stride=2), nn.GELU()),
        *(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.GELU()),
        *(nn.Flatten(), nn.Linear(72, 16, bias=False), nn.GELU(), nn.Linear(16, 5)),
    )


@pytest.mark.parametrize("rounding", ["nearest", "bias", "gptq"])
def test_no_layer_errs_more_than_plainly_rounded(module: nn.Module, batches: list[Tensor], rounding: str) -> None:
    settled = rounder(module, Bits(4, 6), batches, rounding).settled
    assert [layer(site) for site in settled] == ["0", "2", "5", "7"]
    for one in settled.values():
        assert set(one.errors) == {"on the walk", rounding}
        assert 0 < one.errors[rounding] <= one.errors["on the walk"] * (1 + 1e-6) < 0.2
        assert one.codes.abs().max() == 7


def test_compensation_helps_where_inputs_are_correlated(module: nn.Module, batches: list[Tensor]) -> None:
    mixed = [batch.cumsum(1) for batch in batches]
    plain, better = (
        sum(one.errors[name] for one in rounder(module, Bits(3, 8), mixed, name).settled.values())
        for name in ("nearest", "gptq")
    )
    assert better < 0.8 * plain


def test_what_is_noted_is_the_error_of_the_layer_beside_its_own_input(module: nn.Module, batches: list[Tensor]) -> None:
    found = rounder(module, Bits(4, 6), batches)
    last = list(found.settled.values())[-1]
    rounded = as_node(last.site.args[0])
    known: dict[Node, Tensor] = {}
    walk = Walk(found.draft.program, batches)
    walk.instead = {site: one.call for site, one in found.settled.items()}
    walk.run(lambda _: None, lambda node: known.update({node: torch.cat(walk.rounded[node])}))
    head = list(module.children())[-1]
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        wanted = head(known[as_node(rounded.args[0])])
    loss = ((last.call(known[rounded]) - wanted).square().sum() / wanted.square().sum()).item()
    assert loss == pytest.approx(last.errors["gptq"], rel=1e-3)


def test_grouped_convolutions_keep_the_means_of_their_outputs(module: nn.Module, batches: list[Tensor]) -> None:
    found = rounder(module, Bits(3, 8), batches)
    grouped = list(found.settled.values())[1]
    assert grouped.bias is not None
    assert grouped.errors["gptq"] < grouped.errors["on the walk"]


@pytest.mark.parametrize("shape", [(5, 9), (6, 4, 3, 3)])
def test_codes_go_back_to_where_their_weights_were(shape: tuple[int, ...]) -> None:
    weight = torch.randint(-7, 8, shape).to(torch.int8)
    back = stored(flat_weight(weight), weight)
    assert torch.equal(back.t() if weight.dim() == 2 else back, weight)


@pytest.mark.parametrize(
    ("module", "size"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2), (4, 9, 9)),
        (nn.Conv2d(4, 6, (1, 2)), (4, 5, 5)),
        (nn.Linear(9, 6), (4, 3, 9)),
    ],
)
def test_rows_times_the_flat_weight_are_the_outputs(module: nn.Module, size: tuple[int, ...]) -> None:
    program = trace(module.eval(), size)
    (site,) = find_sites(program)
    images = torch.randn(3, *size)
    weight = tensor(program, as_node(site.args[1]))
    rows = rows_of(site, images, weight)
    bias = tensor(program, as_node(site.args[2]))
    with torch.no_grad():
        wanted = module(images) - (bias.view(-1, 1, 1) if weight.dim() == 4 else bias)
    wanted = wanted.flatten(2).mT if weight.dim() == 4 else wanted.flatten(1, 2)
    assert torch.allclose(rows @ flat_weight(weight).t(), wanted, atol=1e-5)


def test_a_vector_is_one_row() -> None:
    program = trace(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval(), (1, 2, 2))
    (site,) = find_sites(program)
    weight = tensor(program, as_node(site.args[1]))
    assert rows_of(site, torch.randn(4), weight).shape == (1, 1, 4)
    assert rows_of(site, torch.randn(5, 4), weight).shape == (5, 1, 4)


def test_of_many_places_evenly_spaced_ones_are_taken() -> None:
    places = torch.arange(1000.0).view(1, -1, 1)
    taken = evenly(places).flatten()
    assert len(taken) == POSITIONS
    steps = taken.diff()
    assert steps.min() >= 3
    assert steps.max() <= 4
    assert torch.equal(evenly(places[:, :9]), places[:, :9])
