from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

import vitc
from vitc.compress.draft import Draft
from vitc.compress.equalize.rotate import Rotate
from vitc.compress.observe import observe
from vitc.models.program import trace
from vitc.models.timm_ready import timm

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}


def draft(name: str, **others: object) -> Draft:
    torch.manual_seed(0)
    module: nn.Module = timm.create_model(name, **(TINY | others))
    return Draft(trace(module.eval(), (3, 32, 32)), {}, "asymmetric")


def peaks(program: GraphModule, images: Tensor) -> Tensor:
    """For each layer norm, how far the largest channel stands out from the typical one."""
    norms = program.graph.find_nodes(op="call_function", target=torch.ops.aten.layer_norm.default)
    reach = (
        torch.maximum(seen.high, -seen.low) for seen in observe(program, dict.fromkeys(norms, -1), [images]).values()
    )
    return torch.stack([each.max() / each.median() for each in reach])


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def outlying(module: GraphModule) -> None:
    """Plant channels that stand out in everything that the stream's norms give."""
    for name, parameter in module.named_parameters():
        if "norm" in name and "weight" in name:
            parameter.data[:2] = 20


def test_planted_channels_no_longer_stand_out(images: Tensor) -> None:
    planted = draft("vit_tiny_patch16_224")
    outlying(planted.program)
    before = peaks(planted.program, images)
    Rotate().apply(planted, [images])
    assert bool((peaks(planted.program, images) < before / 3).all())


def test_layer_norms_stay_and_hold_ones_and_zeros(images: Tensor) -> None:
    rotated = draft("vit_tiny_patch16_224", init_values=0.1)
    Rotate().apply(rotated, [images])
    states = rotated.program.state_dict().items()
    assert all(bool((value == 1).all()) for name, value in states if "norm" in name and "weight" in name)
    assert all(bool((value == 0).all()) for name, value in states if "norm" in name and "bias" in name)
    targets = [node.target for node in rotated.program.graph.nodes]
    assert targets.count(torch.ops.aten.layer_norm.default) == 5
    assert torch.ops.aten.mul.Tensor not in targets, "layer scales are folded away"
    assert rotated.notes == ["rotate: 5 layer norms of 48 channels read a rotated stream"]


def test_another_seed_is_another_rotation(images: Tensor) -> None:
    def state(seed: int) -> Tensor:
        rotated = draft("vit_tiny_patch16_224")
        Rotate(seed).apply(rotated, [images])
        found: Tensor = rotated.program.state_dict()["pos_embed"]
        return found

    assert torch.equal(state(1), state(1))
    assert not torch.equal(state(1), state(2))


def test_a_model_without_a_residual_stream_says_so() -> None:
    plain = Draft(trace(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).eval(), (5, 4)), {}, "asymmetric")
    Rotate().apply(plain, [])
    assert plain.notes == ["rotate: nothing was rotated, there is no residual stream between layer norms"]


def swin() -> Draft:
    others = {"patch_size": 2, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    torch.manual_seed(0)
    arguments = {key: value for key, value in TINY.items() if key != "depth"} | others
    return Draft(
        trace(timm.create_model("swin_tiny_patch4_window7_224", **arguments).eval(), (3, 32, 32)), {}, "asymmetric"
    )


def clip() -> Draft:
    return draft("vit_base_patch16_clip_224")


@pytest.mark.parametrize("build", [swin, clip])
def test_a_stream_that_a_norm_writes_is_left_as_it_was(build: Callable[[], Draft], images: Tensor) -> None:
    left = build()
    graph, before = str(left.program.graph), {name: value.clone() for name, value in left.program.state_dict().items()}
    Rotate().apply(left, [images])
    assert left.notes == ["rotate: nothing was rotated, layer_norm cannot take a rotation up"]
    assert str(left.program.graph) == graph
    assert all(torch.equal(value, left.program.state_dict()[name]) for name, value in before.items())


def test_the_demo_s_norms_have_fewer_outliers_after_it() -> None:
    demo = Draft(trace(vitc.load("demo").module, (3, 64, 64)), {}, "asymmetric")
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = peaks(demo.program, images)
    Rotate().apply(demo, [images])
    assert peaks(demo.program, images).mean() < before.mean()
