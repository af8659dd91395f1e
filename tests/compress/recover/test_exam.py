"""How far answers are from a teacher's: on images as they are scored, however many are looked at together."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from vitc.compress.recover.exam import NARROW, Exam, shown
from vitc.compress.recover.loss import LAST
from vitc.compress.recover.student import Student
from vitc.compress.recover.views import Views
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.indexed import Held

SIZE, PLACES = Preprocessing((3, 8, 8)), (7, 2, 3, 11, 5)
IMAGES = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def student(moved: float = 0.0) -> Student:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.GELU(), nn.Linear(16, 6)).eval()
    for parameter in module.parameters():
        parameter.data.add_(moved * torch.randn_like(parameter))
    return Student(Backbone("tiny", module, SIZE, 6, (), "abc"))


def exam(batch: int = 4, teacher: Student | None = None, calibrated: int = 0) -> Exam:
    return Exam(teacher or student(), Views(Held(IMAGES), SIZE, 0), PLACES, calibrated, batch)


def sure() -> Student:
    """A teacher that says the same of all images."""
    made = student()
    made.learn({name: 20 * torch.eye(6)[2] for name, value in made.learned().items() if value.shape == (6,)})
    return made


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_answers_are_held_against_the_teachers(batch: int) -> None:
    images = IMAGES[list(PLACES)]
    with torch.no_grad():
        wanted, own = (one(images)[0].log_softmax(1) for one in (student(), student(0.01)))
    expected = functional.kl_div(own, wanted, reduction="none", log_target=True).sum(1).mean()
    apart, compared = exam(batch).apart(student(0.01))
    assert expected > 0
    assert apart == pytest.approx(float(expected), rel=1e-4)
    assert compared == {LAST: 1.0}


def test_the_teacher_itself_is_not_apart() -> None:
    apart, compared = exam().apart(student())
    assert apart == pytest.approx(0, abs=1e-6)
    assert compared == {LAST: 1.0}


def test_features_that_mean_something_else_are_not_compared() -> None:
    pupil = student()
    first = next(name for name, value in pupil.learned().items() if value.shape == (16, 192))
    pupil.learn({first: -3 * pupil.learned()[first].flip(0)})
    _, compared = exam().apart(pupil)
    assert compared == {}


def test_beside_calibration_images_those_of_few_classes_do_not_count() -> None:
    images = IMAGES[[7, 11]]  # the places of the last six
    found = exam(teacher=sure(), calibrated=6)
    assert found.narrow
    assert found.places == [7, 11]
    with torch.no_grad():
        expected, features = sure()(images)
    torch.testing.assert_close(found.wanted, expected)
    torch.testing.assert_close(found.known[LAST].wanted, features[LAST])
    for wide in (exam(calibrated=6), exam(teacher=sure()), exam(teacher=sure(), calibrated=12)):
        assert wide.places == [*PLACES], "these are of many classes, or of one kind"


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
