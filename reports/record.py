"""The record of a run: every fact that a table, a chart, a page or a gate may show, and its JSON form (schema 1).

Where a fact is None it was not measured; nothing is ever guessed in its place. The names are those in record.json,
which scripts depend on: another name needs another schema number.
"""

import json
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from .codec import decode, encode, parse

SCHEMA = 1
FLOAT = "fp32"
"""What artifacts of the untouched model begin with; also the folder that they lie in."""


@dataclass(frozen=True)
class Peak:
    """How fast an engine multiplied two matrices in its caches: a bound for all that it runs on the machine."""

    runtime: str
    precision: str
    threads: int
    macs_per_second: float


@dataclass(frozen=True)
class Machine:
    """Where the numbers were measured."""

    cpu: str
    cores: int
    isa: tuple[str, ...]
    os: str
    packages: dict[str, str]
    peaks: tuple[Peak, ...] = ()


@dataclass(frozen=True)
class Model:
    """What was compressed; `input` is channels, height, width."""

    name: str
    weights_sha256: str
    input: tuple[int, ...]
    preprocessing_sha256: str = ""


@dataclass(frozen=True)
class Data:
    """A set of images, scored, used for calibration or learned from."""

    source: str
    sha256: str
    images: int


@dataclass(frozen=True)
class Stage:
    """One step of the run and what it left of the model; top1 is the torch model's, over `images` images."""

    name: str
    seconds: float
    peak_rss_mb: float | None
    params: int | None
    macs: int | None
    top1: float | None
    images: int
    notes: tuple[str, ...] = ()
    """What it did, and what repeats it exactly."""


@dataclass(frozen=True)
class Layer:
    """A rounded layer: bits of its weights and of its input, and its loss at each point of the way.

    A loss is squared error over squared output, on calibration images.
    """

    name: str
    weight_bits: int
    activation_bits: int
    loss: dict[str, float]


@dataclass(frozen=True)
class Parity:
    """An artifact's outputs against the torch simulation's; top1_agree is a share of 1."""

    max_abs: float
    cosine: float
    top1_agree: float
    images: int


@dataclass(frozen=True)
class Fallback:
    """A layer that does not run at the promised precision, and why."""

    layer: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """What share of the multiply-adds really runs in int8, read from the graph that the runtime runs."""

    int8_macs_pct: float
    promised_pct: float
    fallbacks: tuple[Fallback, ...]
    macs_pct: dict[str, float] | None = None
    """By the precision that they run in."""


@dataclass(frozen=True)
class Modelled:
    """What an image would take on a 45 nm chip by published tables: a model, never a measurement.

    Operations are BOPs / 64 + FLOPs; memory is the file, read once.
    """

    ops: int
    arithmetic_mj: float
    memory_mj: float


@dataclass(frozen=True)
class Artifact:
    """A file that a runtime can serve, named by what it is and its target; `path` is relative to the run folder."""

    name: str
    format: str
    precision: str
    path: str
    bytes: int
    sha256: str
    parity: Parity | None
    audit: Audit | None
    note: str = ""
    """What is to be known of it: that it is yet to be built elsewhere, for one."""
    modelled: Modelled | None = None
    simulation: str = ""
    """What the torch program is called that it was made of; its stage is `score SIMULATION`."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds a call."""

    p50: float
    p90: float
    p99: float
    mean: float
    samples: int
    p50_ci95: tuple[float, float] | None = None
    lives: int | None = None
    """Processes, one after the other, that the samples come from."""
    stability_pct: float | None = None
    """The share of the rounds whose median lies within 5 % of the median of all."""
    interrupted_pct: float | None = None
    """The share of the runs that other processes interrupted; they are not among the samples."""


@dataclass(frozen=True)
class Speedup:
    """How many times faster than the artifact `vs` in the same run, with its 95 % interval."""

    vs: str
    ratio: float
    ci95: tuple[float, float]
    inconclusive: str = ""
    """Why the interval does not tell the difference that was asked about; empty where it does."""


@dataclass(frozen=True)
class Throughput:
    """Images a second of several streams together, each a process with one thread."""

    images_per_s: float
    ci95: tuple[float, float]
    streams: int


@dataclass(frozen=True)
class Energy:
    """Millijoules a call, and what counted them.

    `value` is net: without what the machine takes at rest, which is `idle_w`; `gross` is with it.
    """

    value: float | None
    source: str = "not measured"
    gross: float | None = None
    idle_w: float | None = None
    uncertainty: float | None = None
    """Of net, in millijoules, at 95 %."""
    inferences: int | None = None
    reason: str = ""
    """Why there is no value."""


@dataclass(frozen=True)
class Measurement:
    """One artifact on one runtime."""

    artifact: str
    runtime: str
    threads: int
    batch: int
    latency_ms: Latency | None
    speedup: Speedup | None
    peak_rss_mb: float | None
    energy_mj: Energy
    top1: float | None
    top5: float | None
    images: int
    over_idle_mb: float | None = None
    """The part of the peak that came after the engine's library was loaded."""
    load_ms: float | None = None
    first_ms: float | None = None
    """The first inference; an engine that compiles for the shape of its input does it there."""
    throughput: Throughput | None = None
    cores: tuple[int, ...] = ()
    """That it was kept on; empty where the system did not bind it to any."""
    note: str = ""
    """Why it could not be measured."""
    crowded_lives: int = 0
    """Of those it was measured in: its cores did not work side by side in them, and there were too few others."""
    left_out_lives: int = 0
    """That do not count, as its cores did not work side by side in them."""


@dataclass(frozen=True)
class Choice:
    """The artifact that is best for a target among those measured on it, and why."""

    target: str
    artifact: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything known of a run; `data` and `calibration` are None where the run used none."""

    schema: int = SCHEMA
    vitc: str
    command: str
    seed: int
    started: str
    recipe: dict[str, Any]
    machine: Machine
    model: Model
    data: Data | None
    calibration: Data | None
    stages: tuple[Stage, ...]
    artifacts: tuple[Artifact, ...]
    measurements: tuple[Measurement, ...]
    choices: tuple[Choice, ...] = ()
    layers: tuple[Layer, ...] = ()
    recovery: Data | None = None
    """What was learned from; None where nothing was."""


def to_json(record: Record) -> str:
    """The text of record.json: keys in the order of the declarations, so the same facts give the same bytes."""
    return json.dumps(encode(record), indent=1, allow_nan=False) + "\n"


def from_json(text: str, name: str) -> Record:
    """The record in a text that anybody may have written; `name` is what errors call it."""
    try:
        return _read(text)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def _read(text: str) -> Record:
    value = parse(text)
    if isinstance(value, dict) and value.get("schema", SCHEMA) != SCHEMA:
        raise UserError(f"schema: this vitc reads schema {SCHEMA} only: make the record again with this version")
    record = decode(Record, value)
    _check_names(record)
    return record


def _check_names(record: Record) -> None:
    """Every artifact has its own name, and every measurement is of one of them."""
    names = [artifact.name for artifact in record.artifacts]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise UserError(f"artifacts[{index}].name: {json.dumps(name)} stands twice")
    for index, measurement in enumerate(record.measurements):
        if measurement.artifact not in names:
            raise UserError(f"measurements[{index}].artifact: no artifact is named {json.dumps(measurement.artifact)}")
