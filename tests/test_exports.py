"""What a run makes for a target is kept: done once, found again, and told when something is missing."""

import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from vitc.compress import TECHNIQUES, Row, Technique
from vitc.compress.aids import Aids
from vitc.compress.quantize import Quantize
from vitc.compress.recover import Recover, recover
from vitc.compress.recover.checkpoint import NAME, State
from vitc.compress.recover.places import set_aside
from vitc.compress.recover.training import Training
from vitc.errors import NotAvailable
from vitc.export import TARGETS
from vitc.export.artifact import Artifact
from vitc.exports import PROGRAM, RIVALS, Exports, Given
from vitc.journal import Journal
from vitc.models import saved
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.decode import Pixels
from vitc.models.timm_ready import timm
from vitc.pipeline import plan
from vitc.progress import Advance, Progress
from vitc.recipe import Recipe
from vitc.stages import Stages

PREPROCESSING = Preprocessing((3, 4, 4))


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.GELU(), nn.Linear(16, 5)).eval()
    return Backbone("tiny", module, PREPROCESSING, 5, (), "abc")


@pytest.fixture
def samples() -> Pixels:
    content = np.random.default_rng(0).integers(0, 256, (16, 3, 4, 4), dtype=np.uint8)
    return Pixels(content, None, tuple(map(str, range(16))), (), PREPROCESSING)


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


def exports(out: Path, said: io.StringIO, *, resume: bool = False, recipe: Recipe | None = None) -> Exports:
    progress = Progress(Console(file=said))
    return Exports(recipe or Recipe(), out, Stages(Journal(out, resume=resume), progress, {}), progress)


def test_the_untouched_and_the_compressed_backbone_are_exported(
    backbone: Backbone, samples: Pixels, said: io.StringIO, tmp_path: Path
) -> None:
    making = exports(tmp_path / "run", said)
    variants, losses = making.variants(backbone, samples)
    assert {row["name"] for row in losses} == {"1", "3"}
    assert [(variant.backbone.precision, target) for variant, target in variants] == [
        ("fp32", "onnx"),
        ("int8", "onnx"),
    ]
    made = [making.exported(variant, target) for variant, target in variants]
    assert [artifact.path.relative_to(making.out).as_posix() for artifact in made] == [
        "fp32/onnx/model.onnx",
        "onnx/model.onnx",
    ]
    again = exports(tmp_path / "run", said, resume=True)
    assert [again.exported(*variant) for variant in again.variants(backbone, samples)[0]] == made
    assert said.getvalue().count("reused") == 3


def test_other_calibration_images_make_another_artifact(
    backbone: Backbone, samples: Pixels, said: io.StringIO, tmp_path: Path
) -> None:
    making = exports(tmp_path / "run", said)
    (_, (first, _)), _ = making.variants(backbone, samples)
    one = making.exported(first, "onnx")
    other = exports(tmp_path / "run", said, resume=True)
    (_, (second, _)), _ = other.variants(backbone, samples.first(4))
    assert other.exported(second, "onnx").sha256 != one.sha256


def test_every_step_is_exported_and_the_last_is_the_program(said: io.StringIO, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, embed_dim=24, num_heads=3)
    preprocessing = Preprocessing((3, 32, 32))
    content = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    samples = Pixels(content, None, tuple(map(str, range(8))), (), preprocessing)
    making = exports(tmp_path / "run", said, recipe=Recipe(merge="2"))
    variants, _ = making.variants(Backbone("vit", module.eval(), preprocessing, 1000, (), "abc"), samples)
    artifacts = [making.exported(*variant) for variant in variants]
    assert {one.name: one.path.relative_to(making.out).as_posix() for one in artifacts} == {
        "fp32/onnx": "fp32/onnx/model.onnx",
        "merge-fp32/onnx": "merge-fp32/onnx/model.onnx",
        "merge-int8/onnx": "onnx/model.onnx",
    }
    assert [variant.simulation for variant, _ in variants] == ["fp32 torch", "merge-fp32 torch", "merge-int8 torch"]
    assert saved.load(making.out / PROGRAM).form == ("merge 2",)
    assert {one.path.parent for one in artifacts} <= set(plan(making.recipe, making.out))
    assert "of 17 tokens, blocks merge 2, 2" in said.getvalue()


def test_without_a_technique_there_is_one(backbone: Backbone, said: io.StringIO, tmp_path: Path) -> None:
    making = exports(tmp_path, said, recipe=Recipe(ptq="off"))
    ((variant, target),), losses = making.variants(backbone, None)
    assert losses == []
    assert making.exported(variant, target).path == tmp_path / "onnx" / "model.onnx"


def test_an_artifact_says_what_is_to_be_known_of_it(
    backbone: Backbone, samples: Pixels, said: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TARGETS["onnx"]
    noted = replace(plain, write=lambda *given: replace(plain.write(*given), note="not built here: no device"))
    monkeypatch.setitem(TARGETS, "onnx", noted)
    making = exports(tmp_path, said)
    made = [making.exported(*variant) for variant in making.variants(backbone, samples)[0]]
    assert {artifact.note for artifact in made} == {"not built here: no device"}
    assert "int8/onnx: not built here: no device" in said.getvalue()


@pytest.mark.parametrize("there", [True, False])
def test_rivals_are_made_of_the_float_backbone_where_their_tool_is(
    backbone: Backbone,
    samples: Pixels,
    said: io.StringIO,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    there: bool,
) -> None:
    def rivals(original: Backbone, folder: Path, options: Any, batches: Any) -> list[Artifact]:
        assert original is backbone
        assert sum(map(len, batches)) == 16
        if not there:
            raise NotAvailable("that tool is not installed: pip install it")
        made = TARGETS["onnx"].write(original, folder / "theirs", options)
        return [replace(made, name="int8-theirs/onnx", precision="int8-theirs")]

    monkeypatch.setitem(TARGETS, "onnx", replace(TARGETS["onnx"], rivals=rivals))
    found = exports(tmp_path, said).rivals(backbone, "onnx", samples)
    if there:
        assert [artifact.path for artifact in found] == [tmp_path / RIVALS / "onnx" / "theirs" / "model.onnx"]
    else:
        assert found == []
        assert "no rivals on onnx: that tool is not installed" in said.getvalue()


@pytest.mark.parametrize(("runtime", "lent"), [((), True), (("none",), False)])
def test_a_technique_is_lent_the_clock_of_the_first_target(
    backbone: Backbone,
    samples: Pixels,
    said: io.StringIO,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    runtime: tuple[str, ...],
    lent: bool,  # noqa: FBT001 (a parameter of the test)
) -> None:
    seen: list[Aids] = []

    def apply(_: Quantize, given: Backbone, __: object, aids: Aids) -> Backbone:
        seen.append(aids)
        return given

    monkeypatch.setattr(Quantize, "apply", apply)
    exports(tmp_path / "run", said, recipe=Recipe(runtime=runtime)).variants(backbone, samples)
    assert (seen[0].clock is not None) is lent


def vit() -> Backbone:
    torch.manual_seed(0)
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, embed_dim=24, num_heads=3, num_classes=5
    )
    for parameter in module.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return Backbone("vit", module.eval(), Preprocessing((3, 32, 32)), 5, (), "abc")


def pixels(count: int, side: int) -> Pixels:
    content = np.random.default_rng(side).integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    return Pixels(content, None, tuple(map(str, range(count))), (), Preprocessing((3, side, side)))


def test_lessons_that_end_with_the_samples_are_known_by_it() -> None:
    samples, lessons = pixels(3, 32), pixels(8, 36)
    joined = replace(lessons, kept=(*lessons.kept[:5], *samples.kept))
    found = [Given(vit(), samples, given).calibrated for given in (None, lessons, joined)]
    assert found == [3, 0, 3]
    assert Given(vit(), None, joined).calibrated == 0


def test_before_a_recovery_nothing_looks_at_what_that_is_held_against() -> None:
    samples = pixels(20, 32)
    lessons = replace(pixels(28, 32), kept=(*"abcdefgh", *samples.kept))
    given = Given(vit(), samples, lessons)
    rows = {row.name: row for row in TECHNIQUES}
    learning: list[tuple[Row, Technique]] = [(rows["recover"], Recover(seed=3)), (rows["quantize"], Quantize())]
    whole, aside = torch.cat([*samples.batches(4)]), set_aside(20, 3)
    assert len(aside) == 4
    before = torch.cat([*given.before(learning).batches(rows["prune"])])
    assert torch.equal(before, whole[[place for place in range(20) if place not in aside]])
    assert torch.equal(torch.cat([*given.before(learning[1:]).batches(rows["quantize"])]), whole)
    assert len(torch.cat([*given.before(learning).batches(rows["recover"])])) == 28, "it is what holds them out itself"
    foreign = Given(vit(), samples, pixels(28, 32)).before(learning).batches(rows["prune"])
    assert torch.equal(torch.cat([*foreign]), whole), "recovery does not see them"


def names_of(making: Exports, given: Backbone) -> list[str]:
    made, _ = making.variants(given, pixels(8, 32), pixels(20, 36))
    variants = [variant for variant, _ in made]
    folders = [variant.folder / "onnx" for variant in variants]
    assert set(folders) <= set(plan(making.recipe, making.out))
    return [variant.backbone.label for variant in variants]


def test_recovery_learns_before_the_bits_or_after_them(said: io.StringIO, tmp_path: Path) -> None:
    words: dict[str, Any] = {"recover": "3steps", "recover_data": "photos"}
    before = exports(tmp_path / "one", said, recipe=Recipe(merge="2", **words))
    assert names_of(before, vit()) == ["fp32", "merge-fp32", "merge-recover-fp32", "merge-recover-int8"]
    after = exports(tmp_path / "two", said, recipe=Recipe(ptq="w4a4", **words))
    assert names_of(after, vit()) == ["fp32", "w4a4", "recover-w4a4"]
    assert said.getvalue().count("of 3 steps; --recover 3steps:fp32 repeats it") == 2
    assert not [folder for folder in tmp_path.rglob("recover-*") if (folder / NAME).exists()]


def test_recovery_that_was_stopped_goes_on_unless_its_images_changed(
    said: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, recipe = vit(), Recipe(ptq="off", merge="2", recover="6steps", recover_data="photos")
    begun: list[int] = []

    class Watched(Training):
        def run(self, advance: Advance) -> State:
            state = State.load(self.lesson.folder)
            begun.append(state.step if state else -1)
            return super().run(advance if state else partial(stop, []))

    def stop(told: list[int], percent: int) -> None:
        told.append(percent)
        if len(told) == 5:
            raise KeyboardInterrupt

    undisturbed = exports(tmp_path / "whole", said, recipe=recipe).variants(given, None, pixels(20, 36))[0]
    monkeypatch.setattr(recover, "Training", Watched)
    for lessons in (pixels(20, 36), pixels(20, 37)):
        with pytest.raises(KeyboardInterrupt):
            exports(tmp_path / "run", said, resume=True, recipe=recipe).variants(given, None, lessons)
    made, _ = exports(tmp_path / "run", said, resume=True, recipe=recipe).variants(given, None, pixels(20, 36))
    assert begun == [-1, -1, 3]
    assert made[-1][0].key == undisturbed[-1][0].key
    assert not list((tmp_path / "run").rglob(NAME))
