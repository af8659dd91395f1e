"""What must hold of an artifact before it is handed over: parity, executed precision, and accuracy where it runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.fx import GraphModule

from .export import TARGETS, Target, drift
from .export.artifact import Artifact
from .export.verify import ParityResult, compare, complaint, is_smooth, shaken
from .models.backbone import FLOAT, Backbone, Preprocessing
from .models.decode import Pixels
from .models.program import trace
from .reports import record as records
from .runtimes import RUNTIMES, Runtime, eager
from .runtimes.audit import AuditResult, audit
from .runtimes.batching import answers
from .scoring import BATCH, Score
from .variants import Variant

PARITY_IMAGES = 64
Batches = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Checked:
    """The record of an artifact, and what does not hold of it."""

    row: records.Artifact
    complaints: tuple[str, ...]


def verifier(target: Target) -> Runtime | None:
    """The engine that can open the target's artifacts on this machine, the device's own first."""
    return next((RUNTIMES[name] for name in target.runtimes if not RUNTIMES[name].missing()), None)


def unverified(artifact: Artifact) -> str:
    """Why no engine here can open it."""
    return "; ".join(filter(None, (RUNTIMES[name].missing() for name in TARGETS[artifact.format].runtimes)))


def verify(backbone: Backbone | None, artifact: Artifact, images: Batches) -> dict[str, Any]:
    """The artifact loaded back, in plain values: how it answers beside its program, and what its engine runs.

    Without a program there is nothing to answer beside; without an engine nothing is known.
    """
    runtime = verifier(TARGETS[artifact.format])
    if runtime is None:
        return {"parity": None, "audit": None, "wrong": None, "images": 0}
    found: dict[str, Any] = {"parity": None, "audit": None, "wrong": None, "images": sum(map(len, images))}
    if backbone is not None:
        parity, found["wrong"] = _parity(backbone, artifact, runtime, images)
        found["parity"] = asdict(parity)
    if runtime.executed is not None:
        with runtime.open(artifact.path, None) as session:
            one = np.resize(images[0], (session.input_shape[0] or 1, *images[0].shape[1:]))
        found["audit"] = asdict(audit(runtime.executed(artifact.path, one), runtime.promised(artifact.path)))
    return found


def _parity(
    backbone: Backbone, artifact: Artifact, runtime: Runtime, images: Batches
) -> tuple[ParityResult, str | None]:
    """How the artifact answers beside its program, and what is wrong with that."""
    exact = TARGETS[artifact.format].exact_floats
    wanted = np.concatenate([eager.run(backbone.module, part) for part in images])
    with runtime.open(artifact.path, None) as session:
        parity = compare(wanted, np.concatenate([answers(session, part) for part in images]))
    smooth = is_smooth(backbone)
    wrong = complaint(parity, smooth=smooth, exact_floats=exact)
    if wrong and isinstance(backbone.module, GraphModule) and not smooth:
        again = [shaken(backbone.module, part, exact_floats=exact) for part in images]
        own = compare(wanted, np.concatenate(again)).top1_agree
        wrong = complaint(parity, smooth=smooth, exact_floats=exact, own=own)
    return parity, wrong


def checked(
    artifact: Artifact, found: Mapping[str, Any], out: Path, *, simulation: str = "", allow_fallback: bool = False
) -> Checked:
    """What `verify` found, as the record has it, and the complaints that follow from it."""
    complaints = [found["wrong"]] if found["wrong"] else []
    parity, audited = found["parity"], found["audit"]
    row = records.Artifact(
        **{**asdict(artifact), "path": artifact.path.relative_to(out).as_posix()},
        parity=parity and records.Parity(**{k: parity[k] for k in ("max_abs", "cosine", "top1_agree", "images")}),
        audit=audited and recorded(AuditResult(**audited)),
        simulation=simulation,
    )
    if row.audit and row.audit.fallbacks and not allow_fallback:
        first = row.audit.fallbacks[0]
        complaints.append(
            f"runs {row.audit.promised_pct:.1f} % of what was promised in int8: {first.layer} {first.reason}"
            f"{_more(len(row.audit.fallbacks) - 1)}; choose another target, or accept it with --allow-fallback"
        )
    return Checked(row, tuple(complaints))


def recorded(found: AuditResult) -> records.Audit:
    """An audit as the record has it."""
    fallbacks = tuple(records.Fallback(layer, reason) for layer, reason in found.fallbacks)
    return records.Audit(found.int8_macs_pct, found.promised_pct, fallbacks, found.macs_pct)


@dataclass(frozen=True)
class Served:
    """An artifact that was scored on an engine, and the variant that it was made of."""

    variant: Variant
    artifact: Artifact
    runtime: Runtime


def drifted(served: Served, score: Score) -> str | None:
    """What is wrong where the engine is less (or more) often right than the simulation; None where it is not."""
    if score.pixels is None or score.pixels.labels is None:
        return None
    name = f"{served.artifact.name} {served.runtime.name}"
    found = drift.drift(score.correct(served.variant.simulation), score.correct(name))
    if not found.fails:
        return None
    return (
        f"drifts by {found.points:+.2f} points on {served.runtime.name} from its torch simulation "
        f"(at most {drift.MOST_POINTS}); {_divergence(served, score.pixels)}"
    )


def drifts(
    made: Iterable[tuple[Variant, Artifact]], measurements: Sequence[records.Measurement], score: Score
) -> Iterator[str]:
    """Every artifact that is less often right on an engine than its simulation is; what nothing simulates is left."""
    by_name = {artifact.name: (variant, artifact) for variant, artifact in made}
    for one in measurements:
        if one.artifact in by_name:
            served = Served(*by_name[one.artifact], RUNTIMES[one.runtime])
            if wrong := drifted(served, score):
                yield f"{one.artifact} {wrong}"


def slower(made: Iterable[tuple[Variant, Artifact]], measurements: Sequence[records.Measurement]) -> Iterator[str]:
    """Every float artifact that something was taken away from, and that takes longer for it."""
    thinned = {artifact.name for variant, artifact in made if variant.backbone.form and artifact.precision == FLOAT}
    for one in measurements:
        if one.artifact in thinned and one.speedup and one.speedup.ci95[1] < 1:
            ratio, (low, high) = one.speedup.ratio, one.speedup.ci95
            yield (
                f"{one.artifact} takes longer on {one.runtime} than {one.speedup.vs}: {ratio:.2f} times its speed "
                f"[{low:.2f}, {high:.2f}]; take away more in fewer blocks (8:few), or accept it with --allow-slower"
            )


def _divergence(served: Served, pixels: Pixels) -> str:
    if served.runtime.values is None:
        return "this engine does not show its layers"
    backbone = served.variant.backbone
    module = trace(backbone.module, backbone.preprocessing.input_size)  # gives values the names that they have in files
    names = drift.layers(module)
    image = next(iter(pixels.batches(1))).numpy()
    there = served.runtime.values(served.artifact.path, image, names.keys())
    first = drift.first_divergence(drift.values(module, names.keys(), image), dict(there))
    return f"the first layer that differs is {names[first]}" if first else "no layer can be compared"


def parity_images(pixels: Pixels | None, preprocessing: Preprocessing, seed: int) -> Batches:
    """The first images there are, in batches; noise where there are none."""
    if pixels is not None:
        return [batch.numpy() for batch in pixels.first(PARITY_IMAGES).batches(BATCH)]
    noise = np.random.default_rng(seed)
    shape = (BATCH, *preprocessing.input_size)
    return [noise.standard_normal(shape, dtype=np.float32) for _ in range(PARITY_IMAGES // BATCH)]


def _more(count: int) -> str:
    return f", and {count} more" if count else ""
