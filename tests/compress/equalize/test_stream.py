import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitc.compress.equalize.stream import Stream, find_streams
from vitc.models.program import trace

WIDTH = 8
CALM = ("plain", "mean", "scaled", "scaled first", "position", "read twice", "convolution")


class Blocks(nn.Module):
    """A residual stream with a block of one linear, and something in its way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.embed, self.patches = nn.Linear(WIDTH, WIDTH), nn.Conv2d(1, WIDTH, (1, 1))
        self.norm, self.last, self.gate = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.linear, self.head, self.mixer = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3), nn.Linear(5, 5)
        self.gamma, self.scalar, self.position = (nn.Parameter(torch.rand(n)) for n in (WIDTH, 1, WIDTH))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.patches(x[:, None, :, :1]).squeeze(3).transpose(1, 2) if self.way == "convolution" else self.embed(x)
        x = x + self.position if self.way == "position" else x
        x = functional.relu(x) if self.way == "relu" else x
        x = self.gate(x) if self.way == "norm" else x
        x = self.embed(x) if self.way == "shared weights" else x
        x = x + self._block(self.norm(x))
        x = x * self.gamma if self.way == "scaled stream" else x
        x = torch.cat([x, x.relu()], 1) if self.way == "concatenated with relu" else x
        tokens = self.last(x.mean(1) if self.way == "mean" else x[:, 0])
        answer: Tensor = self.head(tokens) + (self.head(x[:, 1]) if self.way == "shared head" else 0)
        return (answer, x) if self.way == "given out" else answer

    def _block(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.linear(self.mixer(tokens.mT).mT if self.way == "tokens mixed" else tokens)
        ways = {
            "scaled": lambda: y * self.gamma,
            "scaled first": lambda: self.gamma * y,
            "scaled by one number": lambda: y * self.scalar,
            "scaled by itself": lambda: y * tokens,
            "read twice": lambda: y + y.roll(1, 1),
            "channels rolled": lambda: y.roll(1, 2),
            "gelu": lambda: functional.gelu(y),
            "heads": lambda: y.reshape(-1, 5, 2, 4).transpose(2, 3).flatten(2),
        }
        return ways.get(self.way, lambda: y)()


def stream(way: str) -> Stream:
    (found,) = find_streams(trace(Blocks(way).eval(), (5, WIDTH)))
    return found


@pytest.mark.parametrize("way", CALM)
def test_what_commutes_is_no_obstacle(way: str) -> None:
    found = stream(way)
    assert found.obstacles == []
    assert found.width == WIDTH
    assert len(found.writers) == 2
    assert {str(norm.args[2]): len(readers) for norm, readers in found.norms.items()} == {
        "norm_weight": 1,
        "last_weight": 1,
    }
    assert len(found.parameters) == (way == "position")
    assert len(found.scales) == ("scaled" in way)


@pytest.mark.parametrize(
    ("way", "first"),
    [
        ("relu", "relu"),
        ("norm", "layer_norm"),
        ("scaled stream", "mul"),
        ("shared weights", "linear"),
        ("concatenated with relu", "relu"),
        ("tokens mixed", "layer_norm"),
        ("scaled by one number", "mul"),
        ("scaled by itself", "layer_norm"),
        ("channels rolled", "add"),
        ("gelu", "gelu"),
        ("heads", "add"),
        ("given out", "output"),
        ("shared head", "linear"),
    ],
)
def test_what_does_not_commute_is_named(way: str, first: str) -> None:
    assert any(obstacle.name.startswith(first) for obstacle in stream(way).obstacles)


def test_a_head_s_own_norm_is_no_residual_stream() -> None:
    program = trace(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2)).eval(), (5, WIDTH))
    assert find_streams(program) == []


def test_a_position_embedding_alone_makes_no_residual_stream() -> None:
    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm, self.head = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2)
            self.position = nn.Parameter(torch.ones(WIDTH))

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.head(self.norm(self.embed(x) + self.position))
            return answer

    assert find_streams(trace(Embedded().eval(), (5, WIDTH))) == []
