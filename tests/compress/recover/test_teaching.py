"""A teacher is asked once about each view, also when a run is resumed, and what it said is kept for every image."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vitc.compress.recover import devices
from vitc.compress.recover.answers import Answers
from vitc.compress.recover.loss import LAST
from vitc.compress.recover.student import Student
from vitc.compress.recover.teaching import Teaching
from vitc.compress.recover.views import Views
from vitc.models.backbone import Backbone, Preprocessing
from vitc.models.indexed import Held

IMAGES = torch.randn(9, 3, 9, 9, generator=torch.Generator().manual_seed(0))
PLACES = [8, 1, 2, 5, 0]


def teaching(folder: Path | None, monkeypatch: pytest.MonkeyPatch) -> tuple[Teaching, list[int]]:
    """The numbers of images that are asked about come with it."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 6)).eval()
    teacher = Student(Backbone("tiny", module, Preprocessing((3, 8, 8)), 6, (), "abc"))
    views = Views(Held(IMAGES), Preprocessing((3, 8, 8)), 0)
    made, asked = Teaching(teacher, views, PLACES, 2, devices.accelerator(), folder), list[int]()
    forward = teacher.forward

    def watched(images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        asked.append(len(images))
        return forward(images)

    monkeypatch.setattr(teacher, "forward", watched)
    return made, asked


def equal(one: Answers, other: Answers) -> bool:
    return all(torch.equal(found, other.tensors()[name]) for name, found in one.tensors().items())


def test_each_view_is_asked_about_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = teaching(tmp_path / "new", monkeypatch)
    first = made.of(3)
    assert asked == [2, 2, 1]
    assert made.of(3) is first
    assert asked == [2, 2, 1]
    resumed, again = teaching(tmp_path / "new", monkeypatch)
    assert equal(resumed.of(3), first)
    assert again == []
    assert not equal(resumed.of(4), first)


def test_rows_stand_in_the_order_of_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = teaching(None, monkeypatch)
    shares, features = made.of(0).at([0, 3], 6)
    images = made.views.drawn([8, 5], 0)
    wanted, read = made.teacher(images)
    torch.testing.assert_close(shares, wanted.detach().softmax(1), rtol=5e-3, atol=1e-3)
    torch.testing.assert_close(features[LAST], read[LAST].detach().view(2, -1), rtol=1e-2, atol=1e-3)
