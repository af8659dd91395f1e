"""A student answers as its backbone does, has learning of its own, and becomes a backbone that answers as it does."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitc.compress.quantize import Quantize
from vitc.compress.recover.loss import LAST
from vitc.compress.recover.student import Student
from vitc.models import saved
from vitc.models.backbone import Backbone, Preprocessing

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def backbone(small_vit: Callable[..., Backbone]) -> Backbone:
    return small_vit(depth=1)


@pytest.fixture(scope="module", params=["float", "w4a4", "attention", "one bit"])
def given(request: pytest.FixtureRequest, backbone: Backbone) -> Backbone:
    if request.param == "float":
        return backbone
    how = {
        "w4a4": Quantize(4, 4),
        "attention": Quantize(8, 8, attention=True, axiswise=True),
        "one bit": Quantize(8, 8, binary_attention=True),
    }[request.param]
    return how.apply(backbone, [IMAGES])


def answers(backbone: Backbone) -> Tensor:
    with torch.no_grad():
        found: Tensor = backbone.module(IMAGES)
    return found


def test_it_answers_as_its_backbone_and_shows_what_the_last_layer_reads(given: Backbone) -> None:
    logits, features = Student(given)(IMAGES)
    torch.testing.assert_close(logits.detach(), answers(given), rtol=1e-3, atol=1e-3)
    stages = [f"blocks.0.{name}" for name in ("attn.proj", "mlp.fc2")]
    assert list(features) == [LAST, *stages]
    assert all(one.shape == (4, 32) for one in features.values())
    if given.precision == "fp32":  # else the last norm is scaled for what rounds well
        normed = functional.layer_norm(features[stages[-1]], (32,))
        assert torch.corrcoef(torch.stack([normed.flatten(), features[LAST].flatten()]))[0, 1] > 0.9


def test_what_it_learns_is_its_own_and_becomes_a_backbone(given: Backbone) -> None:
    before = given.fingerprint()
    student = Student(given)
    student(IMAGES)[0].square().sum().backward()
    learning = {name: one for name, one in student.net.named_parameters() if one.requires_grad}
    assert learning.keys() == student.learned().keys()
    assert all(one.grad is not None for one in learning.values())
    drawn = torch.Generator().manual_seed(1)
    moved = {name: one + 0.05 * torch.randn(one.shape, generator=drawn) for name, one in student.learned().items()}
    student.learn(moved)
    with torch.no_grad():
        wanted, _ = student(IMAGES)
    made = student.backbone("recover 3steps:fp32")
    assert given.fingerprint() == before
    assert made.form == (*given.form, "recover 3steps:fp32")
    assert made.precision == given.precision
    torch.testing.assert_close(answers(made), wanted, rtol=1e-3, atol=2e-3)
    assert (answers(made) - answers(given)).abs().max() > 0.01


@pytest.mark.parametrize("bits", [4, 2, 1])
def test_codes_and_scales_learn_at_rates_of_their_own(backbone: Backbone, bits: int) -> None:
    rates = {"weight": 2.0, "steps": 2.0, "log_scale": 3.0}
    plain = Student(backbone)
    assert [group["lr"] for group in plain.groups(1.0, rates)] == [1.0]
    student = Student(Quantize(bits, 8).apply(backbone, [IMAGES]))
    assert (student.in_signs, plain.in_signs) == (bits < 3, False)
    groups = student.groups(1.0, rates)
    assert [group["lr"] for group in groups] == [group["initial"] for group in groups] == [1.0, 2.0, 3.0]
    others, codes, scales = (len(group["params"]) for group in groups)
    assert others + codes + scales == len(student.learned())
    assert scales == sum(name.endswith("log_scale") for name in student.learned())
    assert codes == 6, "patches, four layers of a block, the head"
    assert sum(one.endswith(".steps") for one in student.learned()) == (4 if bits < 3 else 0), "but for first and last"


def test_batch_norms_are_folded_and_stay_as_they_were() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 30 * 30, 5))
    backbone = Backbone("tiny", module.eval(), Preprocessing((3, 32, 32)), 5, (), "abc")
    student = Student(backbone)
    assert set(student.learned()) == {"0.weight", "0.bias", "4.weight", "4.bias"}
    torch.testing.assert_close(student(IMAGES)[0].detach(), answers(backbone), rtol=1e-4, atol=1e-4)


def test_it_reads_saved_programs(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("saved") / "model.pt2"
    saved.save(Quantize(4, 4).apply(backbone, [IMAGES]), path)
    loaded = saved.load(path)
    made = Student(loaded).backbone("recover 0steps:fp32")
    torch.testing.assert_close(answers(made), answers(loaded), rtol=1e-3, atol=1e-3)
