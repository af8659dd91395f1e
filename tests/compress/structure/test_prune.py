"""A pruned backbone is narrower by what was asked for, answers much the same, and goes wherever a backbone goes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vitc.compress.aids import Aids
from vitc.compress.graph import as_node
from vitc.compress.quantize import Quantize
from vitc.compress.structure import Prune
from vitc.compress.structure.prune import KINDS, Kind
from vitc.errors import UserError
from vitc.export import to_onnx
from vitc.models import saved
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.cost import cost
from vitc.models.program import trace
from vitc.models.timm_ready import timm

SIZE = (3, 32, 32)
WIDTH = 192


def wrapped(module: nn.Module, size: tuple[int, int, int] = SIZE) -> Backbone:
    return Backbone("tiny", module.eval(), Preprocessing(size), 7, (), "abc")


def images(count: int, size: tuple[int, ...] = SIZE) -> Tensor:
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(0))


def answers(backbone: Backbone, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = backbone.module(x)
    return found


def vit() -> nn.Module:
    """Its first perceptron has neurons that give nothing, that nobody reads, and that repeat each other."""
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 7}
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", **small)
    mlp = module.get_submodule("blocks.0.mlp")
    fc1, fc2 = mlp.get_submodule("fc1"), mlp.get_submodule("fc2")
    assert isinstance(fc1, nn.Linear)
    assert isinstance(fc2, nn.Linear)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 2:
                parameter.mul_(3)
        fc1.weight[::4] = 0
        fc1.bias[::4] = 1.5
        fc2.weight[:, 1::4] = 0
    return module


@pytest.fixture(scope="module")
def batches() -> list[Tensor]:
    return list(images(40).split(7))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return wrapped(vit())


@pytest.fixture(scope="module")
def pruned(backbone: Backbone, batches: list[Tensor]) -> Backbone:
    return Prune(0.25).apply(backbone, batches)


def test_neurons_that_do_nothing_go_and_nothing_changes(backbone: Backbone, pruned: Backbone) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in pruned.module.state_dict().items()}
    assert shapes["blocks.0.mlp.fc1.weight"] == (WIDTH // 2, 48)
    assert shapes["blocks.0.mlp.fc1.bias"] == (WIDTH // 2,)
    assert shapes["blocks.0.mlp.fc2.weight"] == (48, WIDTH // 2)
    assert shapes["blocks.1.mlp.fc1.weight"] == (WIDTH, 48)
    x = images(5)
    torch.testing.assert_close(answers(pruned, x), answers(backbone, x), rtol=1e-3, atol=1e-3)


def test_the_backbone_that_was_given_is_unchanged(batches: list[Tensor]) -> None:
    given = wrapped(vit())
    before = given.fingerprint()
    made = Prune(0.3).apply(given, batches)
    assert given.fingerprint() == before != made.fingerprint()
    assert made.precision == given.precision


@pytest.mark.parametrize(("share", "multiple"), [(0.1, 8), (0.33, 16), (0.5, 1), (0.2, 24)])
def test_the_budget_is_met_in_multiples(backbone: Backbone, batches: list[Tensor], share: float, multiple: int) -> None:
    aids = Aids()
    made = Prune(share, multiple).apply(backbone, batches, aids)
    kept = [len(made.module.state_dict()[f"blocks.{block}.mlp.fc1.weight"]) for block in range(2)]
    gone, asked, tokens = 2 * WIDTH - sum(kept), round(share * 2 * WIDTH), 17
    assert asked - multiple < gone <= asked
    assert all(count % multiple == 0 for count in kept)
    each = ", ".join(f"blocks.{block}.mlp.fc1 {WIDTH - count}" for block, count in enumerate(kept))
    assert aids.losses.notes == [f"of {2 * WIDTH} neurons {gone} go: {each}"]
    assert made.form == (f"prune neurons={share:g}",)
    before, after = (cost(one.module, SIZE) for one in (backbone, made))
    assert before.macs - after.macs == gone * 2 * 48 * tokens
    assert before.params - after.params == gone * (2 * 48 + 1)


def test_compensation_beats_leaving_neurons_out(backbone: Backbone, batches: list[Tensor]) -> None:
    made = Prune(0.5).apply(backbone, batches)
    plain = wrapped(vit())
    with torch.no_grad():
        for block in range(2):
            weight = plain.module.state_dict()[f"blocks.{block}.mlp.fc2.weight"]
            weight[:, weight.square().sum(0).argsort()[: WIDTH // 2]] = 0
    x = images(20)
    wanted = answers(backbone, x)
    off, plainly_off = ((answers(one, x) - wanted).square().mean() for one in (made, plain))
    assert off < plainly_off / 2


def test_the_same_images_give_the_same_program_however_they_come(
    backbone: Backbone, pruned: Backbone, batches: list[Tensor]
) -> None:
    assert Prune(0.25).apply(backbone, [torch.cat(batches)]).fingerprint() == pruned.fingerprint()


def test_a_pruned_backbone_can_be_saved_and_pruned_again(
    pruned: Backbone, batches: list[Tensor], tmp_path: Path
) -> None:
    saved.save(pruned, tmp_path / "pruned.pt2")
    loaded = saved.load(tmp_path / "pruned.pt2")
    x = images(3)
    assert torch.equal(answers(loaded, x), answers(pruned, x))
    again = Prune(0.25).apply(loaded, batches)
    assert cost(again.module, SIZE).macs < cost(pruned.module, SIZE).macs


def test_a_pruned_backbone_can_be_quantized(pruned: Backbone, batches: list[Tensor]) -> None:
    made = Quantize().apply(pruned, batches)
    x = images(3)
    wanted = answers(pruned, x)
    assert made.precision == "int8"
    assert (answers(made, x) - wanted).abs().max() < 0.1 * wanted.abs().max()


def test_a_pruned_backbone_answers_the_same_as_onnx(pruned: Backbone, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = to_onnx.write(pruned, tmp_path / "onnx").path
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        x = images(count)
        (found,) = session.run([to_onnx.OUTPUT], {to_onnx.INPUT: x.numpy()})
        np.testing.assert_allclose(found, answers(pruned, x).numpy(), rtol=1e-3, atol=1e-4)


def test_pointwise_convolutions_lose_channels_after_their_norms_are_folded() -> None:
    torch.manual_seed(0)
    first, norm, second = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.Conv2d(16, 4, 1)
    nn.init.uniform_(norm.bias, -1, 1)
    with torch.no_grad():
        first.weight[8:] = first.weight[:8]
        norm.bias[8:] = norm.bias[:8]
    module = nn.Sequential(first, norm, nn.ReLU(), second, nn.AdaptiveAvgPool2d(2), nn.Flatten())
    given, x = wrapped(module, (3, 8, 8)), images(30, (3, 8, 8))
    made = Prune(0.5).apply(given, [x])
    assert {name: tuple(one.shape) for name, one in made.module.state_dict().items() if one.dim() == 4} == {
        "0.weight": (8, 3, 3, 3),
        "3.weight": (4, 8, 1, 1),
    }
    torch.testing.assert_close(answers(made, x), answers(given, x), rtol=2e-2, atol=2e-2)


@pytest.fixture(scope="module")
def everything(batches: list[Tensor]) -> Backbone:
    aids = Aids()
    how = Prune(0.1, 8, values=0.25, queries=0.25, sublayers=1)
    how.check(wide())
    made = how.apply(wide(), batches, aids)
    assert [note.split()[0] for note in aids.losses.notes] == ["sublayers", "of", "of", "of"]
    return made


def wide() -> Backbone:
    """Four blocks of two heads, so that every one of them has something to give."""
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 4, "num_heads": 2, "num_classes": 7}
    return wrapped(timm.create_model("vit_tiny_patch16_224", **small))


def test_everything_goes_in_order_and_costs_less(everything: Backbone) -> None:
    assert everything.form == ("prune neurons=0.1,values=0.25,queries=0.25,sublayers=1",)
    before, after = (cost(one.module, SIZE) for one in (wide(), everything))
    assert after.macs < 0.9 * before.macs
    assert after.params < 0.9 * before.params
    x = images(5)
    assert (answers(everything, x) - answers(wide(), x)).abs().max() < answers(wide(), x).abs().max()


@pytest.mark.parametrize("how", [Prune(0, values=0.25), Prune(0, queries=0.25)], ids=str)
def test_a_quarter_of_the_dimensions_saves_its_multiply_adds(how: Prune, batches: list[Tensor]) -> None:
    made = how.apply(wide(), batches)
    before, after = (cost(one.module, SIZE) for one in (wide(), made))
    gone, tokens = 4 * 64 // 4, 17
    assert before.macs - after.macs == gone * tokens * (2 * 64 + tokens)
    widths = [
        len(one) for name, one in made.module.state_dict().items() if name.endswith(("value.weight", "key.weight"))
    ]
    assert all(width % 16 == 0 for width in widths)


def test_all_that_is_pruned_can_be_saved_quantized_and_exported(
    everything: Backbone, batches: list[Tensor], tmp_path: Path
) -> None:
    x = images(3)
    saved.save(everything, tmp_path / "pruned.pt2")
    assert torch.equal(answers(saved.load(tmp_path / "pruned.pt2"), x), answers(everything, x))
    small = Quantize().apply(everything, batches)
    wanted = answers(everything, x)
    assert (answers(small, x) - wanted).abs().max() < 0.1 * wanted.abs().max()
    runtime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    kinds = []
    for name, made in (("whole", wide()), ("pruned", everything), ("int8", small)):
        path = to_onnx.write(made, tmp_path / name).path
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.run([to_onnx.OUTPUT], {to_onnx.INPUT: x.numpy()})
        np.testing.assert_allclose(found, answers(made, x).numpy(), rtol=1e-3, atol=1e-4)
        kinds.append({node.op_type for node in onnx.load(str(path)).graph.node})
    assert kinds[0] == kinds[1], "attention is written as it was"


def test_what_cannot_be_pruned_is_refused(backbone: Backbone, batches: list[Tensor]) -> None:
    def refused(given: Backbone, how: Prune, reason: str) -> None:
        with pytest.raises(UserError, match=reason):
            how.check(given)

    refused(wrapped(nn.Sequential(nn.Flatten(), nn.Linear(3072, 7))), Prune(), "no neurons to prune")
    refused(wrapped(nn.Sequential(nn.Flatten(), nn.Linear(3072, 7))), Prune(0, values=0.2), "no value dimensions")
    refused(wrapped(nn.Sequential(nn.Flatten(), nn.Linear(3072, 7))), Prune(0, queries=0.2), "no query dimensions")
    refused(backbone, Prune(0, values=0.1), "values=0.1 of 96 in tiny is less than a layer gives up")
    refused(backbone, Prune(0, queries=0.9), "keep 8 in each head")
    refused(backbone, Prune(0, blocks=2), "blocks=2 is too many")
    refused(backbone, Prune(0.01), "less than a layer gives up")
    refused(backbone, Prune(0.9, 64), "it can give up 256")
    refused(backbone, Prune(0.1, 256), "less than a layer gives up")
    refused(Quantize().apply(backbone, batches), Prune(), "int8 already")
    with pytest.raises(UserError, match="no images"):
        Prune().apply(backbone, [])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
def test_a_trial_answers_as_the_narrow_program_does(kind: Kind) -> None:
    program, x = trace(vit().eval(), SIZE), images(20)
    *_, room = kind.find(program)  # in the first, neurons that nobody misses were planted
    gone = room.width // 4 * 3
    (way,) = kind.ways(program, [room], [gone], [x])
    weight, bias = way.refitted(program, gone)
    names = [str(as_node(one).target) for one in way.site.args[1:3]]
    with torch.no_grad():
        exact, own = program(x), [program.get_parameter(name) for name in names]
        before = [one.clone() for one in own]
        for one, tried in zip(own, (weight, bias), strict=True):
            one.copy_(tried)
        found = program(x)
        for one, was in zip(own, before, strict=True):
            one.copy_(was)
        way.narrow(program, gone)
        program.recompile()
        torch.testing.assert_close(program(x), found, rtol=1e-4, atol=1e-5)
    assert (found - exact).abs().max() > 1e-3
