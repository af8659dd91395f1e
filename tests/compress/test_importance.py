"""Positions are weighed by what the answers depend on, whatever the batches."""

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from vitc.compress.graph import find_sites, layer
from vitc.compress.importance import POWER, information, weigh
from vitc.models.program import trace


class Reader(nn.Module):
    """Two linears over six tokens that do not know each other, and a head that reads them as it is told."""

    def __init__(self, reads: Tensor) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.register_buffer("reads", reads)

    def forward(self, images: Tensor) -> Tensor:
        tokens = torch.tanh(self.first(images.flatten(2).transpose(1, 2).reshape(-1, 6, 12)))
        answers: Tensor = self.head((self.second(tokens) * self.get_buffer("reads")[:, None]).sum(1))
        return answers


def program(reads: Tensor) -> GraphModule:
    return trace(Reader(reads).eval(), (2, 6, 6))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(20, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def weighed(reads: Tensor, batches: list[Tensor]) -> dict[str, Tensor]:
    return {layer(site): weights for site, weights in weigh(program(reads), batches).items()}


def test_what_nothing_reads_weighs_nothing_and_what_all_read_alike_weighs_alike(images: Tensor) -> None:
    found = weighed(torch.tensor([1.0, 0, 0, 0, 0, 0]), [images])
    assert found["second"].tolist() == pytest.approx([1, 0, 0, 0, 0, 0])
    assert found["first"].tolist() == pytest.approx([1, 0, 0, 0, 0, 0])
    alike = weighed(torch.ones(6), [images])
    assert alike["second"].tolist() == pytest.approx([1] * 6)


def test_a_position_that_is_read_sixteen_times_as_loudly_weighs_four_times_as_much(images: Tensor) -> None:
    found = weighed(torch.tensor([16.0, 1, 1, 1, 1, 1]), [images])["second"]
    assert (found / found[-1]).tolist() == pytest.approx([16 ** (2 * POWER), 1, 1, 1, 1, 1])
    assert found.sum().item() == pytest.approx(9**2 / (16 + 5)), "so many positions weighed alike are worth as much"


def test_no_batching_matters_and_later_images_do_not(images: Tensor) -> None:
    reads = torch.tensor([3.0, 1, 0.5, 1, 1, 2])
    wanted = weighed(reads, [torch.cat([images, images])[:32]])
    for batches in ([*images.split(3), images], [images, images, images]):
        for name, weights in weighed(reads, batches).items():
            assert torch.equal(weights, wanted[name])


def test_a_layer_without_positions_or_without_images_has_no_weights(images: Tensor) -> None:
    assert "head" not in weighed(torch.ones(6), [images])
    constant = trace(Constant().requires_grad_(requires_grad=False), (2, 6, 6))
    assert {layer(site) for site in weigh(constant, [images])} == {"second"}
    assert weigh(trace(nn.Sequential(nn.Conv2d(2, 3, 3)), (2, 6, 6)), [images]) == {}


class Constant(nn.Module):
    """One linear that never sees an image, as those of position biases do, and one that does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.register_buffer("places", torch.ones(1, 4, 6))

    def forward(self, images: Tensor) -> Tensor:
        biases: Tensor = self.first(self.get_buffer("places")).sum(1)
        answers: Tensor = self.second(images.flatten(1, 2)).sum(1)
        return answers + biases


def test_information_is_the_square_of_what_a_nudge_does(images: Tensor) -> None:
    reader = Reader(torch.tensor([2.0, 1, 1, 1, 1, 0.5])).eval().double()
    image = images[:1].double()
    plain = program(torch.tensor([2.0, 1, 1, 1, 1, 0.5]))
    site = next(site for site in find_sites(plain) if layer(site) == "second")
    found = information(plain, [site], image.float(), torch.Generator().manual_seed(0))[site]
    given = reader.second(torch.tanh(reader.first(image.flatten(2).transpose(1, 2).reshape(-1, 6, 12)))).detach()

    def answers(tokens: Tensor) -> Tensor:
        logits: Tensor = reader.head((tokens * reader.get_buffer("reads")[:, None]).sum(1))
        return logits

    drawn = torch.multinomial(answers(given).float().softmax(-1), 1, generator=torch.Generator().manual_seed(0))
    squares = torch.zeros(6, dtype=torch.float64)
    for place in range(6):
        for channel in range(8):
            nudge = torch.zeros_like(given)
            nudge[0, place, channel] = 1e-5
            up, down = (answers(given + sign * nudge).log_softmax(-1)[0, drawn[0, 0]] for sign in (1, -1))
            squares[place] += ((up - down) / 2e-5).item() ** 2
    torch.testing.assert_close(found, squares, rtol=1e-3, atol=1e-9)
