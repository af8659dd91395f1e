import pytest
import torch
from torch import Tensor, nn

from vitc.compress.draft import Bits, Draft
from vitc.compress.equalize.labels import Labels
from vitc.compress.equalize.places import find_norms
from vitc.compress.equalize.seen import observe_places
from vitc.compress.graph import layer
from vitc.models.program import trace

WIDTH = 8


class Sliced(nn.Module):
    """A norm of which one linear reads all tokens, and another the first."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.all, self.first = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x)
        answer: Tensor = self.all(tokens).mean(1) + self.first(tokens[:, 0])
        return answer


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 5, WIDTH, generator=torch.Generator().manual_seed(0))


def drafted(bits: dict[str, Bits]) -> Draft:
    return Draft(trace(Sliced().eval(), (5, WIDTH)), bits, "asymmetric")


def test_what_is_seen_is_what_all_readers_read(images: Tensor) -> None:
    draft = drafted({"all": Bits(4, 6), "first": Bits(8, 8)})
    places = list(find_norms(draft.program, Labels(draft.program)))
    ((place, seen, bits),) = observe_places(draft, places, images.split(2), rows=128)
    normed = nn.functional.layer_norm(images, [WIDTH])
    assert place is places[0]
    assert {layer(reader): each for reader, each in zip(place.readers, bits, strict=True)} == draft.bits
    assert torch.allclose(seen.low, normed.amin((0, 1)), atol=1e-6)
    assert torch.allclose(seen.high, normed.amax((0, 1)), atol=1e-6)
    assert len(seen.rows) == 8 + 4, "two rows of each image (of 64 that there might be), and its first token"


def test_readers_that_stay_float_are_told_apart(images: Tensor) -> None:
    draft = drafted({"first": Bits(4, 4)})
    places = list(find_norms(draft.program, Labels(draft.program)))
    ((place, _, bits),) = observe_places(draft, places, [images])
    widths = {layer(reader): each for reader, each in zip(place.readers, bits, strict=True)}
    assert widths == {"all": None, "first": Bits(4, 4)}


def test_a_place_that_no_quantized_linear_reads_is_passed_over(images: Tensor) -> None:
    draft = drafted({})
    assert list(observe_places(draft, list(find_norms(draft.program, Labels(draft.program))), [images])) == []
