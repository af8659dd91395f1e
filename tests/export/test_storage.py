"""What a file says of narrow weights is what its program holds."""

import pytest
import torch
from torch import nn

from vitc.compress.quantize import Quantize
from vitc.export.storage import note, widths
from vitc.models.backbone import Backbone, Preprocessing

SIZE = (3, 4, 4)


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    parts = nn.Linear(48, 16), nn.GELU(), nn.Linear(16, 40), nn.GELU(), nn.Linear(40, 5)
    return Backbone("tiny", nn.Sequential(nn.Flatten(), *parts).eval(), Preprocessing(SIZE), 5, (), "abc")


@pytest.mark.parametrize(("bits", "said"), [(1, "1 bit (40 %)"), (2, "2 bits (40 %)"), (4, "4 bits (40 %)")])
def test_narrow_weights_are_counted(backbone: Backbone, bits: int, said: str) -> None:
    made = Quantize(bits, 8, equalize=()).apply(backbone, [torch.randn(8, *SIZE)])
    assert widths(made) == {8: 48 * 16 + 40 * 5, bits: 16 * 40}
    assert note(made, "stored so, int8 executed") == f"weights of {said}: stored so, int8 executed"


def test_nothing_is_said_of_bytes_and_floats(backbone: Backbone) -> None:
    assert note(backbone, "stored so") == ""
    assert note(Quantize(equalize=()).apply(backbone, [torch.randn(8, *SIZE)]), "stored so") == ""
