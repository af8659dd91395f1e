"""What a trial says of a narrower layer is what the narrower layer does."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from vitc.compress.structure.neurons import ways
from vitc.compress.structure.pairs import find_pairs
from vitc.models.program import trace

SIZE = (3, 4, 4)


def images(count: int) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(0))


def test_a_trial_answers_as_the_narrow_program_does() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 4), nn.Flatten()).eval()
    program, x = trace(deepcopy(layers), SIZE), images(40)
    pairs = find_pairs(program)
    (way,) = ways(program, pairs, [8], x.split(7))
    assert way.site is pairs[0].reader
    weight, bias = way.refitted(program, 5)
    with torch.no_grad():
        own = layers[2]
        assert isinstance(own, nn.Linear)
        exact = layers(x)
        own.weight.copy_(weight)
        own.bias.copy_(bias)
        tried = layers(x)
        way.narrow(program, 5)
        torch.testing.assert_close(program(x), tried, rtol=1e-4, atol=1e-5)
        assert (tried - exact).abs().max() > 1e-3
    assert program.get_parameter("0.weight").shape == (11, 4)
    assert program.get_parameter("2.weight").shape == (4, 11)
