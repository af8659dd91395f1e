"""How far answers are from a teacher's: on images as they are scored, however many are looked at together."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from vitc.compress.recover.exam import NARROW, Exam, shown
from vitc.compress.recover.loss import LAST
from vitc.compress.recover.student import Student
from vitc.compress.recover.views import Views
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.indexed import Held

PLACES = (7, 2, 3, 11, 5)
IMAGES = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def student(small_vit: Callable[..., Backbone]) -> Callable[..., Student]:
    """`(moved=..., sure=...)`: with weights that lie apart, or with the same answer for all images."""

    def made(*, moved: float = 0.0, sure: bool = False) -> Student:
        backbone, generator = small_vit(depth=1), torch.Generator().manual_seed(1)
        for name, parameter in backbone.module.named_parameters():
            parameter.data.add_(moved * torch.randn(parameter.shape, generator=generator))
            if sure and name == "head.bias":
                parameter.data[2] += 100
        return Student(backbone)

    return made


def exam(teacher: Student, batch: int = 4, calibrated: int = 0) -> Exam:
    return Exam(teacher, Views(Held(IMAGES), Preprocessing((3, 32, 32)), 0), PLACES, calibrated, batch)


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_answers_are_held_against_the_teachers(student: Callable[..., Student], batch: int) -> None:
    teacher, pupil, images = student(), student(moved=0.01), IMAGES[list(PLACES)]
    with torch.no_grad():
        wanted, own = (one(images)[0].log_softmax(1) for one in (teacher, pupil))
    expected = functional.kl_div(own, wanted, reduction="none", log_target=True).sum(1).mean()
    apart, compared = exam(teacher, batch).apart(pupil)
    assert expected > 0
    assert apart == pytest.approx(float(expected), rel=1e-4)
    assert compared[LAST] == 1


def test_the_teacher_itself_is_not_apart(student: Callable[..., Student]) -> None:
    teacher = student()
    apart, compared = exam(teacher).apart(teacher)
    assert apart == pytest.approx(0, abs=1e-6)
    assert set(compared.values()) == {1.0}


def test_beside_calibration_images_those_of_few_classes_do_not_count(student: Callable[..., Student]) -> None:
    wide, sure, images = student(), student(sure=True), IMAGES[[7, 11]]  # the places of the last six
    found = exam(sure, calibrated=6)
    assert found.narrow
    assert found.places == [7, 11]
    with torch.no_grad():
        expected, features = sure(images)
    torch.testing.assert_close(found.wanted, expected)
    torch.testing.assert_close(found.known[LAST].wanted, features[LAST])
    for other in (exam(wide, calibrated=6), exam(sure), exam(sure, calibrated=12)):
        assert other.places == [*PLACES], "these are of many classes, or of one kind"


def test_the_share_of_classes_that_are_shown_is_told_by_how_many_answers_agree() -> None:
    half = torch.cat([torch.full((6, 3), 9.0), torch.full((6, 3), -9.0)], 1)
    assert shown(half) == pytest.approx(0.5, rel=1e-3)
    each = torch.eye(6) * 30
    assert shown(each) == shown(each[[0, 4]]) == shown(each[[3]]) == 1, "each alone shows one"
    assert shown(each[[0, 4] * 50]) == pytest.approx(1 / 3, rel=0.02)


@pytest.mark.parametrize("images", [60, 100, 1000])
@pytest.mark.parametrize(("classes", "narrow"), [(10, True), (400, False)])
def test_few_images_tell_it_as_well_as_many_though_answers_are_seldom_sure(
    images: int, classes: int, *, narrow: bool
) -> None:
    generator = torch.Generator().manual_seed(images)
    which = torch.randint(classes, (images,), generator=generator)
    logits = torch.randn(images, 400, generator=generator)
    logits[torch.arange(images), which] += 8  # so that about nine tenths are for it
    assert (shown(logits) < NARROW) == narrow
