"""What is scored is in the middle, what is learned from lies about it, and it is the same whenever it is asked for."""

import pytest
import torch

from vitc.compress.recover.views import LOOKS, Views, resized, wide
from vitc.models.backbone import Preprocessing
from vitc.models.indexed import Held

SCORED = Preprocessing((3, 28, 28), crop_pct=0.875)
IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def views(seed: int = 0, images: torch.Tensor = IMAGES) -> Views:
    return Views(Held(images), SCORED, seed)


@pytest.mark.parametrize(("crop", "side"), [(0.875, 32), (0.9, 32), (1.0, 32), (0.7, 40)])
def test_wide_images_have_room_around_what_is_scored(crop: float, side: int) -> None:
    found = wide(Preprocessing((3, 28, 28), crop_pct=crop))
    assert found.input_size == (3, side, side)
    assert found.crop_pct == 1.0


def test_what_is_scored_is_the_middle() -> None:
    assert torch.equal(views().plain([1, 3]), IMAGES[[1, 3], :, 2:30, 2:30])
    assert torch.equal(views(images=IMAGES[..., :28, :28]).plain([2]), IMAGES[2:3, :, :28, :28])
    nearer = Views(Held(IMAGES), Preprocessing((3, 28, 28), crop_pct=0.75), 0).plain([0])
    assert torch.equal(nearer, resized(IMAGES[:1, :, 4:28, 4:28], (28, 28)))


def test_a_view_is_the_same_in_any_company() -> None:
    one = views()
    together = one.drawn([0, 1, 2, 3], 5)
    assert together.shape == (4, 3, 28, 28)
    assert torch.equal(views().drawn([2], 5)[0], together[2])
    others = [views().drawn([2], 6), views(seed=1).drawn([2], 5)]
    assert not any(torch.equal(other[0], together[2]) for other in others)


def test_an_image_has_several_looks_in_a_view() -> None:
    ramps = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    assert views(images=ramps).drawn([1, 5, 9, 14], 3)[:, 0, 0, 0].tolist() == [1, 1, 1, 2]
    one, other = views().drawn([1, 4 * (LOOKS - 1) + 1], 3)
    assert not torch.equal(one, other)


def test_views_show_parts_of_an_image_and_some_are_mirrored() -> None:
    ramp = torch.arange(32.0).expand(1, 3, 32, 32)
    falling = 0
    for number in range(30):
        view = views(images=ramp).drawn([0], number)[0, 0]
        steps = view[:, 1:] - view[:, :-1]
        falling += bool((steps <= 1e-4).all())
        assert (steps <= 1e-4).all() or (steps >= -1e-4).all()
        assert view.max() - view.min() >= 0.4 * 32, "a crop is no narrower than its area and its aspect allow"
        assert view.min() >= 0
        assert view.max() <= 31
    assert 5 < falling < 25
