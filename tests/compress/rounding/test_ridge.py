import torch
from torch import Tensor

from vitc.compress.moments import FLOOR, Moments, root
from vitc.compress.rounding.bias import Bias
from vitc.compress.rounding.ridge import Ridge, fit
from vitc.compress.rounding.rounded import Exact

SEED = torch.Generator().manual_seed(0)
MIX = torch.randn(4, 16, generator=SEED)
WEIGHT, BIAS = torch.randn(10, 16, generator=SEED), torch.randn(10, generator=SEED)


def seen(rows: int) -> tuple[Tensor, Tensor]:
    """Inputs that say the same thing several times, rounded coarsely and as they are."""
    exact = torch.randn(rows, 4, generator=torch.Generator().manual_seed(rows)) @ MIX + 3
    return exact.round(), exact


def layer(rows: int) -> Exact:
    moments = Moments.empty(16)
    moments.add(*seen(rows))
    return Exact(WEIGHT, BIAS, moments)


def test_the_fit_is_the_ridge_solution_on_the_rows_themselves() -> None:
    exact, (rounded, inputs) = layer(200), [rows.double() for rows in seen(200)]
    lower = root(exact.moments.centred, 100)[0]
    middle = rounded - rounded.mean(0)
    outputs = (inputs - inputs.mean(0)) @ WEIGHT.t().double()
    spread = middle.square().sum(0)
    cost = torch.diag(100 / 200 * (spread + FLOOR * spread.mean())).sqrt()
    stacked = torch.cat([middle, cost]), torch.cat([outputs, cost @ WEIGHT.t().double()])
    torch.testing.assert_close(fit(exact, lower), torch.linalg.lstsq(*stacked).solution.t(), rtol=1e-4, atol=1e-5)


def test_inputs_that_are_exact_leave_the_weight_alone() -> None:
    moments = Moments.empty(16)
    rows = seen(200)[1]
    moments.add(rows, rows)
    assert torch.equal(fit(Exact(WEIGHT, BIAS, moments), root(moments.centred, 10)[0]), WEIGHT.double())


def test_more_rows_move_weights_more_freely() -> None:
    moved = [
        (fit(layer(rows), root(layer(rows).moments.centred, 500)[0]) - WEIGHT).norm() for rows in (50, 2000, 50000)
    ]
    assert moved == sorted(moved)


def test_other_images_err_less_too() -> None:
    found, plain = (method.apply(WEIGHT, BIAS, layer(4000).moments, 8) for method in (Ridge(), Bias()))
    for rows in (4000, 3000):
        assert layer(rows).error(found).sum() < 0.9 * layer(rows).error(plain).sum()


def test_without_rows_weights_stay() -> None:
    moments = Moments.empty(16)
    assert torch.equal(fit(Exact(WEIGHT, BIAS, moments), root(moments.centred, 100)[0]), WEIGHT.double())
