import pytest
import torch

from vitc.compress.moments import Moments
from vitc.compress.rounding.bias import Bias, correct
from vitc.compress.rounding.nearest import Nearest
from vitc.compress.rounding.rounded import Exact

SEED = torch.Generator().manual_seed(0)
INPUTS = torch.rand(300, 24, generator=SEED) * 4
ROUNDED = (INPUTS * 2).floor() / 2  # floor: what is lost has a mean
MOMENTS = Moments.empty(24)
MOMENTS.add(ROUNDED, INPUTS)
LAYER = Exact(torch.randn(10, 24, generator=SEED), torch.randn(10, generator=SEED), MOMENTS)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_the_mean_of_every_output_is_kept(bits: int) -> None:
    found = Bias().apply(LAYER.weight, LAYER.bias, MOMENTS, bits)
    before = INPUTS @ LAYER.weight.t() + LAYER.bias
    after = ROUNDED @ found.weight.float().t() + found.bias
    torch.testing.assert_close(after.mean(0), before.mean(0), rtol=1e-5, atol=1e-4)


def test_codes_and_scales_stay_and_errors_fall() -> None:
    plain = Nearest().apply(LAYER.weight, LAYER.bias, MOMENTS, 4)
    found = correct(plain.codes, plain.scale, LAYER)
    assert torch.equal(found.codes, plain.codes)
    assert torch.equal(found.scale, plain.scale)
    assert (LAYER.error(found) < LAYER.error(plain)).all()
    assert LAYER.error(found).sum() < 0.5 * LAYER.error(plain).sum(), "floor loses a quarter from each input"


def test_where_a_search_misleads_the_full_range_is_taken() -> None:
    rows = torch.randn(100, 1, generator=SEED).expand(-1, 2).contiguous()
    moments = Moments.empty(2)
    moments.add(rows, rows)
    layer = Exact(torch.tensor([[1.0, 0.5]]), torch.zeros(1), moments)
    full, searched = (correct(*Nearest((shrink,)).codes(layer.weight, 2), layer) for shrink in (1.0, 0.2))
    found = Bias(Nearest((0.2,))).apply(layer.weight, layer.bias, moments, 2)
    assert layer.error(found) == layer.error(full) < layer.error(searched)
    other = Bias(Nearest((0.74,))).apply(layer.weight, layer.bias, moments, 2)
    assert layer.error(other) < layer.error(full)
