"""A draft knows what each layer is to become, by the layer's name."""

from torch import nn

from vitc.compress.draft import Bits, Draft
from vitc.compress.graph import find_sites
from vitc.models.program import trace


def test_layers_that_have_no_widths_stay_float() -> None:
    program = trace(nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2)).eval(), (1, 2, 2))
    draft = Draft(program, {"2": Bits(4, 8)}, "asymmetric")
    assert [draft.bits_of(site) for site in find_sites(program)] == [None, Bits(4, 8)]
