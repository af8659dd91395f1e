import pytest
import torch
from torch import Tensor, nn

from vitc.compress import ops
from vitc.compress.draft import Bits, Draft
from vitc.compress.equalize.layer_norm import LIMIT, Reparameterize, common_grid
from vitc.compress.scheme import SCHEMES
from vitc.models.program import trace

WIDTH = 16


class Normed(nn.Module):
    """A norm with channels that stand out, and a linear that reads it; its output can be read elsewhere too."""

    def __init__(self, *, read: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.linear, self.read = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), read
        with torch.no_grad():
            self.norm.weight[3], self.norm.bias[5] = 20, 30

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x)
        answer: Tensor = self.linear(tokens)
        return answer + tokens if self.read else answer


@pytest.fixture
def low() -> Tensor:
    return -torch.rand(WIDTH, generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.fixture
def high() -> Tensor:
    return torch.rand(WIDTH, generator=torch.Generator().manual_seed(1)) * 8 + 0.5


@pytest.fixture
def x() -> Tensor:
    return torch.randn(8, 5, WIDTH, generator=torch.Generator().manual_seed(2))


def drafted(*, read: bool = False, quantized: bool = True) -> Draft:
    widths = {"linear": Bits(8, 4)} if quantized else {}
    return Draft(trace(Normed(read=read).eval(), (5, WIDTH)), widths, "asymmetric")


def rounding_error(draft: Draft, x: Tensor) -> float:
    """How far the linear's output is off when its input is rounded to 4 bits."""
    state = draft.program.state_dict()
    tokens = nn.functional.layer_norm(x, [WIDTH], state["norm.weight"], state["norm.bias"])
    low, high = (extreme.item() for extreme in torch.aminmax(tokens))
    rounded = ops.quantize(tokens, low, high, 4, "asymmetric")
    exact, gap = (state["linear.weight"] @ each.mT for each in (tokens, rounded - tokens))
    return float(gap.norm() / exact.norm())


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_channels_get_the_range_of_one_grid(scheme: str, bits: int, low: Tensor, high: Tensor) -> None:
    scale, shift = common_grid(low, high, bits, SCHEMES[scheme])
    lows, highs = (low - shift) / scale, (high - shift) / scale
    assert torch.allclose(lows, lows[:1], atol=1e-6)
    assert torch.allclose(highs, highs[:1], atol=1e-6)
    assert scale.mean() == pytest.approx(1)
    grid = SCHEMES[scheme].grid(lows[0].item(), highs[0].item(), bits)
    if SCHEMES[scheme].symmetric:
        assert lows[0] == pytest.approx(-highs[0])
    else:
        assert list(grid.ends) == pytest.approx([lows[0].item(), highs[0].item()], abs=1e-5)


def test_channels_that_never_change_are_only_shifted(low: Tensor, high: Tensor) -> None:
    low[2] = high[2] = 7.0
    scale, shift = common_grid(low, high, 4, SCHEMES["symmetric"])
    assert scale[2] == 1
    assert shift[2] == 7
    assert all(
        len(set(each.tolist())) == 1 for each in common_grid(torch.ones(4), torch.ones(4), 4, SCHEMES["symmetric"])
    )


def test_no_channel_is_scaled_beyond_the_limit_and_its_middle_stays_in_the_middle(low: Tensor, high: Tensor) -> None:
    low[0], high[0], low[1], high[1] = 1.0, 1.0 + 1e-6, -1e6, 3e6
    scale, shift = common_grid(low, high, 4, SCHEMES["symmetric"])
    assert scale.min() == 1 / LIMIT
    assert scale.max() <= LIMIT
    assert torch.allclose(shift, (low.double() + high.double()) / 2)


def test_planted_outliers_round_better_after_it(x: Tensor) -> None:
    draft = drafted()
    before = rounding_error(draft, x)
    Reparameterize().apply(draft, [x])
    assert rounding_error(draft, x) < before / 2


@pytest.mark.parametrize(("read", "quantized"), [(True, True), (False, False)])
def test_norms_that_others_read_or_no_quantized_linear_are_left_alone(read: bool, quantized: bool, x: Tensor) -> None:  # noqa: FBT001  (cases of the table)
    draft = drafted(read=read, quantized=quantized)
    before = {name: tensor.clone() for name, tensor in draft.program.state_dict().items()}
    Reparameterize().apply(draft, [x])
    after = draft.program.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
