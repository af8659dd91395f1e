import pytest
import torch
from torch import Tensor

from vitc.compress.moments import Moments, root


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WEIGHT, BIAS = drawn(5, 7, seed=1), drawn(5, seed=2)
MOVED, MOVED_BIAS = WEIGHT + 0.1 * drawn(5, 7, seed=3), BIAS + 0.1 * drawn(5, seed=4)
EXACT = drawn(40, 7, seed=5) + 3
ROUNDED = EXACT + 0.05 * drawn(40, 7, seed=6) + 0.02


def taken(rounded: Tensor = ROUNDED, exact: Tensor = EXACT) -> Moments:
    moments = Moments.empty(rounded.shape[-1])
    moments.add(rounded, exact)
    return moments


def squares(weight: Tensor, bias: Tensor) -> Tensor:
    return (ROUNDED @ weight.t() + bias - EXACT @ WEIGHT.t() - BIAS).square().sum(0)


def test_errors_are_those_of_the_rows_themselves() -> None:
    torch.testing.assert_close(taken().error(MOVED, MOVED_BIAS, WEIGHT, BIAS), squares(MOVED, MOVED_BIAS))
    torch.testing.assert_close(taken().power(WEIGHT, BIAS), (EXACT @ WEIGHT.t() + BIAS).square().sum(0))


def test_the_best_bias_leaves_no_mean_error_and_no_other_is_better() -> None:
    about = taken().centred
    best = about.best_bias(MOVED, WEIGHT, BIAS)
    left = ROUNDED @ MOVED.t() + best - EXACT @ WEIGHT.t() - BIAS
    torch.testing.assert_close(left.mean(0), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(about.error(MOVED, WEIGHT), squares(MOVED, best))
    for off in (-0.01, 0.01):
        assert (squares(MOVED, best + off) > squares(MOVED, best)).all()


def test_a_small_error_beside_large_outputs_keeps_its_digits() -> None:
    exact = (1000 * drawn(300, 7)).float()
    rounded = exact + 1e-3 * drawn(300, 7, seed=8).sign().float()
    off = (rounded.double() - exact.double()) @ WEIGHT.t()
    found = taken(rounded, exact).error(WEIGHT, BIAS, WEIGHT, BIAS)
    torch.testing.assert_close(found, off.square().sum(0), rtol=1e-5, atol=0)


def test_a_row_that_matters_twice_is_taken_in_twice() -> None:
    rounded, exact = (rows.unflatten(0, (8, 5)) for rows in (ROUNDED, EXACT))
    weighed, again = Moments.empty(7), Moments.empty(7)
    weighed.add(rounded, exact, torch.tensor([2.0, 1, 0, 1, 3]))
    often = torch.tensor([0, 0, 1, 3, 4, 4, 4])
    again.add(rounded[:, often], exact[:, often])
    assert weighed.rows == pytest.approx(again.rows) == 56
    for name in ("rounded", "shift", "noise"):
        torch.testing.assert_close(getattr(weighed, name), getattr(again, name))


def test_batches_of_images_are_nothing_but_round_off() -> None:
    rounded, exact = (rows.unflatten(0, (8, 5)) for rows in (ROUNDED, EXACT))
    whole, parts = taken(), Moments.empty(7)
    for start, stop in ((0, 3), (3, 4), (4, 8)):
        parts.add(rounded[start:stop], exact[start:stop])
    assert whole.rows == parts.rows == 40
    for name in ("rounded", "shift", "noise"):
        torch.testing.assert_close(getattr(whole, name), getattr(parts, name))


def test_the_order_of_rows_is_nothing_but_round_off() -> None:
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(taken(ROUNDED[order], EXACT[order]).centred.rounded, taken().centred.rounded)


def test_what_is_taken_in_later_counts() -> None:
    moments = taken(ROUNDED[:10], EXACT[:10])
    before = moments.error(MOVED, MOVED_BIAS, WEIGHT, BIAS)
    moments.add(ROUNDED[10:], EXACT[10:])
    assert (moments.error(MOVED, MOVED_BIAS, WEIGHT, BIAS) > before).all()
    torch.testing.assert_close(moments.centred.mean, ROUNDED.mean(0))


def test_as_many_rounded_rows_as_exact_ones_are_wanted() -> None:
    with pytest.raises(RuntimeError):
        Moments.empty(7).add(ROUNDED, EXACT[:-1])


def test_without_rows_nothing_errs() -> None:
    assert not Moments.empty(7).error(MOVED, BIAS, WEIGHT, BIAS).any()


def test_of_one_input_nothing_was_added() -> None:
    one = Moments.empty(7)
    one.add(EXACT)
    both = taken(EXACT, EXACT)
    assert all(torch.equal(getattr(one, name), getattr(both, name)) for name in ("rounded", "shift", "noise"))


@pytest.mark.parametrize("rows", [1, 2, 300])
def test_there_is_always_a_root(rows: int) -> None:
    exact = drawn(rows, 4) @ drawn(4, 16, seed=1) + 3
    about = taken(exact.round(), exact).centred
    for prior in (0.0, 1.0, 1e9):
        lower, hessian = root(about, prior)
        torch.testing.assert_close(lower @ lower.t(), hessian)
        assert (lower.diagonal() > 0).all()
