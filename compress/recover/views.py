"""Views of images: the one that is scored, and random crops that are drawn once and come again (TinyViT, 2207.10666).

A view is named by its image and its number; what is drawn for it depends on these and the seed alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from ...models.backbone import Preprocessing
from ...models.indexed import Indexed

REACH = 0.875
"""The share of an image's side that a crop of the backbone's size is of it, at most: the rest is room to move."""
AREA = (0.35, 1.0)
"""Of an image, in a random crop."""
LOOKS = 4
"""How many random crops of an image a view has: an image at place p has them at p, p + count, p + 2 count, …"""
ASPECT = 4 / 3
"""A random crop's longer side over its shorter one, at most."""


def wide(preprocessing: Preprocessing) -> Preprocessing:
    """How to decode images so that there is room around what is scored."""
    channels, *sides = preprocessing.input_size
    height, width = (round(side / min(preprocessing.crop_pct, REACH)) for side in sides)
    return replace(preprocessing, input_size=(channels, height, width), crop_pct=1.0)


@dataclass(frozen=True)
class Views:
    """Of images that were decoded `wide`, or just as they are scored."""

    images: Indexed
    preprocessing: Preprocessing
    """The backbone's."""
    seed: int

    def plain(self, places: Sequence[int]) -> Tensor:
        """What is scored: the middle."""
        images, size = self.images.at(places), self.preprocessing.input_size[1:]
        if tuple(images.shape[2:]) == size:
            return images
        sides = [round(side * min(self.preprocessing.crop_pct, 1.0)) for side in images.shape[2:]]
        top, left = ((whole - side) // 2 for whole, side in zip(images.shape[2:], sides, strict=True))
        return resized(images[:, :, top : top + sides[0], left : left + sides[1]], size)

    def drawn(self, places: Sequence[int], number: int) -> Tensor:
        """A random crop of each image, maybe mirrored."""
        draws = self._draws(number)[list(places)].tolist()
        images = self.images.at([place % self.images.count for place in places])
        crops = [self._crop(image, draw) for image, draw in zip(images, draws, strict=True)]
        return torch.cat(crops)

    def _draws(self, number: int) -> Tensor:
        """Five numbers between 0 and 1 for each place."""
        drawn = self._known.get(number)
        if drawn is None:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
            drawn = self._known[number] = torch.rand(LOOKS * self.images.count, 5, generator=generator)
        return drawn

    @cached_property
    def _known(self) -> dict[int, Tensor]:
        return {}

    def _crop(self, image: Tensor, draw: Sequence[float]) -> Tensor:
        height, width = image.shape[1:]
        area = (AREA[0] + (AREA[1] - AREA[0]) * draw[0]) ** 0.5
        aspect = ASPECT ** (draw[1] - 0.5)
        tall, broad = (
            min(max(round(s), 1), s0) for s, s0 in ((height * area * aspect, height), (width * area / aspect, width))
        )
        top, left = int(draw[2] * (height - tall + 1)), int(draw[3] * (width - broad + 1))
        crop = resized(image[None, :, top : top + tall, left : left + broad], self.preprocessing.input_size[1:])
        return crop.flip(3) if draw[4] < 0.5 else crop


def resized(images: Tensor, size: Sequence[int]) -> Tensor:
    """Images of another size, smoothed where they shrink."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    return functional.interpolate(images, tuple(size), mode="bilinear", antialias=True, align_corners=False)
