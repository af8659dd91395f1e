import torch
from torch import Tensor

from vitc.compress.moments import Moments
from vitc.compress.rounding.rounded import Exact, Rounded, better


def exact_layer() -> Exact:
    rows = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    moments = Moments.empty(2)
    moments.add(rows, rows)
    return Exact(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.zeros(3), moments)


def coded(*rows: list[int], bias: float = 0.0) -> Rounded:
    return Rounded(torch.tensor(rows, dtype=torch.int8), torch.ones(len(rows)), torch.full((len(rows),), bias))


def test_the_better_of_two_is_chosen_row_by_row() -> None:
    first, second = coded([1, 2], [3, 3], [5, 6]), coded([1, 3], [3, 4], [5, 7], bias=0.5)
    found = better(first, second, exact_layer())
    assert found.codes.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert found.bias.tolist() == [0, 0.5, 0]
    swapped = better(second, first, exact_layer())
    assert torch.equal(swapped.codes, found.codes)


def test_of_equals_the_first_is_kept() -> None:
    first, second = coded([1, 2], [3, 4], [5, 6]), coded([1, 2], [3, 4], [5, 6])
    doubled = Rounded(second.codes, second.scale, second.bias.clone())
    assert torch.equal(better(first, doubled, exact_layer()).weight, first.weight)
    assert not exact_layer().error(first).any()


def test_codes_stand_for_multiples_of_their_scale() -> None:
    codes = torch.tensor([[1, -2], [3, 0]], dtype=torch.int8)
    found = Rounded(codes, torch.tensor([0.5, 2.0]), torch.zeros(2)).weight
    assert found.tolist() == [[0.5, -1.0], [6.0, 0.0]]
    assert found.dtype == torch.float64


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coarse_layer() -> Exact:
    rows = drawn(0, 60, 5) + 2
    moments = Moments.empty(5)
    moments.add((rows * 3).round() / 3, rows)
    return Exact(drawn(1, 4, 5), drawn(2, 4), moments)


def test_errors_are_those_of_the_moments() -> None:
    exact = coarse_layer()
    codes = (exact.weight * 4).round().to(torch.int8)
    found = Rounded(codes, torch.full((4,), 0.25), exact.bias.float() + 0.1)
    expected = exact.moments.error(found.weight, found.bias, exact.weight, exact.bias)
    torch.testing.assert_close(exact.error(found), expected)
    assert expected.min() > 0


def test_the_slope_is_half_the_gradient_of_the_error() -> None:
    exact, moved = coarse_layer(), (drawn(1, 4, 5) + 0.1 * drawn(3, 4, 5)).requires_grad_()
    exact.moments.centred.error(moved, exact.weight).sum().backward()
    assert moved.grad is not None
    torch.testing.assert_close(2 * exact.slope(moved.detach()), moved.grad)
