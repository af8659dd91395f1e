"""Which layers are rounded to how many bits: all, unless the type says otherwise, unless the name does."""

import pytest
from torch import nn
from torch.fx import GraphModule

from vitc.compress.draft import Bits
from vitc.compress.widths import Override, widths
from vitc.errors import UserError
from vitc.models.program import trace

FOUR, EIGHT = Bits(4, 4), Bits(8, 8)


@pytest.fixture(scope="module")
def program() -> GraphModule:
    """Layers 0 (convolution), 1 (depthwise), 2 (convolution), 4 and 5 (linear)."""
    return trace(
        nn.Sequential(
            *(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 4, 1)),
            *(nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 5)),
        ).eval(),
        (3, 4, 4),
    )


def found(program: GraphModule, *overrides: Override, exclude: tuple[str, ...] = ()) -> dict[str, Bits]:
    return widths(program, FOUR, overrides, exclude, grouped=False)


def test_the_edges_have_eight_bits_and_grouped_convolutions_stay_float(program: GraphModule) -> None:
    assert found(program) == {"0": EIGHT, "2": FOUR, "4": FOUR, "5": EIGHT}
    assert widths(program, FOUR, (), (), grouped=True)["1"] == FOUR


def test_a_name_wins_over_a_type_and_a_type_over_all(program: GraphModule) -> None:
    overrides = (Override("4", weight_bits=3), Override("linear", weight_bits=6, activation_bits=6))
    assert found(program, *overrides) == {"0": EIGHT, "2": FOUR, "4": Bits(3, 6), "5": Bits(6, 6)}
    assert found(program, *reversed(overrides)) == found(program, *overrides), "whatever their order"


def test_the_last_of_two_names_wins(program: GraphModule) -> None:
    assert found(program, Override("[24]", weight_bits=3), Override("2", weight_bits=5))["2"] == Bits(5, 4)


def test_a_type_that_is_named_is_rounded(program: GraphModule) -> None:
    assert found(program, Override("depthwise", weight_bits=8, activation_bits=8))["1"] == EIGHT


def test_what_is_excluded_stays_float_whatever_else_is_said(program: GraphModule) -> None:
    assert found(program, Override("4", weight_bits=8), exclude=("4", "conv2d")) == {"5": EIGHT}


@pytest.mark.parametrize("stranger", ["blocks.*", "Linear", "6"])
def test_a_pattern_that_names_nothing_is_refused(program: GraphModule, stranger: str) -> None:
    with pytest.raises(UserError, match="no layer is called"):
        found(program, exclude=(stranger,))
    with pytest.raises(UserError, match="no layer is called"):
        found(program, Override(stranger, weight_bits=8))
