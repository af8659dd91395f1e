"""The losses are those of an explicit least-squares refit, step after step; what others repeat costs nothing."""

import pytest
import torch
from torch import Tensor

from vitc.compress.moments import Moments
from vitc.compress.structure import elimination
from vitc.compress.structure.elimination import Elimination, eliminate


@pytest.fixture(autouse=True)
def no_imagined_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elimination, "PRIOR", 1e-9)


def made(neurons: int = 10, rows: int = 400, outputs: int = 4) -> tuple[Tensor, Tensor]:
    """Neurons that depend on each other, [R, K], and what reads them, [N, K]."""
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(rows, neurons, generator=generator) @ torch.randn(neurons, neurons, generator=generator)
    return (mixed.relu() + 1).double(), torch.randn(outputs, neurons, generator=generator).double()


def seen(rows: Tensor) -> Moments:
    moments = Moments.empty(rows.shape[1])
    moments.add(rows)
    return moments


def refit(rows: Tensor, weight: Tensor, kept: Tensor) -> tuple[Tensor, float]:
    """The best weight and bias for the neurons kept, one below the other, and their mean squared error."""
    wanted = rows @ weight.t()
    ones = torch.cat([rows[:, kept], torch.ones(len(rows), 1, dtype=torch.float64)], 1)
    found = torch.linalg.lstsq(ones, wanted).solution
    return found, float((ones @ found - wanted).square().sum() / len(rows))


def test_each_loss_is_that_of_a_refit() -> None:
    rows, weight = made()
    way = eliminate(seen(rows), weight, 9)
    for count in range(10):
        _, error = refit(rows, weight, way.kept(count))
        assert float(way.losses[:count].sum()) == pytest.approx(error, rel=1e-5, abs=1e-6)


def test_each_step_takes_the_cheapest() -> None:
    rows, weight = made()
    way = eliminate(seen(rows), weight, 5)
    for count, chosen in enumerate(way.order.tolist()):
        kept = way.kept(count)
        errors = {int(one): refit(rows, weight, kept[kept != one])[1] for one in kept}
        assert min(errors, key=errors.__getitem__) == chosen


def test_the_weights_are_those_of_a_refit() -> None:
    rows, weight = made()
    way = eliminate(seen(rows), weight, 6)
    for count in (0, 1, 6):
        found, shift = way.refitted(count)
        wanted, _ = refit(rows, weight, way.kept(count))
        torch.testing.assert_close(found[:, way.kept(count)], wanted[:-1].t(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(shift, wanted[-1], rtol=1e-5, atol=1e-4)
        assert not found[:, way.order[:count]].any()


def test_what_others_repeat_costs_nothing_and_goes_first() -> None:
    rows, weight = made()
    rows[:, 3] = 2 * rows[:, 1] - rows[:, 7] + 5
    rows[:, 5] = 4.0
    way = eliminate(seen(rows), weight, 3)
    assert way.losses[0] < 1e-5
    assert way.losses[1] < 1e-5
    assert way.losses[2] > 1e-3
    assert way.order[:2].tolist().count(5) == 1
    assert set(way.order[:2].tolist()) <= {1, 3, 5, 7}
    weight_left, shift = way.refitted(2)
    torch.testing.assert_close(rows @ weight_left.t() + shift, rows @ weight.t(), rtol=1e-4, atol=1e-3)


def test_neurons_that_nobody_reads_go_before_those_that_vary_little() -> None:
    rows, weight = made()
    weight[:, 8] = 0
    assert eliminate(seen(rows), weight, 1).order.tolist() == [8]


def test_few_images_and_dead_neurons_leave_numbers() -> None:
    rows, weight = made(rows=3)
    for x in (rows, torch.zeros_like(rows)):
        way: Elimination = eliminate(seen(x), weight, 9)
        assert sorted({*way.order.tolist(), *way.kept(9).tolist()}) == list(range(10))
        assert bool(way.losses.isfinite().all())
        assert bool((way.losses >= 0).all())


def test_imagined_rows_hold_back(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, weight = made(rows=30)
    free = eliminate(seen(rows), weight, 5).refitted(5)[0]
    monkeypatch.setattr(elimination, "PRIOR", 30)
    held = eliminate(seen(rows), weight, 5).refitted(5)[0]
    assert (held - weight).square().sum() < (free - weight).square().sum()


def test_nothing_to_remove_changes_nothing() -> None:
    rows, weight = made()
    found, shift = eliminate(seen(rows), weight, 0).refitted(0)
    assert torch.equal(found, weight)
    assert not shift.any()


def test_groups_lose_one_each_in_every_round_the_cheapest_of_each() -> None:
    rows, weight = made(neurons=12)
    weight[:, :4] *= 100
    free, way = eliminate(seen(rows), weight, 6), eliminate(seen(rows), weight, 6, groups=3)
    assert not (free.order < 4).any(), "none of the dear ones goes by itself"
    for rounds in range(1, 3):
        assert sorted((way.order[: 3 * rounds] // 4).tolist()) == sorted([0, 1, 2] * rounds)
    for count in range(7):
        _, error = refit(rows, weight, way.kept(count))
        assert float(way.losses[:count].sum()) == pytest.approx(error, rel=1e-5, abs=1e-5)
