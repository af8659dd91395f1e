"""The one path: load, compress, export, verify, measure, record.

Every step is a stage of the run's journal, so a killed run goes on where it stopped. The compressed backbone is always
read back from `model.pt2` before it is exported: an artifact comes from the file, not from what happened before it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import models
from .atomic import remove, write_text
from .bench import Bench, Subject, measurement
from .errors import VerificationFailed
from .export import TARGETS
from .export.artifact import Artifact
from .export.verify import compare, complaint
from .images import choose
from .journal import FOLDER, Journal, digest
from .models import data, decode, saved
from .models.backbone import Backbone, Preprocessing
from .models.cost import cost
from .models.decode import Pixels
from .progress import Advance, Progress
from .recipe import Recipe
from .reports import record as records
from .reports import table
from .runtimes import RUNTIMES, eager, machine
from .runtimes.audit import audit
from .scoring import BATCH, Score
from .stages import Stages
from .versions import PACKAGES, VERSION

CALIBRATION_BATCH = 8
"""Fixed: sums in another order would give other last bits, and so other artifacts."""
PARITY_IMAGES = 64
PROGRAM, RECORD, PREDICTIONS, REPORT = "model.pt2", "record.json", "predictions.npz", "report.md"


@dataclass(frozen=True)
class Request:
    """A run: what, where, whether to go on with an earlier one, and the command that asked for it."""

    recipe: Recipe
    out: Path
    resume: bool = False
    command: str = ""


@dataclass(frozen=True)
class Outcome:
    """The record of a run, and what does not hold of its artifacts, one line each."""

    record: records.Record
    complaints: tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """A backbone to export and the folder that its targets go to: the untouched one, or what became of it."""

    backbone: Backbone
    key: str
    folder: Path


def compress(recipe: Recipe, out: str | Path, *, resume: bool = False) -> records.Record:
    """Compress, export and measure as the recipe says; the run folder is `out`."""
    outcome = run(Request(recipe, Path(out), resume, "vitc.compress"), Progress())
    if outcome.complaints:
        raise VerificationFailed(outcome.complaints[0])
    return outcome.record


def export(recipe: Recipe, out: str | Path, *, resume: bool = False) -> records.Record:
    """Export and measure without compressing."""
    return compress(replace(recipe, ptq="off"), out, resume=resume)


def run(request: Request, progress: Progress) -> Outcome:
    """Do the whole run, or what is left of it."""
    journal = Journal(request.out, resume=request.resume)
    try:
        return _Run(request, journal, progress).all()
    finally:
        journal.discard_if_empty()


def plan(recipe: Recipe, out: Path) -> list[Path]:
    """What a run would leave in its folder."""
    targets = [out / target for target in recipe.export]
    floats = [out / "fp32" / target for target in recipe.export] if recipe.technique else []
    scored = [out / PREDICTIONS] if recipe.data != data.NONE else []
    return [*(out / name for name in ("recipe.toml", PROGRAM, RECORD, REPORT)), *scored, *floats, *targets]


class _Run:
    """One run on its way."""

    def __init__(self, request: Request, journal: Journal, progress: Progress) -> None:
        self.request, self.recipe, self.out, self.progress = request, request.recipe, request.out, progress
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.machine = machine.describe(PACKAGES)
        self.stages = Stages(journal, progress, {"vitc": VERSION, **self.machine.packages})

    def all(self) -> Outcome:
        """Every stage in turn, and the record of them."""
        recipe = self.recipe
        weights = Path(recipe.weights) if recipe.weights else None
        backbone = models.load(recipe.model, weights, recipe.preprocessing)
        if recipe.technique:
            recipe.technique.check(backbone)
        scored, calibration = choose(recipe, backbone)
        self.progress.note(f"run folder: {self.out}")
        for stale in (RECORD, REPORT, PREDICTIONS):  # of an earlier run: they would speak of other artifacts
            remove(self.out / stale)
        write_text(self.out / "recipe.toml", recipe.to_toml())
        pixels = self.decode("scored", scored, backbone.preprocessing)
        samples = self.decode("calibration", calibration, backbone.preprocessing)
        variants = self.variants(backbone, samples)
        score = Score(pixels, self.out / FOLDER)
        for variant in variants:
            self.simulated(variant, score)
        made = [(variant, self.exported(variant, target)) for variant in variants for target in recipe.export]
        checked = [self.verified(variant, artifact, pixels or samples) for variant, artifact in made]
        record = records.Record(
            vitc=VERSION,
            command=self.request.command,
            seed=recipe.seed,
            started=self.started,
            recipe=recipe.to_json(),
            machine=records.Machine(**asdict(self.machine)),
            model=records.Model(backbone.name, backbone.weights_sha256, backbone.preprocessing.input_size),
            data=_data(scored, pixels),
            calibration=_data(calibration, samples),
            artifacts=tuple(artifact for artifact, _ in checked),
            measurements=self.measured([artifact for _, artifact in made], score),
            stages=tuple(self.stages.done),
        )
        self.finish(record, score, [_in_torch(variant) for variant in variants])
        return Outcome(record, tuple(f"{a.name} {wrong}" for a, wrong in checked if wrong))

    def decode(self, name: str, images: data.ImageSet | None, preprocessing: Preprocessing) -> Pixels | None:
        """The pixels of a set, decoded once for all that look at them."""
        if images is None:
            return None
        into = self.out / FOLDER / f"{name}-pixels"
        contents = [(image.name, image.label, image.sha256) for image in images.images]
        inputs = {"images": digest(contents), "preprocessing": preprocessing.to_json()}

        def work(advance: Advance) -> dict[str, Any]:
            pixels = decode.decode(images, preprocessing, into, self.recipe.workers, advance)
            return {"images": len(pixels), "unreadable": pixels.unreadable}

        result = self.stages.do(f"decode {name}", inputs, [into], work, total=len(images))
        if result["unreadable"]:
            self.progress.note(f"left out of {images.source}, unreadable: {', '.join(result['unreadable'])}")
        return decode.opened(into)

    def variants(self, backbone: Backbone, samples: Pixels | None) -> list[Variant]:
        """The backbone as it came, and what the technique makes of it, read back from the file that it is kept in."""
        program, technique, key = self.out / PROGRAM, self.recipe.technique, backbone.fingerprint()

        def save(made: Callable[[], Backbone]) -> dict[str, Any]:
            saved.save(made(), program)
            return {}

        if technique is None or samples is None:
            self.stages.do("save", {"backbone": key}, [program], lambda _: save(lambda: backbone))
            return [Variant(backbone, key, self.out)]
        inputs = {"backbone": key, "technique": repr(technique), "images": samples.digest()}
        batches = samples.batches(CALIBRATION_BATCH)
        self.stages.do("quantize", inputs, [program], lambda _: save(lambda: technique.apply(backbone, batches)))
        compressed = saved.load(program)
        return [
            Variant(backbone, key, self.out / "fp32"),
            Variant(compressed, compressed.fingerprint(), self.out),
        ]

    def simulated(self, variant: Variant, score: Score) -> None:
        """Cost and accuracy of a variant in torch."""
        backbone = variant.backbone
        name = _in_torch(variant)

        def work(advance: Advance) -> dict[str, Any]:
            spent = asdict(cost(backbone.module, backbone.preprocessing.input_size))
            return {**spent, **score.score(name, partial(eager.run, backbone.module), advance)}

        inputs = {"backbone": variant.key, **score.identity()}
        self.stages.do(f"score {name}", inputs, score.outputs(name), work, total=score.images)

    def exported(self, variant: Variant, target: str) -> Artifact:
        """The variant as a target's artifact."""
        folder = variant.folder / target

        def work(_: Advance) -> dict[str, Any]:
            made = TARGETS[target].write(variant.backbone, folder)
            return {**asdict(made), "path": made.path.relative_to(self.out).as_posix()}

        name = f"export {variant.backbone.precision}/{target}"
        found = self.stages.do(name, {"backbone": variant.key}, [folder], work)
        fields = {key: found[key] for key in ("name", "format", "precision", "bytes", "sha256")}
        return Artifact(path=self.out / found["path"], **fields)

    def verified(
        self, variant: Variant, artifact: Artifact, pixels: Pixels | None
    ) -> tuple[records.Artifact, str | None]:
        """The artifact loaded back: how it answers beside its program, what its engine runs, and what is wrong."""
        runtime = RUNTIMES[TARGETS[artifact.format].runtime]
        images = _parity_images(pixels, variant.backbone, self.recipe.seed)

        def work(_: Advance) -> dict[str, Any]:
            with runtime.open(artifact.path, None) as session:
                logits = np.concatenate([session.run(part) for part in images])
            wanted = np.concatenate([eager.run(variant.backbone.module, part) for part in images])
            parity = compare(wanted, logits)
            found = audit(runtime.executed(artifact.path, images[0][:1]), runtime.promised(artifact.path))
            wrong = complaint(parity, artifact.precision)
            return {"parity": asdict(parity), "audit": asdict(found), "wrong": wrong, "images": parity.images}

        inputs = {"artifact": artifact.sha256, "images": pixels.digest() if pixels else self.recipe.seed}
        found = self.stages.do(f"verify {artifact.name}", inputs, [], work)
        parity = {key: found["parity"][key] for key in ("max_abs", "cosine", "top1_agree", "images")}
        fallbacks = tuple(records.Fallback(layer, reason) for layer, reason in found["audit"]["fallbacks"])
        row = records.Artifact(
            **{**asdict(artifact), "path": artifact.path.relative_to(self.out).as_posix()},
            parity=records.Parity(**parity),
            audit=records.Audit(**{**found["audit"], "fallbacks": fallbacks}),
        )
        return row, found["wrong"]

    def measured(self, artifacts: list[Artifact], score: Score) -> tuple[records.Measurement, ...]:
        """Accuracy of every artifact on its engines, then all of them against each other for latency and memory."""
        bench = Bench(self.recipe.threads or self.machine.cores, self.recipe.batch, self.recipe.seed)
        subjects = [
            Subject(artifact.name, artifact.path, runtime, f"fp32/{artifact.format}")
            for artifact in artifacts
            for runtime in self.recipe.runtimes
            if runtime == TARGETS[artifact.format].runtime
        ]
        if not subjects:
            return ()
        hashes = {artifact.name: artifact.sha256 for artifact in artifacts}
        scores = [self.scored(subject, hashes[subject.artifact], score) for subject in subjects]
        inputs = {"artifacts": hashes, "bench": repr(bench), "machine": self.machine.cpu}
        rows = self.stages.do("measure", inputs, [], lambda _: {"rows": bench.measure(subjects, self.progress)})["rows"]
        return tuple(measurement(row, found) for row, found in zip(rows, scores, strict=True))

    def scored(self, subject: Subject, sha256: str, score: Score) -> dict[str, Any]:
        """Accuracy of one artifact on one engine."""

        def work(advance: Advance) -> dict[str, Any]:
            with RUNTIMES[subject.runtime].open(subject.path, None) as session:
                return score.score(subject.name, session.run, advance)

        inputs = {"artifact": sha256, **score.identity()}
        outputs = score.outputs(subject.name)
        return self.stages.do(f"score {subject.name}", inputs, outputs, work, total=score.images)

    def finish(self, record: records.Record, score: Score, simulated: list[str]) -> None:
        """Write what the run is asked for, the record last; then drop what only served on the way."""
        score.gather([*simulated, *(f"{m.artifact} {m.runtime}" for m in record.measurements)], self.out / PREDICTIONS)
        write_text(self.out / REPORT, table.markdown(record))
        write_text(self.out / RECORD, records.to_json(record))
        for name in ("scored", "calibration"):
            remove(self.out / FOLDER / f"{name}-pixels")


def _in_torch(variant: Variant) -> str:
    return f"{variant.backbone.precision} torch"


def _parity_images(pixels: Pixels | None, backbone: Backbone, seed: int) -> list[NDArray[np.float32]]:
    """The first images there are, in batches; noise where there are none."""
    if pixels is not None:
        return [batch.numpy() for batch in pixels.first(PARITY_IMAGES).batches(BATCH)]
    noise = np.random.default_rng(seed)
    shape = (BATCH, *backbone.preprocessing.input_size)
    return [noise.standard_normal(shape, dtype=np.float32) for _ in range(PARITY_IMAGES // BATCH)]


def _data(images: data.ImageSet | None, pixels: Pixels | None) -> records.Data | None:
    return records.Data(images.source, images.sha256, len(pixels)) if images and pixels else None
