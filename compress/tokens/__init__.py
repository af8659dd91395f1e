"""Fewer tokens between a transformer's blocks: the ways to take them away, by the words that ask for them."""

from collections.abc import Mapping
from typing import Protocol

from ...models.backbone import Backbone
from .drop import Drop
from .merge import Merge


class Reducing(Protocol):
    """A way to take tokens away, with the schedule that it follows."""

    schedule: str

    def check(self, backbone: Backbone) -> None:
        """Refuse what cannot work, before any work is done."""

    def apply(self, backbone: Backbone) -> Backbone:
        """The backbone that does so; the one given is never changed."""


REDUCTIONS: Mapping[str, type[Merge] | type[Drop]] = {"merge": Merge, "drop": Drop}
"""Training-free both; merging keeps more of what the tokens say."""
