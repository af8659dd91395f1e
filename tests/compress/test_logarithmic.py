import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional

from vitc.compress import logarithmic
from vitc.compress.clipping import BINS, Histogram, mse
from vitc.compress.logarithmic import GELU_SHIFT, KINDS, LogGrid, adaptive, sqrt2, unexportable
from vitc.compress.scheme import SCHEMES
from vitc.models.program import trace

GRIDS = [
    LogGrid("sqrt2", 1, 0.7, 0.0, 4),
    LogGrid("sqrt2", 1, 3.0, GELU_SHIFT, 3),
    LogGrid("adaptive", 10, 1.0, 0.0, 3),
    LogGrid("adaptive", 23, 0.4, 0.0, 4),
    LogGrid("adaptive", 12, 5.0, GELU_SHIFT, 5),
    LogGrid("adaptive", 138, 0.9, 0.0, 4),
]
each_grid = pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.kind}-{grid.step}-{grid.bits}")


@pytest.fixture(scope="module")
def shares() -> Tensor:
    """Attention of 197 tokens: most of it on few."""
    scores = torch.randn(300, 197, generator=torch.Generator().manual_seed(0)) * 2.5
    return scores.softmax(-1).flatten()


def uniform(values: Tensor, bits: int) -> Tensor:
    """Rounded to the uniform grid of least squared error."""
    low, high = min(values.min().item(), 0.0), values.max().item()
    counts = torch.histc(values, BINS, low, high).long().numpy()
    limits = mse(Histogram(low, high, counts), bits, SCHEMES["asymmetric"])
    rounded: Tensor = torch.ops.vitc.quantize(values, *limits, bits, "asymmetric")
    return rounded


@each_grid
def test_what_is_on_the_grid_stays(grid: LogGrid) -> None:
    torch.testing.assert_close(grid.round(grid.levels()), grid.levels(), rtol=0, atol=1e-6)


@each_grid
def test_a_grid_has_as_many_values_as_codes(grid: LogGrid) -> None:
    assert len(grid.levels().unique()) == 2**grid.bits
    assert grid.levels()[0] == pytest.approx(grid.scale - grid.shift)
    assert grid.levels()[-1] == pytest.approx(-grid.shift)


@each_grid
def test_rounding_is_monotone_and_ends_at_the_ends(grid: LogGrid) -> None:
    x = torch.linspace(-2 * grid.scale, 3 * grid.scale, 10001)
    rounded = grid.round(x)
    assert (rounded.diff() >= 0).all()
    assert rounded[0] == grid.levels()[-1]
    assert rounded[-1] == grid.levels()[0]


@each_grid
def test_errors_are_bounded_by_half_a_step_in_ratio(grid: LogGrid) -> None:
    kind = KINDS[grid.kind]
    low = grid.levels()[-2] + grid.shift
    x = low + (grid.scale - low) * torch.linspace(0, 1, 5001)
    ratios = torch.log2(x / (grid.round(x - grid.shift) + grid.shift))
    table = (kind.powers(grid.bits).log2() + torch.arange(kind.parts) / kind.parts).abs().max()
    assert ratios.abs().max() <= grid.step / kind.parts / 2 + table + 1e-3


def test_the_steps_of_sqrt2_are_half_octaves() -> None:
    levels = LogGrid("sqrt2", 1, 1.0, 0.0, 4).levels()[:-1]
    torch.testing.assert_close(levels, 2 ** (-torch.arange(15) / 2))


def test_the_powers_of_adaptive_are_integers_of_one_bit_more() -> None:
    powers = KINDS["adaptive"].powers(4) * 30
    assert torch.equal(powers, powers.round())
    torch.testing.assert_close(powers / 30, torch.exp2(-torch.arange(37.0) / 37).double(), rtol=0, atol=0.5 / 30 + 1e-6)


def test_both_beat_the_best_uniform_grid_on_attention_at_4_bits(shares: Tensor) -> None:
    wanted = (uniform(shares, 4) - shares).square().mean()
    for search in (sqrt2, adaptive):
        assert (search(shares, 4).round(shares) - shares).square().mean() < 0.5 * wanted


def test_a_shift_makes_room_for_what_is_below_zero() -> None:
    x = functional.gelu(torch.randn(20000, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    shifted, plain = ((adaptive(x, 4, shift).round(x) - x).square().mean() for shift in (GELU_SHIFT, 0.0))
    assert shifted < (uniform(x, 4) - x).square().mean()
    assert shifted < plain


def test_the_search_finds_the_grid_that_made_the_values() -> None:
    planted = LogGrid("adaptive", 22, 0.5, 0.0, 4)
    values = planted.levels().repeat(50)
    found = adaptive(values, 4)
    assert torch.equal(found.levels(), planted.levels())


def test_the_loss_may_be_another(shares: Tensor) -> None:
    def largest(rounded: Tensor) -> Tensor:
        return (rounded - shares).abs().max()

    chosen = adaptive(shares, 4, loss=largest)
    assert largest(chosen.round(shares)) < largest(adaptive(shares, 4).round(shares))


@pytest.mark.parametrize("search", [sqrt2, adaptive])
def test_zeros_are_kept(search: object) -> None:
    assert callable(search)
    grid = search(torch.zeros(100), 4)
    assert torch.equal(grid.round(torch.zeros(3)), torch.zeros(3))


def test_a_program_that_holds_it_runs_and_is_not_exportable(shares: Tensor) -> None:
    class Attends(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(2).softmax(-1) * 2

    program = trace(Attends(), (3, 4, 4))
    assert unexportable(program) == []
    softmax = next(node for node in program.graph.nodes if node.target == torch.ops.aten.softmax.int)
    grid = GRIDS[3]
    insert(program, grid)
    images = torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        assert torch.equal(program(images), grid.round(images.flatten(2).softmax(-1)) * 2)
    assert unexportable(program) == [softmax.name]


def insert(program: GraphModule, grid: LogGrid) -> None:
    softmax = next(node for node in program.graph.nodes if node.target == torch.ops.aten.softmax.int)
    with program.graph.inserting_after(softmax):
        rounded = program.graph.call_function(
            torch.ops.vitc.quantize_log.default, (softmax, grid.kind, grid.step, grid.scale, grid.shift, grid.bits)
        )
    for user in set(softmax.users) - {rounded}:
        user.replace_input_with(softmax, rounded)
    program.recompile()


def test_the_fake_kernel_tells_the_true_shape() -> None:
    arguments = (torch.rand(2, 3, 6), "adaptive", 23, 1.0, 0.0, 4)
    found = torch.library.opcheck(logarithmic.quantize_log, arguments, test_utils=("test_schema", "test_faketensor"))
    assert set(found.values()) == {"SUCCESS"}
