import pytest
import torch
from torch import Tensor, nn

from vitc.compress.draft import Bits, Draft
from vitc.compress.equalize.layer_norm import LIMIT
from vitc.compress.equalize.smooth import ALPHAS, Choice, Reader, Smooth, choose, round_rows, smoothing
from vitc.compress.observe import Seen
from vitc.compress.weights import quantize_channels
from vitc.models.program import trace

WIDTH = 16
SCHEME = "asymmetric"


class Attention(nn.Module):
    """A norm and an attention whose values have channels that stand out; nothing else of it may be changed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.qkv, self.proj = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        with torch.no_grad():
            self.norm.weight[3], self.norm.bias[5] = 10, 8
            self.qkv.weight[2 * WIDTH + 1] *= 30
            self.qkv.bias[2 * WIDTH + 2] = 20

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).reshape(-1, 5, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4).unbind(0)
        tokens = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        answer: Tensor = self.proj(tokens)
        return answer


@pytest.fixture
def rows() -> Tensor:
    return torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(24, WIDTH, generator=torch.Generator().manual_seed(1))


def seen(rows: Tensor) -> Seen:
    return Seen(rows.amin(0), rows.amax(0), rows)


def error(rows: Tensor, weight: Tensor, bits: Bits, choice: Choice) -> float:
    """The squared error of the outputs, without their means, when both are rounded after `choice`."""
    after = seen((rows - choice.shift) / choice.scale)
    codes, scale = quantize_channels(weight * choice.scale, bits.weight)
    gap = (
        round_rows(after, bits.activation, SCHEME) @ (codes * scale[:, None]).t()
        - after.rows @ (weight * choice.scale).t()
    )
    return float((gap - gap.mean(0)).square().sum())


def nothing() -> Choice:
    return Choice(torch.ones(WIDTH), torch.zeros(WIDTH))


@pytest.mark.parametrize("bits", [Bits(8, 8), Bits(4, 8), Bits(4, 4), Bits(8, 3)], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_the_choice_never_rounds_worse_than_doing_nothing(seed: int, bits: Bits) -> None:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.randn(WIDTH, generator=generator).exp()
    rows = torch.randn(100, WIDTH, generator=generator) * spread + torch.randn(WIDTH, generator=generator)
    weight = torch.randn(24, WIDTH, generator=generator)
    shifts = [torch.zeros(WIDTH), rows.mean(0)]
    choice = choose(seen(rows), [Reader(weight, bits)], SCHEME, shifts)
    assert error(rows, weight, bits, choice) <= error(rows, weight, bits, nothing()) * (1 + 1e-5)


def test_planted_outliers_are_smoothed_away(rows: Tensor, weight: Tensor) -> None:
    rows[:, 2] *= 40
    choice = choose(seen(rows), [Reader(weight, Bits(8, 8))], SCHEME, [torch.zeros(WIDTH)])
    assert choice.alpha in ALPHAS
    assert choice.scale.argmax() == 2
    assert error(rows, weight, Bits(8, 8), choice) < error(rows, weight, Bits(8, 8), nothing()) / 4


def test_planted_offsets_are_shifted_away(rows: Tensor, weight: Tensor) -> None:
    rows[:, 4] += 30
    choice = choose(seen(rows), [Reader(weight, Bits(8, 4))], SCHEME, [torch.zeros(WIDTH), rows.mean(0)])
    assert choice.shift[4] == pytest.approx(30, abs=1)
    assert error(rows, weight, Bits(8, 4), choice) < error(rows, weight, Bits(8, 4), nothing()) / 4


def test_where_the_weights_are_what_rounds_badly_the_inputs_take_the_spread(rows: Tensor, weight: Tensor) -> None:
    weight[:, 6] *= 40
    choice = choose(seen(rows), [Reader(weight, Bits(3, 8))], SCHEME, [torch.zeros(WIDTH)])
    assert choice.scale.argmin() == 6, "column 6 of the weights becomes smaller, channel 6 of the inputs larger"


def test_what_is_even_already_is_left_alone() -> None:
    signs = torch.randint(0, 2, (64, WIDTH), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    choice = choose(seen(signs), [Reader(torch.ones(4, WIDTH), Bits(8, 8))], SCHEME, [torch.zeros(WIDTH)])
    assert choice.alpha is None
    assert torch.equal(choice.scale, torch.ones(WIDTH))


def test_no_shift_but_those_allowed(rows: Tensor, weight: Tensor) -> None:
    choice = choose(seen(rows + 30), [Reader(weight, Bits(8, 4))], SCHEME, [torch.zeros(WIDTH)])
    assert not choice.shift.any()


def test_scales_have_a_mean_of_one_and_dead_channels_none() -> None:
    reach, steepness = torch.rand(WIDTH) + 0.1, torch.rand(WIDTH) + 0.1
    reach[0], steepness[1], reach[2] = 0, 0, 1e9
    scale = smoothing(reach, steepness, 0.5)
    assert scale[:2].tolist() == [1, 1]
    assert scale[2] == LIMIT
    alive = smoothing(reach[3:], steepness[3:], 0.5)
    assert alive.log().mean() == pytest.approx(0, abs=1e-6)
    assert torch.allclose(alive.square() * steepness[3:] / reach[3:], (alive.square() * steepness[3:] / reach[3:])[:1])


def test_few_bits_clip_rare_values_and_eight_do_not(rows: Tensor) -> None:
    rows[0, 0] = 40
    assert round_rows(seen(rows), 3, SCHEME).max() < 30
    assert round_rows(seen(rows), 8, SCHEME).max() == pytest.approx(40, rel=0.01)


def test_attention_values_and_norms_are_evened_out_and_nothing_else_changes() -> None:
    draft = Draft(trace(Attention().eval(), (5, WIDTH)), {"qkv": Bits(8, 4), "proj": Bits(8, 4)}, SCHEME)
    x = torch.randn(16, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in draft.program.state_dict().items()}
    with torch.no_grad():
        answers = draft.program(x)
        Smooth().apply(draft, list(x.split(4)))
        assert torch.allclose(draft.program(x), answers, rtol=1e-4, atol=1e-4 * answers.abs().max().item())
    after = draft.program.state_dict()
    values = slice(2 * WIDTH, 3 * WIDTH)
    sizes = [state["qkv.weight"][values].norm(dim=1) for state in (before, after)]
    assert sizes[1].max() / sizes[1].median() < sizes[0].max() / sizes[0].median() / 2
    assert after["qkv.bias"][2 * WIDTH + 2].abs() < 10
    assert after["norm.weight"].max() < before["norm.weight"].max()
    assert after["norm.bias"][5].abs() < 4


def test_linears_that_stay_float_are_compensated_and_cause_nothing() -> None:
    draft = Draft(trace(Attention().eval(), (5, WIDTH)), {}, SCHEME)
    before = {name: tensor.clone() for name, tensor in draft.program.state_dict().items()}
    Smooth().apply(draft, [torch.randn(4, 5, WIDTH)])
    assert all(torch.equal(tensor, draft.program.state_dict()[name]) for name, tensor in before.items())
