"""How many tokens are taken away where: the words of `--merge` and `--drop`, and what they mean for a model.

| words | tokens that a block takes away |
| --- | --- |
| `8` | 8 in every block: ToMe's r |
| `8:increase`, `8:decrease` | from 0 to 16, or from 16 to 0, in equal steps |
| `8:few` | what makes an image cost as much as `8` does, in a few blocks |
| `0.90G` | what makes an image cost 0.90 G multiply-accumulates, in a few blocks |
| `70%` | what makes it cost 70 % of what it did, in a few blocks |
| `197,197,150,…` | what leaves so many tokens, class token and all, after every block |
| `deit-t-0.9G` | what a schedule that DiffRate learned leaves, one of [presets](presets.py) |

Taking tokens away costs time of its own, by the block more than by the token. So few blocks do it, and each takes the
same share of the patches that it gets.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ...errors import UserError
from .presets import PRESETS

Amounts = tuple[int, ...]
"""Tokens that each block takes away."""

FEW = (1 / 4, 5 / 12, 7 / 12, 3 / 4)
"""The blocks that take tokens away where few do, as shares of the depth."""
SLOPES = {"decrease": (2, 0), "increase": (0, 2)}
"""What the first and the last block take away, in units of the mean."""
ALLOWED = (
    "a number of tokens (8), one with a slope (8:increase, 8:decrease, 8:few), a budget (0.90G, 70%), "
    f"the tokens kept by each block (197,197,150,…), or one of {', '.join(PRESETS)}"
)


@dataclass(frozen=True)
class Body:
    """What a schedule must know of a model, and of the way in which tokens are taken away."""

    tokens: int
    """How many enter the first block."""
    depth: int
    """How many blocks there are."""
    most: Callable[[int], int]
    """How many of so many one block can take away."""
    macs: Callable[[Amounts], int]
    """What an image costs then."""


class Schedule(Protocol):
    """What words say."""

    def amounts(self, body: Body) -> Amounts:
        """What they mean for a model."""


@dataclass(frozen=True)
class Everywhere:
    """So many in every block, or so many on average."""

    tokens: int
    slope: tuple[int, int] = (1, 1)

    def amounts(self, body: Body) -> Amounts:
        """A block takes what it can, if that is less."""
        first, last = self.slope
        steps = max(body.depth - 1, 1)
        wanted = (round(self.tokens * (first + (last - first) * index / steps)) for index in range(body.depth))
        return _possible(body, wanted)


@dataclass(frozen=True)
class Few:
    """What brings the cost down to a budget, in few blocks."""

    words: str
    share: float | None = None
    """Of the cost with all tokens."""
    macs: float | None = None
    like: Schedule | None = None
    """As much as that costs."""

    def amounts(self, body: Body) -> Amounts:
        """The fewest that do."""
        everything = body.macs((0,) * body.depth)
        budget = self.macs or everything
        if self.share is not None:
            budget = self.share * everything
        if self.like is not None:
            budget = body.macs(self.like.amounts(body))
        found = next((one for one in _shares(body) if body.macs(one) <= budget), None)
        if found is None:
            least = min(map(body.macs, _shares(body)))
            raise UserError(
                f"{self.words}: few blocks cannot bring {everything / 1e9:.3f}G down to {budget / 1e9:.3f}G; "
                f"the least is {least / 1e9:.3f}G ({least / everything:.0%})"
            )
        return found


@dataclass(frozen=True)
class Kept:
    """What leaves so many tokens after every block."""

    tokens: Amounts
    clamped: bool = False
    """Whether a block that cannot take so many away takes what it can."""

    def amounts(self, body: Body) -> Amounts:
        """The differences."""
        if len(self.tokens) != body.depth:
            raise UserError(f"{len(self.tokens)} counts of tokens are given for {body.depth} blocks: give one a block")
        left, amounts = body.tokens, []
        for index, kept in enumerate(self.tokens):
            least = left - body.most(left)
            if not self.clamped and not least <= kept <= left:
                raise UserError(f"block {index} gets {left} tokens and can keep {least} to {left}, not {kept}")
            amounts.append(left - min(max(kept, least), left))
            left -= amounts[-1]
        return tuple(amounts)


def parse(words: str) -> Schedule:
    """What the words say; refused if they say nothing."""
    number = re.fullmatch(r"(\d+)(?::(\w+))?", words)
    if number and number[2] == "few":
        return Few(words, like=Everywhere(int(number[1])))
    if number and (number[2] is None or number[2] in SLOPES):
        return Everywhere(int(number[1]), SLOPES.get(number[2] or "", (1, 1)))
    if budget := re.fullmatch(r"(\d+(?:\.\d+)?)(G|%)", words):
        amount = float(budget[1])
        if amount > 0 and budget[2] == "G":
            return Few(words, macs=amount * 1e9)
        if 0 < amount <= 100 and budget[2] == "%":
            return Few(words, share=amount / 100)
    if re.fullmatch(r"\d+(,\d+)+", words):
        return Kept(tuple(map(int, words.split(","))))
    if words in PRESETS:
        return Kept(PRESETS[words], clamped=True)
    raise UserError(f"{words!r} is no schedule of tokens; allowed: {ALLOWED}")


def _possible(body: Body, wanted: Iterable[int]) -> Amounts:
    """What is wanted of each block, or what it can."""
    left, amounts = body.tokens, []
    for count in wanted:
        amounts.append(min(count, body.most(left)))
        left -= amounts[-1]
    return tuple(amounts)


def _shares(body: Body) -> Iterator[Amounts]:
    """Ever larger shares in few blocks, by the tokens that the first of them takes away."""
    few = {int(body.depth * place) for place in FEW}
    for first in range(body.most(body.tokens) + 1):
        share = first / body.tokens
        yield _evenly(body, few, share)


def _evenly(body: Body, few: Collection[int], share: float) -> Amounts:
    """The same share of what they get in these blocks."""
    left, amounts = body.tokens, []
    for index in range(body.depth):
        amounts.append(min(round(share * left), body.most(left)) if index in few else 0)
        left -= amounts[-1]
    return tuple(amounts)
