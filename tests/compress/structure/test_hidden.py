"""Moments are those of the neurons, whatever the batches, and rows are taken evenly."""

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.round_layers import POSITIONS
from vitc.compress.structure.hidden import observe_hidden, rebatched
from vitc.compress.structure.pairs import find_pairs
from vitc.errors import UserError
from vitc.models.program import trace


def images(count: int, size: tuple[int, ...] = (3, 4, 4)) -> Tensor:
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(0))


def test_neurons_are_seen_past_the_activation_whatever_the_batches() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GELU(), nn.Conv2d(8, 2, 1, stride=2), nn.Flatten()).eval()
    program, x = trace(layers, (3, 4, 4)), images(20)
    pairs = find_pairs(program)
    (one,), (other,) = (observe_hidden(program, pairs, x.split(size)) for size in (3, 20))
    assert torch.equal(one.rounded, other.rounded)
    rows = layers[:2](x)[:, :, ::2, ::2].movedim(1, -1).flatten(0, -2).double()  # those that the reader reads
    torch.testing.assert_close(one.centred.mean, rows.mean(0), rtol=1e-5, atol=1e-6)
    covariance = one.centred.rounded / one.rows
    torch.testing.assert_close(covariance, rows.t().cov(correction=0), rtol=1e-5, atol=1e-6)


def test_large_images_count_at_some_places_only() -> None:
    layers = nn.Sequential(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 2), nn.Flatten()).eval()
    program = trace(layers, (3, 200, 32))
    (one,) = observe_hidden(program, find_pairs(program), [images(2, (3, 200, 32))])
    assert one.rows == 2 * POSITIONS


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
