import pytest
import torch

from vitc.compress.ranges import Range
from vitc.errors import UserError


def seen(*parts: torch.Tensor) -> Range:
    found = Range()
    for part in parts:
        found.add(part)
    return found


def test_a_range_holds_the_extremes() -> None:
    assert seen(torch.tensor([[1.0, -2.0], [0.5, 0.0]]), torch.tensor([3.5])) == Range(-2.0, 3.5)


def test_neither_order_nor_batching_matters() -> None:
    values = torch.randn(24, 7, generator=torch.Generator().manual_seed(0))
    whole = seen(values)
    assert seen(*values) == whole
    assert seen(*values.split(5)) == whole
    assert seen(*values.flip(0).split(7)) == whole
    assert seen(*values[torch.randperm(24)].split(1)) == whole


def test_extremes_are_the_values_themselves() -> None:
    value = torch.tensor([0.1])
    assert torch.tensor(seen(value).low) == value
    assert seen(value) == Range(value.item(), value.item())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(UserError, match="not finite"):
        seen(torch.tensor([1.0, bad, 2.0]))
