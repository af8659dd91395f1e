"""The chart as a file: plain SVG without a script, or the same in pixels.

Colours are those that the page has in light, and the points that nothing else beats carry their names. A PNG is the
SVG as resvg renders it, an optional library.
"""

import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from importlib.util import find_spec

from ..errors import NotAvailable
from .chart import AXES, COLOURS, KINDS, MARKS, MOST_NAMED, UP, Plan, bars, lost, meaning, nearest, nothing, place, plan
from .points import Point
from .table import clean

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1000, 570, 62, 24, 16, 64
KEY_LINE, KEY_WIDTH, LONGEST, WIDEST = 22, 232, 26, 130
FONTS = "Arial, Helvetica, Liberation Sans, DejaVu Sans, Noto Sans, Roboto, sans-serif"
"""The first that is there: resvg knows no font by the name of its kind alone."""

Place = tuple[float, float]


def svg(points: Sequence[Point], axis: str = "latency") -> str:
    """The chart as a file."""
    made = plan(points, axis, near=nearest(points))
    body = _Drawing(points, axis, made).parts() if made else [_text((WIDTH / 2, HEIGHT / 2), nothing(axis), "middle")]
    lines = math.ceil((min(len(meaning(points)[1]), MOST_NAMED) + len(KINDS)) / _COLUMNS)
    height = HEIGHT + KEY_LINE * lines + 8 + (KEY_LINE if made and made.below else 0)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"',
            f'role="img" font-family="{FONTS}" font-size="14" fill="{_colour("ink")}">',
            f"<title>Accuracy against {AXES[axis]}</title>",
            f'<rect width="100%" height="100%" fill="{_colour("paper")}"/>',
            *body,
            "</svg>\n",
        ]
    )


def png(drawing: str) -> bytes:
    """An SVG in pixels, twice as many as it has."""
    if not find_spec("resvg_py"):
        raise NotAvailable("a PNG needs resvg-py, which is not installed: pip install resvg-py, or write an SVG")
    import resvg_py

    if resvg_py.svg_to_bytes(svg_string=_LETTER) == resvg_py.svg_to_bytes(svg_string=_BLANK):
        raise NotAvailable("a PNG needs a font, and none is installed: install one (DejaVu, for one), or write an SVG")
    return bytes(resvg_py.svg_to_bytes(svg_string=drawing, zoom=2))


class _Drawing:
    """A chart on its way to a file."""

    def __init__(self, points: Sequence[Point], axis: str, made: Plan) -> None:
        self.points, self.axis, self.plan = points, axis, made
        self.field, self.names = meaning(points)
        self.shown = [points[at] for at in made.shown]

    def parts(self) -> list[str]:
        """Everything, what lies above last."""
        return [*self._grid(), *self._paths(), *self._marks(), *self._labels(), *self._key()]

    def _at(self, found: Place | None) -> Place:
        """Where values lie on the paper."""
        assert found is not None
        right, down = self.plan.across(found[0]), 1 - self.plan.up(found[1])
        return LEFT + right * (WIDTH - LEFT - RIGHT), TOP + down * (HEIGHT - BOTTOM - TOP)

    def _grid(self) -> list[str]:
        across, up = self.plan.across, self.plan.up
        look, bottom, middle = f'stroke="{_colour("line")}"', HEIGHT - BOTTOM, (HEIGHT - BOTTOM) / 2
        parts = []
        for tick in across.ticks:
            ends = [self._at((tick, end)) for end in (up.low, up.high)]
            parts += [_line(ends, look), _text((ends[0][0], bottom + 20), f"{tick:g}", "middle")]
        for tick in up.ticks:
            ends = [self._at((end, tick)) for end in (across.low, across.high)]
            parts += [_line(ends, look), _text((LEFT - 8, ends[0][1] + 5), f"{tick:g}", "end")]
        parts.append(_text(((LEFT + WIDTH) / 2, bottom + 42), AXES[self.axis], "middle"))
        return [*parts, f'<g transform="rotate(-90 18 {middle:g})">{_text((18, middle), UP, "middle")}</g>']

    def _paths(self) -> list[str]:
        parts = []
        for name in dict.fromkeys(point.path for point in self.shown):
            on = [point for point in self.shown if point.path == name]
            look = f'stroke="{self._own(on[0])}" stroke-width="1.2" opacity="0.6"'
            parts.append(_line([self._at(place(point, self.axis)) for point in on], look))
        front = [self._at(place(self.points[at], self.axis)) for at in self.plan.front]
        look = f'stroke="{_colour("ink")}" stroke-width="2.5" stroke-dasharray="6 4" opacity="0.55"'
        return [*parts, _line(front, look)]

    def _marks(self) -> list[str]:
        parts = []
        for point in self.shown:
            look = f'stroke="{self._own(point)}" stroke-width="1.2" opacity="0.45"'
            parts += [_line(map(self._at, ends), look) for ends in bars(point, self.axis)]
            name = f"{point.run}: {point.artifact} on {point.runtime}"
            parts.append(_mark(point.kind, self._at(place(point, self.axis)), self._own(point), name))
        return parts

    def _labels(self) -> list[str]:
        """The names of those in front, where there is room."""
        parts, taken = list[str](), list[Place]()
        for point in (self.points[at] for at in self.plan.front):
            x, y = self._at(place(point, self.axis))
            if all(abs(x - other) > 200 or abs(y - height) > 20 for other, height in taken):
                taken.append((x, y))
                left = x > WIDTH / 2
                parts.append(_text((x - 12 if left else x + 12, y - 9), point.artifact, "end" if left else "start"))
        return parts

    def _key(self) -> list[str]:
        """What colours and shapes mean, in lines below."""
        kinds = [kind for kind in KINDS if kind in {point.kind for point in self.shown}]
        there = {getattr(point, self.field) for point in self.shown}
        named = [(f"c{at % COLOURS}", name) for at, name in enumerate(self.names) if name in there]
        entries = [("final", _colour(colour), name) for colour, name in named[:MOST_NAMED]]
        entries += [(kind, _colour("soft"), KINDS[kind]) for kind in kinds]
        parts = []
        for number, (kind, colour, name) in enumerate(entries):
            x, y = LEFT + number % _COLUMNS * KEY_WIDTH, HEIGHT + number // _COLUMNS * KEY_LINE + 8
            parts += [_mark(kind, (x, y), colour, name), _text((x + 14, y + 5), _shortened(name, LONGEST), "start")]
        if self.plan.below:
            y = HEIGHT + math.ceil(len(entries) / _COLUMNS) * KEY_LINE + 13
            parts.append(_text((LEFT, y), _shortened(lost(self.points, self.plan), WIDEST), "start"))
        return parts

    def _own(self, point: Point) -> str:
        return _colour(f"c{self.names.index(getattr(point, self.field)) % COLOURS}")


_COLUMNS = (WIDTH - LEFT) // KEY_WIDTH
_BLANK = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"></svg>'
_LETTER = _BLANK.replace("></svg>", f'><text y="18" font-size="16" font-family="{FONTS}">x</text></svg>')


_HALO = 'stroke="#ffffff" stroke-width="3" stroke-linejoin="round" paint-order="stroke"'
"""Words stay readable on lines."""


@cache
def _colour(name: str) -> str:
    """A colour of the page in light."""
    style = files(__package__).joinpath("page.css").read_text("utf-8")
    found: str = re.findall(rf"--{name}: (#\w+)", style)[0]
    return found


def _line(places: Iterable[Place], look: str) -> str:
    corners = " ".join(f"{x:.2f},{y:.2f}" for x, y in places)
    return f'<polyline points="{corners}" fill="none" {look}/>'


def _mark(kind: str, where: Place, colour: str, name: str) -> str:
    look = f'fill="{colour}" stroke="{_colour("paper")}" stroke-width="1.5"'
    x, y = where
    return (
        f'<path d="{MARKS[kind]}" transform="translate({x:.2f} {y:.2f})" {look}><title>{_escaped(name)}</title></path>'
    )


def _text(where: Place, words: str, anchor: str) -> str:
    return f'<text x="{where[0]:.2f}" y="{where[1]:.2f}" text-anchor="{anchor}" {_HALO}>{_escaped(words)}</text>'


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}\N{HORIZONTAL ELLIPSIS}"


def _escaped(text: str) -> str:
    return escape(clean(text))
