"""Moments are those of the neurons, whatever the batches, and rows are taken evenly."""

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.structure.hidden import POSITIONS, Hidden, observe_hidden, rebatched, rows_of
from vitc.compress.structure.pairs import find_pairs
from vitc.errors import UserError
from vitc.models.program import trace


def images(count: int, size: tuple[int, ...] = (3, 4, 4)) -> Tensor:
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(0))


def test_moments_are_those_of_all_rows() -> None:
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double() + 3
    hidden = Hidden.empty(6)
    for part in rows.split(17):
        hidden.add(part)
    torch.testing.assert_close(hidden.mean, rows.mean(0))
    torch.testing.assert_close(hidden.covariance, rows.t().cov(correction=0))


def test_neurons_are_seen_past_the_activation_whatever_the_batches() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GELU(), nn.Conv2d(8, 2, 1, stride=2), nn.Flatten()).eval()
    program, x = trace(layers, (3, 4, 4)), images(20)
    pairs = find_pairs(program)
    (one,), (other,) = (observe_hidden(program, pairs, x.split(size)) for size in (3, 20))
    assert torch.equal(one.sums, other.sums)
    rows = layers[:2](x).movedim(1, -1).flatten(0, -2).double()
    torch.testing.assert_close(one.mean, rows.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one.covariance, rows.t().cov(correction=0), rtol=1e-5, atol=1e-6)


def test_large_images_count_at_some_places_only() -> None:
    layers = nn.Sequential(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 2), nn.Flatten()).eval()
    (pair,) = find_pairs(trace(layers, (3, 200, 32)))
    assert rows_of(pair, torch.zeros(2, 3, 200, 8)).shape == (2 * POSITIONS, 8)
    assert rows_of(pair, torch.zeros(2, 8)).shape == (2, 8)


def test_batches_are_made_again() -> None:
    x = images(11)
    made = list(rebatched(x.split([1, 7, 3]), 4))
    assert [len(batch) for batch in made] == [4, 4, 3]
    assert torch.equal(torch.cat(made), x)


def test_no_images_and_images_that_are_not_finite_are_refused() -> None:
    layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.Flatten()).eval()
    program = trace(layers, (3, 4, 4))
    with pytest.raises(UserError, match="no images"):
        observe_hidden(program, find_pairs(program), [])
    with pytest.raises(UserError, match="not finite"):
        observe_hidden(program, find_pairs(program), [images(2) * torch.nan])
