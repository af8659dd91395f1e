"""A drift is more than rounding flips explain; the layer that brought it in is named."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.fx import GraphModule

from vitc.compress.quantize import Quantize
from vitc.export.drift import ALIKE, drift, first_divergence, layers, values
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace


def right(count: int, of: int, start: int = 0) -> NDArray[np.bool_]:
    """`count` right answers from image `start` on."""
    answers = np.zeros(of, dtype=np.bool_)
    answers[start : start + count] = True
    return answers


def test_equal_answers_do_not_drift() -> None:
    found = drift(right(80, 100), right(80, 100))
    assert (found.points, found.chance, found.fails) == (0, 1, False)


def test_a_few_flips_either_way_are_no_drift() -> None:
    found = drift(right(80, 1000), right(80, 1000, start=5))
    assert (found.points, found.fails) == (0, False)
    assert not drift(right(500, 1000), right(496, 1000)).fails  # four images of a thousand: 0.4 points, but chance


@pytest.mark.parametrize(("simulated", "served", "points"), [(500, 480, -2.0), (480, 500, 2.0)])
def test_one_way_is_a_drift_whichever_way(simulated: int, served: int, points: float) -> None:
    found = drift(right(simulated, 1000), right(served, 1000))
    assert found.points == pytest.approx(points)
    assert found.fails


def test_small_but_sure_differences_are_allowed() -> None:
    assert not drift(right(5000, 10000), right(4975, 10000)).fails


@pytest.fixture
def program() -> GraphModule:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 5)).eval()
    made = Backbone("tiny", module, Preprocessing((3, 4, 4)), 5, (), "abc")
    return trace(Quantize().apply(made, [torch.randn(8, 3, 4, 4)]).module, (3, 4, 4))


def test_layers_are_named_as_in_the_model(program: GraphModule) -> None:
    assert list(layers(program).values()) == ["0", "2", "4"]


def test_the_first_value_that_is_not_alike_is_named(program: GraphModule) -> None:
    names = layers(program)
    images = np.random.default_rng(0).standard_normal((2, 3, 4, 4), dtype=np.float32)
    here = values(program, names.keys(), images)
    assert list(here) == list(names)
    _, second, third = here
    there = {**here, second: -here[second], third: here[third] * 0}
    assert first_divergence(here, there) == second
    assert first_divergence(here, {third: here[third]}) == third  # the only one that can be compared
    assert first_divergence(here, {}) is None
    assert 0.9 < ALIKE < 1
