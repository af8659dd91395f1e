"""What would keep a backbone from working on a target, found in seconds and before any calibration.

Each target knows its own rules and stands for them in its `check`; here is what they look at and what they say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from ..compress.logarithmic import unexportable
from ..errors import UserError
from ..models.backbone import Backbone
from ..models.program import trace
from .options import Options

HALF_END = 65504.0
"""The largest 16-bit float."""
MARGIN = 4
"""Peaks on a few images that come closer to it than this many times may pass it on others."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may become so: the rule, where, what, and how to mend it."""

    rule: str
    where: str
    what: str
    mend: str
    fatal: bool
    """It cannot work; otherwise it is worth knowing."""

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}: {self.what}; {self.mend}"


def refusal(rule: str, where: str, failure: UserError) -> Finding:
    """What a trial of the translation failed with, as a finding: the mend stands behind the last semicolon."""
    what, semicolon, mend = str(failure).rpartition("; ")
    if not semicolon:
        what, mend = mend, "change the model, or choose another target"
    return Finding(rule, where, what, mend, fatal=True)


def refuse_simulated(backbone: Backbone) -> None:
    """Refuse a program that rounds as no target can."""
    rounded = unexportable(backbone.module) if isinstance(backbone.module, GraphModule) else []
    if rounded:
        raise UserError(f"{rounded[0]} is rounded to powers, which no target can express; leave softmax uniform")


@dataclass(frozen=True)
class Subject:
    """What a target's rules look at: a float backbone before calibration, and what is wanted of it."""

    backbone: Backbone
    program: GraphModule
    """Its traced graph, with the shapes of all values."""
    peaks: Mapping[str, float]
    """The largest magnitude that each value of the graph reached on a few images, by the node's name."""
    weight_bits: int | None
    """Of the quantization to come; None where there is none."""
    options: Options


def subject(backbone: Backbone, weight_bits: int | None, options: Options, images: Tensor) -> Subject:
    """Trace the backbone and run a few images through it."""
    program = trace(backbone.module, backbone.preprocessing.input_size)
    watch = _Peaks(program)
    with torch.inference_mode():
        watch.run(images)
    return Subject(backbone, program, watch.seen, weight_bits, options)


class _Peaks(Interpreter):
    """Runs a program and notes how large the values become."""

    def __init__(self, program: GraphModule) -> None:
        super().__init__(program)
        self.seen: dict[str, float] = {}

    def run_node(self, n: Node) -> Any:
        """The node's result, its magnitude noted."""
        result = super().run_node(n)
        for value in _tensors(result):
            self.seen[n.name] = max(self.seen.get(n.name, 0.0), value.abs().max().item())
        return result


def _tensors(result: object) -> Iterator[Tensor]:
    if isinstance(result, Tensor) and result.is_floating_point() and result.numel():
        yield result
    elif isinstance(result, tuple | list):
        for item in result:
            yield from _tensors(item)
