from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vitc.compress.quantize import Quantize
from vitc.compress.tokens.hosts import host
from vitc.compress.tokens.merge import Merge, Merging
from vitc.errors import UserError
from vitc.export import TARGETS
from vitc.export.options import DEFAULTS
from vitc.models.backbone import Backbone
from vitc.models.cost import cost
from vitc.models.program import trace
from vitc.runtimes import RUNTIMES

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SIZE = (3, 32, 32)
Build = Callable[..., Backbone]


def test_merging_nothing_changes_nothing(small_vit: Build) -> None:
    backbone = small_vit()
    merged = Merge("0").apply(backbone)
    assert torch.equal(merged.module(IMAGES), backbone.module(IMAGES))


def test_the_model_given_stays_as_it_is(small_vit: Build) -> None:
    backbone = small_vit()
    before, names = backbone.fingerprint(), list(backbone.module.state_dict())
    merged = Merge("2").apply(backbone)
    merged.module.requires_grad_(requires_grad=False).blocks.reductions["0"].keys.weight.zero_()  # type: ignore[union-attr, index]
    assert backbone.fingerprint() == before
    assert list(backbone.module.state_dict()) == names
    assert merged.fingerprint() != before
    assert set(names) < set(merged.module.state_dict()), "layers keep their names"


def test_other_counts_are_another_backbone(small_vit: Build) -> None:
    prints = {Merge(words).apply(small_vit()).fingerprint() for words in ("1", "2", "17,17,15,15", "17,17,14,14")}
    assert len(prints) == 4


@pytest.mark.parametrize("words", ["2", "2:increase", "80%", "17,12,12,7"])
def test_tokens_and_costs_are_those_of_the_schedule(small_vit: Build, words: str) -> None:
    backbone = small_vit()
    amounts = Merge(words).amounts(host(backbone))
    merged = Merge(words).apply(backbone)
    counts: list[int] = []
    for index in range(4):
        merged.module.get_submodule(f"blocks.{index}.mlp").register_forward_pre_hook(
            lambda _, inputs: counts.append(inputs[0].shape[1])
        )
    merged.module(IMAGES)
    assert counts == [17 - sum(amounts[: index + 1]) for index in range(4)]
    measured = cost(merged.module, SIZE).macs
    assert measured < cost(backbone.module, SIZE).macs
    if words.endswith("%"):
        assert 0.75 < measured / cost(backbone.module, SIZE).macs <= 0.8


def test_images_do_not_see_each_other(small_vit: Build) -> None:
    module = Merge("3").apply(small_vit()).module
    torch.testing.assert_close(module(IMAGES), torch.cat([module(image[None]) for image in IMAGES]))


def test_the_prefix_and_the_sizes_are_kept(small_vit: Build) -> None:
    backbone = small_vit("deit_tiny_distilled_patch16_224")
    attention = backbone.module.get_submodule("blocks.0.attn")
    x = torch.randn(2, 18, 32)
    out, sizes = Merging(attention, 2, 5)(x, x, None)
    torch.testing.assert_close(out[:, :2], x[:, :2])
    assert torch.equal(sizes[:, :2], torch.ones(2, 2))
    torch.testing.assert_close(sizes.sum(1), torch.full((2,), 18.0))
    assert Merge("2").apply(backbone).module(IMAGES).shape == (3, 5)


def test_merging_equal_patches_is_exact(small_vit: Build) -> None:
    backbone = small_vit()
    backbone.module.pos_embed.data.zero_()  # type: ignore[operator]
    flat = torch.ones(1, 3, 32, 32)
    merged = Merge("17,9,9,5").apply(backbone)
    torch.testing.assert_close(merged.module(flat), backbone.module(flat), rtol=1e-4, atol=1e-4)


def test_averages_count_every_patch(small_vit: Build) -> None:
    for words in ({"fc_norm": False}, {"fc_norm": True}, {"fc_norm": False, "class_token": False}):
        backbone = small_vit(global_pool="avg", **words)
        backbone.module.pos_embed.data.zero_()  # type: ignore[operator]
        flat = torch.ones(1, 3, 32, 32)
        flat[..., :8] = -1  # a quarter of the patches
        tokens = 17 - (words.get("class_token") is False)
        merged = Merge(f"{tokens - 4},{tokens - 4},{tokens - 4},{tokens - 4}").apply(backbone)
        torch.testing.assert_close(merged.module(flat), backbone.module(flat), rtol=1e-4, atol=1e-4)


def test_words_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="no schedule of tokens"):
        Merge("fast")


def test_what_cannot_be_followed_is_refused_early(small_vit: Build) -> None:
    with pytest.raises(UserError, match="for 4 blocks"):
        Merge("17,17,15").check(small_vit())


def test_only_linears_are_rounded_and_none_is_left_out(small_vit: Build) -> None:
    merged = Merge("3").apply(small_vit())
    quantized = Quantize(attention=True).apply(merged, [IMAGES])
    rounded = trace(quantized.module, SIZE)
    linears = [node for node in rounded.graph.nodes if node.target == torch.ops.vitc.linear.default]
    assert len(linears) == 4 * 5 + 2, "four of each block and one that merges, patches and head"
    products = [node for node in rounded.graph.nodes if node.target == torch.ops.aten.matmul.default]
    read = [any(one.target == torch.ops.vitc.quantize.default for one in node.all_input_nodes) for node in products]
    assert (len(products), sum(read)) == (4 * 4, 4 * 2), "those of attention, not those that merge"


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "tensorrt", "coreml"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_exported_it_answers_alike(small_vit: Build, tmp_path: Path, target: str, precision: str) -> None:
    backbone = Merge("17,15,12,11").apply(small_vit())
    if precision == "int8":
        backbone = Quantize(scheme=TARGETS[target].scheme).apply(backbone, [IMAGES])
    exact = (precision, target) == ("fp32", "onnxruntime")  # the others may compute in fewer bits
    tolerance = 1e-4 if exact else 0.2
    artifact = TARGETS[target].write(backbone, tmp_path, DEFAULTS)
    with RUNTIMES[TARGETS[target].runtimes[-1]].open(artifact.path, 1) as session:
        answer = torch.cat([torch.from_numpy(session.run(image[None].numpy())) for image in IMAGES])
    wanted = backbone.module(IMAGES)
    assert torch.equal(answer.argmax(1), wanted.argmax(1))
    torch.testing.assert_close(answer, wanted, rtol=0, atol=tolerance)
