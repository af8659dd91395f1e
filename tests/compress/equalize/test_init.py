import pytest
import torch
from torch import Tensor

import vitc
from vitc.compress.attention import split
from vitc.compress.draft import Bits, Draft
from vitc.compress.equalize import STEPS, Row
from vitc.compress.graph import find_sites, layer
from vitc.compress.patchify import patchify
from vitc.models.program import trace
from vitc.models.timm_ready import timm

TINY: dict[str, object] = {
    "img_size": 32,
    "embed_dim": 48,
    "depth": 2,
    "num_heads": 3,
    "num_classes": 7,
    "patch_size": 8,
}
SWIN = TINY | {"patch_size": 2, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "layer scale, q and k normed": ("vit_tiny_patch16_224", TINY | {"init_values": 0.1, "qk_norm": True}),
    "mean of the tokens, no bias": ("vit_tiny_patch16_224", TINY | {"global_pool": "avg", "qkv_bias": False}),
    "two class tokens": ("deit_tiny_distilled_patch16_224", TINY),
    "biases put together, masks": ("beit_base_patch16_224", TINY),
    "normed patches": ("vit_base_patch16_clip_224", TINY),
    "windows": ("swin_tiny_patch4_window7_224", {key: value for key, value in SWIN.items() if key != "depth"}),
}


def draft_of(module: torch.nn.Module, size: tuple[int, int, int], scheme: str = "asymmetric") -> Draft:
    program = trace(module.eval(), size)
    patchify(program)
    return Draft(program, {layer(site): Bits(4, 4) for site in find_sites(program)}, scheme)


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    spec, arguments = MODELS[name]
    module: torch.nn.Module = timm.create_model(spec, **arguments)
    for parameter in module.parameters():  # fresh weights have norms of ones and biases of zeros
        parameter.data += 0.1 * torch.randn_like(parameter)
    return module


def change(draft: Draft, row: Row, images: Tensor) -> float:
    """By how much a step changes the answers, relative to them."""
    with torch.no_grad():
        before = draft.program(images)
        row.step().apply(draft, list(images.split(2)))
        after = draft.program(images)
    draft.program.graph.lint()
    return float((after - before).norm() / before.norm())


@pytest.mark.parametrize("scheme", ["asymmetric", "symmetric"])
@pytest.mark.parametrize("row", STEPS.values(), ids=STEPS)
def test_the_demo_answers_as_before(row: Row, scheme: str) -> None:
    draft = draft_of(vitc.load("demo").module, (3, 64, 64), scheme)
    assert change(draft, row, torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))) < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_models_of_all_kinds_answer_as_before(name: str) -> None:
    draft = draft_of(build(name), (3, 32, 32))
    split(draft.program)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert [name for name, row in STEPS.items() if change(draft, row, images) >= 1e-5] == []


def test_rows_stand_under_their_names() -> None:
    assert [row.name for row in STEPS.values()] == list(STEPS)


@pytest.mark.parametrize("row", STEPS.values(), ids=STEPS)
def test_a_step_changes_something(row: Row) -> None:
    draft = draft_of(build("two class tokens"), (3, 32, 32))
    split(draft.program)
    before = {name: tensor.clone() for name, tensor in draft.program.state_dict().items()}
    row.step().apply(draft, [torch.randn(2, 3, 32, 32)])
    assert any(not torch.equal(tensor, draft.program.state_dict()[name]) for name, tensor in before.items())


@pytest.mark.parametrize("row", STEPS.values(), ids=STEPS)
def test_batches_make_no_difference(row: Row) -> None:
    images, found = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), []
    for size in (1, 4):
        draft = draft_of(build("two class tokens"), (3, 32, 32))
        row.step().apply(draft, list(images.split(size)))
        found.append(draft.program.state_dict())
    one, four = found
    assert all(torch.allclose(one[name], four[name], rtol=1e-3, atol=1e-5) for name in one)
