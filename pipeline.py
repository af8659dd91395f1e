"""The one path: load, compress, export, verify, measure, record.

Every step is a stage of the run's journal, so a killed run goes on where it stopped. The compressed backbone is always
read back from `model.pt2` before it is exported: an artifact comes from the file, not from what happened before it.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import checks, choices, facts, reporting
from .admission import admitted, findings
from .atomic import remove, write_text
from .bench import Bench, Subject, measurement
from .compress.precisions import macs_by_bits
from .compress.recover.views import wide
from .errors import UserError, VerificationFailed
from .export import TARGETS
from .export.artifact import Artifact
from .export.preflight import Finding
from .exports import PROGRAM, RIVALS, Exports
from .images import choose, to_learn_from
from .journal import FOLDER, Journal, digest
from .models import data, decode
from .models.backbone import FLOAT, Preprocessing, label
from .models.cost import cost
from .models.data import ImageSet
from .models.decode import Pixels
from .progress import Advance, Progress
from .recipe import Recipe
from .reports import record as records
from .reports import table
from .reports.page import page
from .runs import PAGE, PREDICTIONS, RECORD, REPORT
from .runtimes import RUNTIMES, eager, machine, peak
from .runtimes.batching import answers
from .scoring import Score
from .stages import Stages
from .variants import Variant
from .versions import PACKAGES, VERSION


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
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise UserError(f"vitc was started as {processes} processes, which would write one run folder; start it as one")
    journal = Journal(request.out, resume=request.resume)
    try:
        return _Run(request, journal, progress).all()
    finally:
        journal.discard_if_empty()


def plan(recipe: Recipe, out: Path) -> list[Path]:
    """What a run would leave in its folder."""
    targets = [out / target for target in recipe.export]
    steps = [out / name / target for name in _made_on_the_way(recipe) for target in recipe.export]
    scored = [out / PREDICTIONS] if recipe.data != data.NONE else []
    rivals = [out / RIVALS / target for target in recipe.export if recipe.calibrated and TARGETS[target].rivals]
    always = [out / name for name in ("recipe.toml", PROGRAM, RECORD, REPORT, PAGE)]
    return [*always, *scored, *steps, *targets, *rivals]


def _made_on_the_way(recipe: Recipe) -> list[str]:
    """What the backbones are called that the steps of a run begin with."""
    forms, precision, names = list[str](), FLOAT, list[str]()
    for row, _ in recipe.steps:
        names.append(label(forms, precision))
        if row.kind == "bits" and recipe.technique:
            precision = recipe.technique.precision
        else:
            forms.append(row.name)
    return names


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
        backbone = admitted(recipe)
        scored, calibration = choose(recipe, backbone)
        learned_from = to_learn_from(recipe, backbone, scored, calibration, self.progress.note)
        self.foreseen(findings(recipe, backbone, calibration or scored))
        self.progress.note(f"run folder: {self.out}")
        for stale in (RECORD, REPORT, PAGE, PREDICTIONS):  # of an earlier run: they would speak of other artifacts
            remove(self.out / stale)
        write_text(self.out / "recipe.toml", recipe.to_toml())
        pixels = self.decode("scored", scored, backbone.preprocessing)
        samples = self.decode("calibration", calibration, backbone.preprocessing)
        lessons = self.decode("recovery", learned_from, wide(backbone.preprocessing))
        exports = Exports(recipe, self.out, self.stages, self.progress)
        variants, layers = exports.variants(backbone, samples, lessons)
        score = Score(pixels, self.out / FOLDER)
        simulations = {variant.simulation: variant for variant, _ in variants}
        macs = {name: self.simulated(variant, score) for name, variant in simulations.items()}
        made = [(variant, exports.exported(variant, target)) for variant, target in variants]
        theirs = [artifact for target in recipe.export for artifact in exports.rivals(backbone, target, samples)]
        images = checks.parity_images(pixels or samples, backbone.preprocessing, recipe.seed)
        judged: list[tuple[Variant | None, Artifact]] = [*made, *((None, artifact) for artifact in theirs)]
        checked = [self.verified(variant, artifact, images) for variant, artifact in judged]
        asked = [artifact.name for variant, artifact in made if variant.folder == self.out and recipe.steps]
        measurements = self.measured([artifact for _, artifact in judged], score)
        record = records.Record(
            vitc=VERSION,
            command=self.request.command,
            seed=recipe.seed,
            started=self.started,
            recipe=recipe.to_json(),
            machine=records.Machine(**asdict(self.machine), peaks=self.peaks(measurements)),
            model=facts.model(backbone),
            data=facts.data(scored, pixels),
            calibration=facts.data(calibration, samples),
            recovery=facts.data(learned_from, lessons),
            artifacts=tuple(
                facts.modelled(one.row, macs[variant.simulation]) if variant else one.row
                for (variant, _), one in zip(judged, checked, strict=True)
            ),
            measurements=measurements,
            stages=tuple(self.stages.done),
            layers=tuple(records.Layer(**layer) for layer in layers),
            choices=choices.choose(measurements, asked),
        )
        drifts = checks.drifts(made, measurements, score)
        scored_on = [f"{one.artifact} {one.runtime}" for one in measurements]
        score.gather([*simulations, *scored_on], self.out / PREDICTIONS, backbone.classes)
        record = self.finish(record)
        wrong = [f"{one.row.name} {complaint}" for one in checked for complaint in one.complaints]
        slower = () if recipe.allow_slower else checks.slower(made, measurements)
        return Outcome(record, (*wrong, *drifts, *slower))

    def foreseen(self, found: dict[str, list[Finding]]) -> None:
        """Tell what preflight found; what cannot work ends the run before it began."""
        for target, those in found.items():
            for finding in those:
                if finding.fatal:
                    raise VerificationFailed(f"{target}: {finding}")
                self.progress.note(f"{target}: {finding}")

    def decode(self, name: str, images: ImageSet | None, preprocessing: Preprocessing) -> Pixels | None:
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

    def simulated(self, variant: Variant, score: Score) -> dict[str, int]:
        """Cost and accuracy of a variant in torch; its multiply-accumulates by their bits."""
        backbone = variant.backbone

        def work(advance: Advance) -> dict[str, Any]:
            size = backbone.preprocessing.input_size
            spent = {**asdict(cost(backbone.module, size)), "macs_by_bits": macs_by_bits(backbone.module, size)}
            return {**spent, **score.score(variant.simulation, partial(eager.run, backbone.module), advance)}

        inputs = {"backbone": variant.key, "counted": "by bits", **score.identity()}
        outputs = score.outputs(variant.simulation)
        found = self.stages.do(f"score {variant.simulation}", inputs, outputs, work, total=score.images)
        macs: dict[str, int] = found["macs_by_bits"]
        return macs

    def verified(self, variant: Variant | None, artifact: Artifact, images: checks.Batches) -> checks.Checked:
        """The artifact loaded back, and what is wrong with it; of a rival only what its engine runs."""
        backbone = variant.backbone if variant else None
        pixels = hashlib.sha256(np.concatenate(images).data).hexdigest()
        inputs = {"artifact": artifact.sha256, "images": pixels}
        work = partial(checks.verify, backbone, artifact, images)
        found = self.stages.do(f"verify {artifact.name}", inputs, [], lambda _: work())
        if found["images"] == 0:
            self.progress.note(f"{artifact.name} is not verified: {checks.unverified(artifact)}")
        simulation = variant.simulation if variant else ""
        allowed = self.recipe.allow_fallback
        return checks.checked(artifact, found, self.out, simulation=simulation, allow_fallback=allowed)

    def measured(self, artifacts: list[Artifact], score: Score) -> tuple[records.Measurement, ...]:
        """Accuracy of every artifact on its engines, then all of them against each other for latency and memory."""
        recipe = self.recipe
        bench = Bench(
            recipe.threads or self.machine.cores,
            recipe.batch,
            recipe.seed,
            max_time=recipe.max_time,
            meter=recipe.meter,
        )
        subjects = [
            Subject(artifact.name, artifact.path, runtime, f"{FLOAT}/{artifact.format}")
            for artifact in artifacts
            for runtime in recipe.runtimes_of(artifact.format)
        ]
        if not subjects:
            return ()
        hashes = {artifact.name: artifact.sha256 for artifact in artifacts}
        scores = [self.scored(subject, hashes[subject.artifact], score) for subject in subjects]
        inputs = {"artifacts": hashes, "bench": repr(bench), "machine": self.machine.cpu}
        rows = self.stages.do("measure", inputs, [], lambda _: {"rows": bench.measure(subjects, self.progress)})["rows"]
        return tuple(measurement(row, found) for row, found in zip(rows, scores, strict=True))

    def peaks(self, measurements: Sequence[records.Measurement]) -> tuple[records.Peak, ...]:
        """How fast the engines that were timed multiply at most here."""
        timed = [one for one in measurements if one.latency_ms]
        engines, threads = sorted({one.runtime for one in timed}), sorted({1, *(one.threads for one in timed)})
        if not timed:
            return ()
        inputs = {"engines": engines, "threads": threads, "machine": self.machine.cpu}
        found = self.stages.do(
            "peak", inputs, [], lambda _: {"peaks": list(map(asdict, peak.measure(engines, threads)))}
        )
        return tuple(records.Peak(**one) for one in found["peaks"])

    def scored(self, subject: Subject, sha256: str, score: Score) -> dict[str, Any]:
        """Accuracy of one artifact on one engine."""

        def work(advance: Advance) -> dict[str, Any]:
            with RUNTIMES[subject.runtime].open(subject.path, None) as session:
                return score.score(subject.name, partial(answers, session), advance)

        inputs = {"artifact": sha256, **score.identity()}
        outputs = score.outputs(subject.name)
        return self.stages.do(f"score {subject.name}", inputs, outputs, work, total=score.images)

    def finish(self, record: records.Record) -> records.Record:
        """Write what the run is asked for, then drop what only served; the record to the digits that it keeps."""
        write_text(self.out / RECORD, records.to_json(record))
        (run,) = reporting.read([self.out])
        write_text(self.out / REPORT, table.markdown(run.record))
        write_text(self.out / PAGE, page([run]))
        for name in ("scored", "calibration", "recovery"):
            remove(self.out / FOLDER / f"{name}-pixels")
        return run.record
