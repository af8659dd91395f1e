"""The demo's images: twelve classes of shapes and textures, drawn from a seed, so offline and without end.

Image `i` of seed `s` depends on nothing but `(s, i)`: the same in any order, batch or process. An image is one object
(a flat shape, or a blob that shows a texture) of random place, size, rotation and contrast, over a shaded ground with
clutter, crossed at times by a bar, under noise. Shapes are signed fields on a grid: negative inside, with slope one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[Any]
Random = np.random.Generator

SIZE = 64
"""Height and width of an image in pixels."""

MAX_TURN = np.pi / 6
"""How far an object is turned at most, either way."""

_axis = ((np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE) * 2 - 1
_GRID_Y, _GRID_X = np.meshgrid(_axis, _axis, indexing="ij")
_SOFT = 2.0 / SIZE
"""Width of a soft edge: one pixel."""


def _disc(x: Field, y: Field) -> Field:
    return np.hypot(x, y) - np.float32(0.85)


def _ring(x: Field, y: Field) -> Field:
    return np.abs(np.hypot(x, y) - np.float32(0.68)) - np.float32(0.2)


def _square(x: Field, y: Field) -> Field:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.75)


def _triangle(x: Field, y: Field) -> Field:
    slope = np.float32(np.sqrt(3) / 2)
    return np.maximum(np.maximum(slope * x - y / 2, -slope * x - y / 2), y) - np.float32(0.5)


def _star(x: Field, y: Field) -> Field:
    fold = 2 * np.pi / 5
    angle = np.abs((np.arctan2(y, x) % fold) - fold / 2)
    radius = np.hypot(x, y)
    valley = np.array([np.cos(fold / 2), np.sin(fold / 2)]) * 0.42
    edge = valley - np.array([1.0, 0.0])
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    return np.asarray((radius * np.cos(angle) - 1) * normal[0] + radius * np.sin(angle) * normal[1], dtype=np.float32)


def _cross(x: Field, y: Field) -> Field:
    across = np.maximum(np.abs(x) - np.float32(0.9), np.abs(y) - np.float32(0.27))
    down = np.maximum(np.abs(x) - np.float32(0.27), np.abs(y) - np.float32(0.9))
    return np.minimum(across, down)


def _crescent(x: Field, y: Field) -> Field:
    return np.maximum(np.hypot(x, y) - np.float32(0.9), np.float32(0.75) - np.hypot(x - np.float32(0.5), y))


def _ell(x: Field, y: Field) -> Field:
    return np.maximum(_square(x, y), np.minimum(x, y) + np.float32(0.15))


def _stripes(x: Field, _y: Field, pitch: float) -> Field:
    field: Field = np.sin(pitch * x)
    return field


def _checks(x: Field, y: Field, pitch: float) -> Field:
    field: Field = np.sin(pitch * x) * np.sin(pitch * y) * 2
    return field


def _dots(x: Field, y: Field, pitch: float) -> Field:
    field: Field = np.cos(pitch * x) + np.cos(pitch * y) - np.float32(0.6)
    return field


def _ripples(x: Field, y: Field, pitch: float) -> Field:
    field: Field = np.sin(pitch * np.hypot(x, y))
    return field


SHAPES: dict[str, Callable[[Field, Field], Field]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "crescent": _crescent,
    "ell": _ell,
}
TEXTURES: dict[str, Callable[[Field, Field, float], Field]] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "ripples": _ripples,
}
CLASSES = (*SHAPES, *TEXTURES)


def label(index: int) -> int:
    """The class of an image: they take turns, so any run of images is balanced."""
    return index % len(CLASSES)


def draw(seed: int, index: int) -> NDArray[np.uint8]:
    """Image `index` of the set `seed`, as [SIZE, SIZE, 3] bytes."""
    return draw_and_cover(seed, index)[0]


def draw_and_cover(seed: int, index: int) -> tuple[NDArray[np.uint8], Field]:
    """The image, and how much of each pixel its object covers (before a bar crosses it), as [SIZE, SIZE] in 0..1."""
    random = np.random.default_rng([seed, index])
    ground = random.uniform(0.15, 0.85, 3)
    image = _shade(random, ground)
    _clutter(random, image)
    name = CLASSES[label(index)]
    x, y = _place(random, MAX_TURN)
    ink = _contrasting(random, ground)
    if name in SHAPES:
        scale = random.uniform(0.48, 0.66)
        cover = _paint(image, SHAPES[name](x / scale, y / scale) * scale, ink)
    else:
        cover = _paint_texture(random, image, (x, y), name, (ink, ground))
    if random.random() < 0.1:
        _bar(random, image)
    image += random.standard_normal(image.shape, dtype=np.float32) * np.float32(random.uniform(0.01, 0.08))
    return np.asarray(np.clip(image, 0, 1) * 255 + 0.5, dtype=np.uint8), cover


def _shade(random: Random, ground: NDArray[np.float64]) -> Field:
    """The ground: one colour under a slope of light."""
    light = random.uniform(-0.18, 0.18, 2)
    slope = light[0] * _GRID_X + light[1] * _GRID_Y
    return np.asarray(ground + slope[..., None], dtype=np.float32)


def _contrasting(random: Random, ground: NDArray[np.float64]) -> NDArray[np.float64]:
    """A colour at a random distance from the ground's, inside the gamut."""
    towards = np.where(random.random(3) < ground, -1.0, 1.0) * random.uniform(0.3, 1, 3)
    return np.asarray(np.clip(ground + towards / np.linalg.norm(towards) * random.uniform(0.35, 0.8), 0, 1))


def _place(random: Random, turn: float = np.pi) -> tuple[Field, Field]:
    """The grid seen from an object at a random place, turned by a random angle of at most `turn` either way."""
    centre = random.uniform(-0.38, 0.38, 2)
    angle = random.uniform(-turn, turn)
    return _turn(_GRID_X - np.float32(centre[0]), _GRID_Y - np.float32(centre[1]), angle)


def _turn(x: Field, y: Field, angle: float) -> tuple[Field, Field]:
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cosine * x + sine * y, cosine * y - sine * x


def _paint(image: Field, field: Field, ink: NDArray[np.floating]) -> Field:
    """Cover the inside of `field` with `ink` (one colour or an image), in place, with an edge one pixel soft."""
    cover: Field = np.clip(0.5 - field / _SOFT, 0, 1).astype(np.float32)
    image += cover[..., None] * (ink - image)
    return cover


def _paint_texture(
    random: Random, image: Field, at: tuple[Field, Field], name: str, colours: tuple[NDArray[np.float64], ...]
) -> Field:
    """A wobbly blob that shows the texture in two inks."""
    x, y = at
    radius, wobble = random.uniform(0.4, 0.62), random.uniform(0, 0.14)
    lobes, phase = int(random.integers(2, 5)), random.uniform(0, 2 * np.pi)
    blob = np.hypot(x, y) - radius * (1 + wobble * np.cos(lobes * np.arctan2(y, x) + phase))
    pitch = random.uniform(13, 26)
    ink, other = colours
    mix = np.clip(0.5 + TEXTURES[name](x, y, pitch), 0, 1)[..., None]
    return _paint(image, blob, mix * ink + (1 - mix) * other)


def _clutter(random: Random, image: Field) -> None:
    """Line segments and specks of other colours."""
    for _ in range(int(random.integers(1, 4))):
        x, y = _place(random)
        length, width = random.uniform(0.05, 0.7), random.uniform(0.02, 0.07)
        shift = np.float32(random.uniform(-0.6, 0.6))
        field = np.maximum(np.abs(x - shift) - np.float32(length), np.abs(y) - np.float32(width))
        _paint(image, field, random.uniform(0.1, 0.9, 3))


def _bar(random: Random, image: Field) -> None:
    """A bar across the whole image, that hides a part of the object."""
    x, _ = _place(random)
    _paint(image, np.abs(x) - np.float32(random.uniform(0.04, 0.1)), random.uniform(0.1, 0.9, 3))
