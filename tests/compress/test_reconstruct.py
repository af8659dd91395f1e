"""Blocks end where one tensor is all that is known of an image, and training brings each nearer to what it was."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from vitc.compress.graph import WEIGHTED, aten, tensor
from vitc.compress.quantize import EFFORTS, Quantize
from vitc.compress.reconstruct import Draws, Reconstruct, blocks
from vitc.compress.weights import SAFE
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIZE = (3, 32, 32)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 7}
    module = timm.create_model("vit_tiny_patch16_224", **small).eval()
    return Backbone("tiny", module, Preprocessing(SIZE), 7, (), "abc")


@pytest.fixture(scope="module")
def batches() -> list[Tensor]:
    return list(torch.randn(16, *SIZE, generator=torch.Generator().manual_seed(0)).split(8))


def test_a_transformers_blocks_end_with_its_residual_sums(backbone: Backbone) -> None:
    program = trace(backbone.module, SIZE)
    found = list(blocks(program))
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert [node for block in found for node in block] == calls
    ends = [block[-1].target for block in found[:-1]]
    assert ends == [aten.add.Tensor] * len(ends)
    assert [sum(node.target in WEIGHTED for node in block) for block in found] == [5, 4, 4, 1][: len(found)]


def test_nothing_but_the_end_is_read_later(backbone: Backbone) -> None:
    program = trace(backbone.module, SIZE)
    for block in list(blocks(program))[:-1]:
        inside = set(block)
        outside = {reader for node in block[:-1] for reader in node.users} - inside
        assert all(reader.op != "call_function" or block[-1] in inside for reader in outside)
        of_images = [node for node in block[:-1] if set(node.users) - inside and node.op == "call_function"]
        assert all(isinstance(node.meta["val"], int | torch.SymInt) for node in of_images)


@pytest.mark.parametrize("bits", [(4, 4), (3, 8)])
def test_training_brings_answers_nearer(backbone: Backbone, batches: list[Tensor], bits: tuple[int, int]) -> None:
    plain = Quantize(*bits, effort="fast")
    errors = []
    for technique in (plain, replace(plain, effort="high")):
        made = technique.apply(backbone, batches)
        assert isinstance(made.module, GraphModule)
        with torch.no_grad():
            errors.append(sum((made.module(b) - backbone.module(b)).square().sum().item() for b in batches))
    assert errors[1] < 0.7 * errors[0]


def test_training_twice_gives_the_same(backbone: Backbone, batches: list[Tensor]) -> None:
    technique = Quantize(4, 4, effort="high")
    assert technique.apply(backbone, batches).fingerprint() == technique.apply(backbone, batches).fingerprint()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps, fast ones: the model is tiny."""
    short = Reconstruct(steps=40, sign_steps=40, batch=8, weight_rate=1e-3, range_rate=5e-3)
    monkeypatch.setitem(EFFORTS, "high", short)


@pytest.mark.parametrize("bits", [1, 8])
def test_trained_codes_are_codes_that_every_cpu_can_take(backbone: Backbone, batches: list[Tensor], bits: int) -> None:
    made = Quantize(bits, 4, effort="high").apply(backbone, batches)
    assert isinstance(made.module, GraphModule)
    for site in made.module.graph.find_nodes(op="call_function", target=torch.ops.vitc.linear.default):
        node = site.args[1]
        assert isinstance(node, Node)
        codes = tensor(made.module, node).int()
        if site.args[-1] == 1:
            assert set(codes.unique().tolist()) == {-1, 1}
        else:
            assert codes.any()
            assert codes.unflatten(0, (-1, 2)).sum(1).abs().max() <= SAFE


def test_every_image_is_drawn_before_any_comes_again() -> None:
    draws = Draws(10, 4, seed=3)
    drawn = torch.cat([draws.next() for _ in range(5)])
    assert sorted(drawn[:10].tolist()) == list(range(10))
    assert sorted(drawn[10:].tolist()) == list(range(10))
    again = Draws(10, 4, seed=3)
    assert torch.equal(again.next(), drawn[:4])
