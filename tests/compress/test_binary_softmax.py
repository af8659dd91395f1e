"""One bit for a softmax: the threshold and the scale against brute force, the gradient against finite differences."""

import pytest
import torch
from torch import Tensor

from vitc.compress import binary_softmax
from vitc.compress.binary_softmax import BINARY, Fit, counting, heads


@pytest.fixture(params=[(5, 3, 17, 17), (6, 9, 11), (2, 2, 3, 4, 5)], ids=["heads", "no heads", "windows"])
def scores(request: pytest.FixtureRequest) -> Tensor:
    return 2 * torch.randn(request.param, generator=torch.Generator().manual_seed(0))


def test_what_counts_is_a_quarter_of_the_largest_share(scores: Tensor) -> None:
    for row, found in zip(scores.flatten(0, -2), counting(scores).flatten(0, -2), strict=True):
        shares = row.double().softmax(-1).tolist()
        assert found.tolist() == [float(share >= max(shares) / 4) for share in shares]


def test_what_is_hidden_does_not_count() -> None:
    scores = torch.tensor([[0.0, -torch.inf, -1.0, -100.0, -1.4]])
    assert counting(scores).tolist() == [[1, 0, 1, 0, 0]]


def test_the_operator_gives_each_head_its_scale(scores: Tensor) -> None:
    scale = [0.1 * (head + 1) for head in range(heads(scores))]
    found = BINARY(scores, scale)
    parts = found.movedim(1, 0) if scores.dim() == 4 else found[None]
    for part, wanted in zip(parts, scale, strict=True):
        assert set(part.unique().tolist()) == {0.0, torch.tensor(wanted).item()}
    assert torch.equal(found > 0, counting(scores) > 0)


def test_no_other_scale_has_a_smaller_squared_error(scores: Tensor) -> None:
    fit = Fit()
    for part in scores.split(2):  # in whatever batches
        fit.add(part)
    shares, counted = scores.double().softmax(-1), counting(scores).double()
    power = shares.square().sum()

    def error(scale: list[float]) -> float:
        per_head = torch.tensor(scale, dtype=torch.float64).view(-1, 1, 1)
        return float((shares - per_head * counted).square().sum() / power)

    least = fit.scale()
    assert error(least) == pytest.approx(fit.error(), rel=1e-4)
    for head in range(len(least)):
        for factor in torch.linspace(0.2, 3, 57).tolist():
            other = [one * (factor if at == head else 1) for at, one in enumerate(least)]
            assert error(other) >= error(least) - 1e-9
    assert fit.density() == pytest.approx(counted.mean().item(), rel=1e-6)


def test_gradients_are_the_finite_differences_of_the_softmax() -> None:
    scores = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(scores.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    given = scores.clone().requires_grad_()
    (BINARY(given, [0.3, 0.2, 0.1]) * weight).sum().backward()
    assert given.grad is not None
    step = 1e-6
    for place in range(0, scores.numel(), 7):
        moved = (
            torch.zeros(scores.numel(), dtype=torch.float64).index_fill_(0, torch.tensor(place), step).view_as(scores)
        )
        ends = [((scores + sign * moved).softmax(-1) * weight).sum() for sign in (1, -1)]
        assert given.grad.flatten()[place].item() == pytest.approx(((ends[0] - ends[1]) / (2 * step)).item(), abs=1e-7)


def test_the_fake_kernel_tells_the_true_shape(scores: Tensor) -> None:
    arguments = (scores, [0.5] * heads(scores))
    tests = ("test_schema", "test_faketensor", "test_autograd_registration")
    found = torch.library.opcheck(binary_softmax.binary_softmax, arguments, test_utils=tests)
    assert set(found.values()) == {"SUCCESS"}


def test_scales_that_do_not_fit_are_refused() -> None:
    with torch._subclasses.FakeTensorMode(), pytest.raises(ValueError, match="2 scales for 3 heads"):
        BINARY(torch.empty(1, 3, 4, 4), [0.1, 0.2])
