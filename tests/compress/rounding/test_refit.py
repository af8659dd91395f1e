import pytest
import torch

from vitc.compress.moments import Moments
from vitc.compress.rounding.nearest import Nearest
from vitc.compress.rounding.refit import FARTHEST, refit
from vitc.compress.rounding.rounded import Exact, Rounded
from vitc.compress.weights import quantize_channels

SEED = torch.Generator().manual_seed(0)
INPUTS = torch.randn(300, 24, generator=SEED) @ torch.randn(24, 24, generator=SEED) + 1
MOMENTS = Moments.empty(24)
MOMENTS.add((INPUTS * 2).round() / 2, INPUTS)
LAYER = Exact(torch.randn(10, 24, generator=SEED), torch.randn(10, generator=SEED), MOMENTS)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_no_other_scale_or_bias_is_better(bits: int) -> None:
    codes, scale = Nearest((1.0,)).codes(LAYER.weight, bits)
    found = refit(codes, scale, LAYER)
    least = LAYER.error(found)
    for stretch in (0.9, 0.999, 1.001, 1.1):
        for off in (-0.1, 0, 0.1):
            other = Rounded(found.codes, found.scale * stretch, found.bias + off)
            assert (LAYER.error(other) >= least * (1 - 1e-6)).all()
    assert torch.equal(found.codes, codes)


def test_a_wrong_scale_is_mended() -> None:
    codes, scale = quantize_channels(LAYER.weight, 8)
    torch.testing.assert_close(refit(codes, scale * 3, LAYER).scale, refit(codes, scale, LAYER).scale)


def test_a_scale_stays_positive_and_near() -> None:
    codes, scale = quantize_channels(LAYER.weight, 4)
    against = refit(-codes, scale, LAYER)
    torch.testing.assert_close(against.scale, scale / FARTHEST)
    far = refit(codes, scale * 1000, LAYER)
    torch.testing.assert_close(far.scale, scale * 1000 / FARTHEST)


def test_codes_of_nothing_keep_their_scale() -> None:
    scale = torch.full((10,), 0.5)
    assert torch.equal(refit(torch.zeros(10, 24, dtype=torch.int8), scale, LAYER).scale, scale)
