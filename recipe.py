"""A run fully described: one frozen dataclass, which refuses what cannot be meant. recipe_file.py reads it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from .compress import CALIBRATION, TAKING, TECHNIQUES, Row, Technique
from .compress.quantize import Quantize
from .compress.recover import Recover
from .compress.sensitivity import WIDE
from .compress.slim import Slim
from .compress.widths import Override
from .errors import UserError
from .export import TARGETS
from .export.options import Options
from .runtimes import RUNTIMES

NONE = "none"
ATTENTION_FIRST = {"fast": 0.0, "normal": 0.25, "high": 0.0}
"""The share of a recovery in which attention of one bit learns alone, by the effort.

With `high` it would undo what blocks have learned beside such attention.
"""

PTQ: dict[str, Quantize | None] = {
    "int8": Quantize(8, 8),
    "int4": Quantize(4, 8),
    "w4a8": Quantize(4, 8),
    "w6a6": Quantize(6, 6),
    "w4a4": Quantize(4, 4),
    "w3a3": Quantize(3, 3),
    "binary2": Quantize(2, 8),
    "binary": Quantize(1, 8),
    "off": None,
}
"""What `--ptq` may say: bits of weights and of activations."""


@dataclass(frozen=True)
class Recipe:
    """Every choice of a run. The fields are the words of the TOML file and of the command line."""

    model: str = "demo"
    weights: str | None = None
    """A file of tensors, or `random` for an untrained model."""
    data: str = "demo"
    calib: str | None = None
    """None: a part of `data` that is never scored."""
    calib_images: int = 128
    merge: str | None = None
    """Merge tokens, by a schedule: 8, 8:increase, 8:few, 0.90G, 75%, …"""
    drop: str | None = None
    """Fuse the tokens that the class token attends to least, by a schedule."""
    prune: str | None = None
    """Take away what the rest can make up for: neurons=0.1, or neurons=0.2,multiple=16.

    Or heads, neurons and channels, until so much of the cost is left: macs=0.5, latency=0.6."""
    recover: str | None = None
    """How long what is left learns from the untouched backbone: 30 (minutes), or 800steps."""
    recover_data: str | None = None
    """Images to learn from, with labels or without. None: the calibration images."""
    recover_images: int = 20_000
    """How many of them at most: all are decoded before the first step."""
    ptq: str = "int8"
    effort: str = "normal"
    """How long to look for better codes: fast, normal or high."""
    equalize: tuple[str, ...] = ()
    """Steps before the rounding. None named: those that suit the bits. The word `none`: no step."""
    ranges: str = "mse"
    """How the ends of activations are chosen."""
    rounding: str | None = None
    """How weights are rounded. None: by what suits the bits."""
    attention: bool | None = None
    """Round what the attention products read, too. None: where 8 bits are, for the targets that gain by it."""
    binary_attention: bool = False
    """One bit for what attention weighs with, and eight for the values that it weighs."""
    axiswise: bool = False
    """A range for every head of attention and every channel of depthwise convolutions."""
    exclude: tuple[str, ...] = ()
    """Layers that stay float: patterns of their names, or types."""
    keep: tuple[str, ...] = ()
    """Layers whose weights keep 8 bits: patterns of names, types, or how many of those that bear few bits least."""
    layers: Mapping[str, Any] = field(default_factory=dict)
    """Other bits for some layers, by type or by a pattern of names: `{"blocks.0.*" = {weight_bits = 8}}`."""
    export: tuple[str, ...] = ("onnx",)
    runtime: tuple[str, ...] = ()
    """None named: those that serve what was exported. The word `none`: measure with no engine, verify only."""
    threads: int | None = None
    """Of the measured runtime; None: its own choice."""
    batch: int = 1
    """Images an inference when latency is measured."""
    meter: str | None = None
    """What counts energy: a command that prints watts, a sensor's name, or none. None: the first sensor that works."""
    max_time: int = 60
    """Seconds that latency and memory are measured at most; more where the shortest measurement takes longer."""
    static: bool = False
    """Export with the batch fixed at `batch`; otherwise it stays free where the target can."""
    image_input: bool = False
    """Core ML: take images as a camera gives them, with the preprocessing inside."""
    allow_slower: bool = False
    """Accept fewer tokens that take longer on a target."""
    allow_fallback: bool = False
    """Accept layers that run in another precision than promised."""
    workers: int = 2
    """Processes that decode images."""
    seed: int = 0
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    """What to change of the model's own preprocessing."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        _check("ptq", (self.ptq,), PTQ)
        _check("export", self.export, TARGETS)
        _check("runtime", self.runtime, RUNTIMES if self.runtime != (NONE,) else {NONE: None})
        if not self.export:
            raise UserError(f"export names no target; allowed: {', '.join(TARGETS)}")
        for name, least in (
            ("calib_images", 1),
            ("recover_images", 1),
            ("batch", 1),
            ("workers", 0),
            ("seed", 0),
            ("threads", 1),
            ("max_time", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name.replace('_', '-')} is {value}; it must be at least {least}")
        if self.weights and (self.model == "demo" or self.model.endswith(".pt2")):
            raise UserError(f"{self.model} brings its own weights; leave --weights out, or name another model")
        if self.merge and self.drop:
            raise UserError("--merge and --drop both take tokens away; choose one")
        _check_together(self.steps)  # each of which refuses what it cannot mean
        self._check_bits()
        if self.calib and not self.calibrated:
            raise UserError("--calib goes with quantization and --prune; leave it out, or choose --ptq int8")
        self._check_recovery()
        if self.calibrated and self.data == NONE and not self.calib:
            raise UserError("--data none leaves nothing to calibrate with; name images with --calib, or use --ptq off")

    @property
    def steps(self) -> tuple[tuple[Row, Technique], ...]:
        """The techniques of the run, in the order in which they are applied."""
        asked = ((row, self._asked(row)) for row in TECHNIQUES)
        found = [(row, technique) for row, technique in asked if technique]
        if not any(row.kind in TAKING for row, _ in found):  # then recovery learns codes and ranges: it comes last
            found.sort(key=lambda step: step[0].kind == "recover")
        return tuple(found)

    def _asked(self, row: Row) -> Technique | None:
        """What the recipe says of a technique."""
        if row.read is None:
            return self.technique
        word = getattr(self, row.name)
        technique = None if word is None else row.read(word)
        if isinstance(technique, Recover):
            alone = ATTENTION_FIRST.get(self.effort, 0.0) if self.binary_attention else 0.0
            how = dataclasses.replace(technique.how, attention_first=alone)
            return dataclasses.replace(technique, seed=self.seed, how=how)
        return technique

    def _check_bits(self) -> None:
        for word in ("equalize", "attention", "binary_attention", "axiswise", "exclude", "keep", "layers"):
            if self.ptq == "off" and getattr(self, word):
                raise UserError(
                    f"--{word.replace('_', '-')} goes with quantization; leave it out, or choose --ptq int8"
                )
        if self.keep and not self.layers and self.technique and self.technique.weight_bits == WIDE:
            raise UserError(f"--keep leaves layers at {WIDE} bits, and {self.ptq} has no fewer; choose --ptq binary")

    def _check_recovery(self) -> None:
        if not self.recover:
            if self.recover_data:
                raise UserError("--recover-data goes with --recover; add how many minutes, as --recover 30")
        elif len(self.steps) == 1:
            raise UserError("--recover has nothing to recover from; add --merge, --drop, --prune or --ptq")
        elif not self.recover_data and not self.calibrated:
            raise UserError("--recover learns from images; name some with --recover-data")

    @property
    def calibrated(self) -> bool:
        """Whether any of them is calibrated on images."""
        return any(row.images == CALIBRATION for row, _ in self.steps)

    @property
    def technique(self) -> Quantize | None:
        """The quantization that `ptq` names, done as the other words say."""
        named = PTQ[self.ptq]
        if named is None:
            return None
        return dataclasses.replace(
            named,
            effort=self.effort,
            equalize=() if self.equalize == (NONE,) else self.equalize or None,
            ranges=self.ranges,
            rounding=self.rounding,
            attention=self._rounds_attention(named),
            binary_attention=self.binary_attention,
            axiswise=self.axiswise,
            exclude=self.exclude,
            layers=tuple(_override(pattern, given) for pattern, given in self.layers.items())
            + tuple(Override(pattern, WIDE) for pattern in self.keep if not pattern.isdecimal()),
            keep=sum(int(word) for word in self.keep if word.isdecimal()),
        )

    def _rounds_attention(self, named: Quantize) -> bool:
        """Whether attention products are rounded for any target."""
        if self.attention is not None:
            return self.attention
        return named.activation_bits == 8 and any(TARGETS[target].integer_attention for target in self.export)

    @property
    def options(self) -> Options:
        """What is chosen about every artifact."""
        return Options(batch=self.batch if self.static else None, image_input=self.image_input)

    def runtimes_of(self, target: str) -> tuple[str, ...]:
        """The engines to measure a target's artifacts with: those named, else the first that runs here."""
        if self.runtime == (NONE,):
            return ()
        serving = TARGETS[target].runtimes
        if self.runtime:
            return tuple(name for name in self.runtime if name in serving)
        return tuple(name for name in serving if not RUNTIMES[name].missing())[:1]

    def to_toml(self) -> str:
        """The file that repeats the run; what is None is left out."""
        return tomli_w.dumps(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Plain values, without what is None or empty."""
        values = dataclasses.asdict(self)
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        return {key: value for key, value in plain.items() if value is not None and value not in ([], {})}


def _check_together(steps: tuple[tuple[Row, Technique], ...]) -> None:
    """Refuse steps that do not go with one another."""
    if {"merge", "drop"} & {row.name for row, _ in steps} and any(isinstance(step, Slim) for _, step in steps):
        raise UserError("--prune macs= and latency= do not go with --merge and --drop; choose one, or neurons=")


def _override(pattern: str, given: object) -> Override:
    """One row of the table `layers`."""
    allowed = [field.name for field in dataclasses.fields(Override) if field.name != "pattern"]
    if not isinstance(given, Mapping) or not given or not all(type(value) is int for value in given.values()):
        raise UserError(f"layers: {pattern!r} is {given!r}; it must be a table of {' and '.join(allowed)}")
    for word in given:
        if word not in allowed:
            raise UserError(f"layers: {pattern!r} does not know {word!r}; allowed: {', '.join(allowed)}")
    return Override(pattern, **given)


WORDS = tuple(field.name for field in dataclasses.fields(Recipe))
"""What a TOML file may say, and what flags are called."""


def _check(word: str, values: tuple[str, ...], allowed: Mapping[str, object]) -> None:
    for value in values:
        if value not in allowed:
            raise UserError(f"{word} does not know {value!r}; allowed: {', '.join(allowed)}")
        if values.count(value) > 1:
            raise UserError(f"{word} names {value!r} more than once; name it once")
