"""Recovery brings a backbone nearer to its teacher, in float and in codes, and says how to repeat it."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.nn import functional

from vitc.compress.aids import Aids
from vitc.compress.graph import tensor
from vitc.compress.quantize import Quantize
from vitc.compress.recover import Recover
from vitc.compress.recover.checkpoint import NAME
from vitc.compress.recover.training import How
from vitc.compress.structure import Prune
from vitc.compress.weights import highest, pitch
from vitc.errors import UserError
from vitc.models.backbone import Backbone

QUICK = How(batch=16, rate=1e-3, of_codes=5e-4, of_ranges=2e-3, views=2)


@pytest.fixture(scope="module")
def teacher(small_vit: Callable[..., Backbone]) -> Backbone:
    return small_vit(depth=2)


@pytest.fixture(scope="module")
def images() -> Tensor:
    smooth = torch.randn(80, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(smooth, (37, 37), mode="bicubic")


def apart(backbone: Backbone, teacher: Backbone, images: Tensor) -> float:
    """Divergence on images that were not learned from."""
    with torch.no_grad():
        found, wanted = (one.module(images).log_softmax(1) for one in (backbone, teacher))
    return float(functional.kl_div(found, wanted, reduction="batchmean", log_target=True))


def fresh() -> Tensor:
    smooth = torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    return functional.interpolate(smooth, (32, 32), mode="bicubic")


def calibration(images: Tensor) -> list[Tensor]:
    return list(images[:32, :, 2:34, 2:34].split(8))


def test_what_pruning_cost_is_learned_back(teacher: Backbone, images: Tensor) -> None:
    pruned = Prune(0.5).apply(teacher, calibration(images))
    before, aids = pruned.fingerprint(), Aids(teacher=teacher)
    made = Recover("60steps", how=QUICK).apply(pruned, [images], aids)
    assert pruned.fingerprint() == before
    assert apart(made, teacher, fresh()) < 0.6 * apart(pruned, teacher, fresh())
    assert made.form == ("prune neurons=0.5", "recover 60steps:fp32")
    assert made.label == "prune-recover-fp32"
    assert "--recover 60steps:fp32 repeats it" in aids.losses.notes[0]


def test_a_part_of_the_steps_that_was_asked_for_is_no_want_of_time(teacher: Backbone, images: Tensor) -> None:
    pruned, aids = Prune(0.5).apply(teacher, calibration(images)), Aids(teacher=teacher)
    Recover("3of6steps", how=QUICK).apply(pruned, [images], aids)
    (note,) = aids.losses.notes
    assert "--recover 3of6steps:fp32 repeats it" in note


def test_beside_calibration_images_it_says_what_images_of_few_classes_are_good_for(
    teacher: Backbone, images: Tensor
) -> None:
    module = deepcopy(teacher.module)
    with torch.no_grad():
        next(one for name, one in module.named_parameters() if name == "head.weight").mul_(100)
    sure, aids = replace(teacher, module=module), Aids(calibrated=20)
    pruned = Prune(0.5).apply(sure, calibration(images))
    joined = torch.cat([images[:1].expand(60, -1, -1, -1), images[60:]])
    Recover("2steps", how=QUICK).apply(pruned, [joined], replace(aids, teacher=sure))
    assert "on 4 held-out images" in aids.losses.notes[0], "a fifth of the calibration images"
    assert "of them features alone were learned" in aids.losses.notes[-1]
    assert "held against calibration images" in aids.losses.notes[-1]


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(4, 4), (2, 8), (1, 8)])
def test_codes_and_ranges_learn_and_stay_codes(
    teacher: Backbone, images: Tensor, tmp_path: Path, weight_bits: int, activation_bits: int
) -> None:
    aids = Aids(teacher=teacher, floats=tmp_path / "floats.safetensors")
    rounded = Quantize(weight_bits, activation_bits, rounding="nearest").apply(teacher, calibration(images), aids)
    made = Recover("60steps", how=QUICK).apply(rounded, [images], aids)
    assert apart(made, teacher, fresh()) < 0.8 * apart(rounded, teacher, fresh())
    assert made.precision == rounded.precision
    assert made.label == f"recover-{rounded.precision}"
    before, after = codes(rounded), codes(made)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    for name, (bits, found) in with_bits(made).items():
        allowed = range(-highest(bits), highest(bits) + 1, pitch(bits))
        assert set(found.unique().tolist()) <= set(allowed), name


def codes(backbone: Backbone) -> dict[str, Tensor]:
    return {name: found for name, (_, found) in with_bits(backbone).items()}


def with_bits(backbone: Backbone) -> dict[str, tuple[int, Tensor]]:
    program = backbone.module
    assert isinstance(program, GraphModule)
    sites = program.graph.find_nodes(op="call_function", target=torch.ops.vitc.linear.default)
    found = {}
    for site in sites:
        stored = site.args[1]
        assert isinstance(stored, Node)
        found[str(stored.target)] = (int(str(site.args[-1])), tensor(program, stored))
    return found


def test_stopped_recovery_goes_on_and_ends_the_same(teacher: Backbone, images: Tensor, tmp_path: Path) -> None:
    pruned = Prune(0.5).apply(teacher, calibration(images))
    how = Recover("8steps", how=QUICK)
    whole = how.apply(pruned, [images], Aids(teacher=teacher))
    told: list[int] = []

    def stop(percent: int) -> None:
        told.append(percent)
        if len(told) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        how.apply(pruned, [images], Aids(teacher=teacher, folder=tmp_path, advance=stop))
    assert (tmp_path / NAME).is_file()
    told.clear()
    resumed = how.apply(pruned, [images], Aids(teacher=teacher, folder=tmp_path, advance=told.append))
    assert resumed.fingerprint() == whole.fingerprint()
    assert told[0] == 50, "it goes on after the last step that was saved"


def test_what_cannot_be_recovered_is_refused(teacher: Backbone, images: Tensor) -> None:
    with pytest.raises(UserError, match="answers 1 number"):
        Recover().check(replace(teacher, outputs=1))
    with pytest.raises(UserError, match="1 images are too few"):
        Recover().apply(teacher, [images[:1]])
    with pytest.raises(UserError, match="recover is 'soon'"):
        Recover("soon")
