"""What a run makes for its targets, kept in its journal: variants of the backbone, and artifacts of each."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .clock import lent
from .compress import CALIBRATION, RECOVERY, Row, Technique
from .compress.aids import Aids
from .compress.recover import Recover
from .compress.recover.places import set_aside
from .errors import NotAvailable
from .export import TARGETS, one_bit, storage
from .export.artifact import Artifact
from .journal import FOLDER, file_sha256
from .models import saved
from .models.backbone import FLOAT, Backbone
from .models.data import Batches
from .models.decode import Pixels
from .models.indexed import Part, indexed
from .progress import Advance, Progress
from .recipe import Recipe
from .stages import Stages
from .variants import Variant

CALIBRATION_BATCH = 8
"""Fixed: sums in another order would give other last bits, and so other artifacts."""
PERCENT = 100
"""What a technique whose end is not known at its start tells of as it goes on."""
PROGRAM = "model.pt2"
RIVALS = "rivals"


@dataclass(frozen=True)
class Given:
    """What the techniques of a run are given."""

    teacher: Backbone
    samples: Pixels | None
    lessons: Pixels | None = None
    """What recovery learns from, decoded with room around what is scored; None: the samples."""
    aside: Sequence[int] = ()
    """Samples that a recovery is held against that comes later: nothing calibrates with these before."""

    @property
    def calibrated(self) -> int:
        """How many lessons, the last, are the samples: all of these or none (see `images.to_learn_from`)."""
        if self.samples is None:
            return 0
        count = len(self.samples)
        return count if (self.lessons or self.samples).kept[-count:] == self.samples.kept else 0

    def pixels(self, row: Row) -> Pixels | None:
        """The images that a technique looks at."""
        return {CALIBRATION: self.samples, RECOVERY: self.lessons or self.samples, None: None}[row.images]

    def before(self, later: Sequence[tuple[Row, Technique]]) -> "Given":
        """The same, for what is applied before these."""
        seeds = [technique.seed for _, technique in later if isinstance(technique, Recover)]
        return replace(self, aside=[place for seed in seeds for place in set_aside(self.calibrated, seed)])

    def batches(self, row: Row) -> Batches:
        """These images, without those that were set aside, as the technique reads them."""
        pixels = self.pixels(row)
        if pixels is None:
            return ()
        whole = pixels.batches(CALIBRATION_BATCH)
        if row.images != CALIBRATION or not self.aside:
            return whole
        left = sorted(set(range(len(pixels))) - set(self.aside))
        return Part(indexed(whole), left, CALIBRATION_BATCH)


@dataclass(frozen=True)
class Exports:
    """The exporting part of one run."""

    recipe: Recipe
    out: Path
    stages: Stages
    progress: Progress

    def variants(
        self, backbone: Backbone, samples: Pixels | None, lessons: Pixels | None = None
    ) -> tuple[list[tuple[Variant, str]], list[dict[str, Any]]]:
        """What is exported to which target, and what rounding costs each layer.

        That is the backbone as it came, and what each technique makes of what was before, read back from its file.
        """
        if not self.recipe.steps:
            plain = Variant(backbone, self.out)

            def save(_: Advance) -> dict[str, Any]:
                saved.save(backbone, self.out / PROGRAM)
                return {}

            self.stages.do("save", {"backbone": plain.key}, [self.out / PROGRAM], save)
            return [(plain.under(TARGETS[target].scheme), target) for target in self.recipe.export], []
        made, layers = [Variant(backbone, self.out / FLOAT)], list[dict[str, Any]]()
        given = Given(backbone, samples, lessons)
        for number, (row, technique) in enumerate(self.recipe.steps, 1):
            last = number == len(self.recipe.steps)
            program = self.out / PROGRAM if last else self.out / FOLDER / f"{row.name}.pt2"
            before = given.before(self.recipe.steps[number:])
            layers = self._applied((row, technique), made[-1], before, program) or layers
            backbone = saved.load(program)
            made.append(Variant(backbone, self.out if last else self.out / backbone.label))
        return [(self._rounded_for(target, one), target) for one in made for target in self.recipe.export], layers

    def _applied(
        self, step: tuple[Row, Technique], variant: Variant, given: Given, program: Path
    ) -> list[dict[str, Any]]:
        """Have a technique write its program; what it costs each layer."""
        row, technique = step
        pixels = given.pixels(row)
        floats = self._floats(row)
        calibrated = given.calibrated if row.images == RECOVERY else 0
        inputs = {
            "backbone": variant.key,
            "technique": repr(technique),
            "calibrated": calibrated,
            "images": pixels.digest() if pixels else None,
            "aside": [*given.aside],
            "teacher": given.teacher.fingerprint() if row.images == RECOVERY else None,
            "floats": file_sha256(floats) if floats and row.images == RECOVERY else floats is not None,
        }
        batches = given.batches(row)
        labels = None if pixels is None or pixels.labels is None else torch.from_numpy(pixels.labels)

        def apply(advance: Advance) -> dict[str, Any]:
            place = self.stages.workplace(row.name, inputs)
            with lent(self.recipe, given.teacher) as clock:
                aids = Aids(
                    teacher=given.teacher,
                    clock=clock,
                    folder=place,
                    floats=floats,
                    labels=labels,
                    calibrated=calibrated,
                    advance=advance,
                )
                saved.save(technique.apply(variant.backbone, batches, aids), program)
            return {"layers": aids.losses.to_json(), "notes": aids.losses.notes}

        outputs = [program, floats] if floats and row.images != RECOVERY else [program]
        found = self.stages.do(row.name, inputs, outputs, apply, total=PERCENT if row.images == RECOVERY else None)
        self.stages.tidy(row.name)
        for note in found["notes"]:
            self.progress.note(f"{row.name}: {note}")
        layers: list[dict[str, Any]] = found["layers"]
        return layers

    def _floats(self, row: Row) -> Path | None:
        """Where quantization leaves float weights for the recovery that comes after it; None where none does."""
        names = [row.name for row, _ in self.recipe.steps]
        wanted = names[-1] == "recover" and "quantize" in names and row.name in {"recover", "quantize"}
        return self.out / FOLDER / "floats.safetensors" if wanted else None

    def _rounded_for(self, target: str, variant: Variant) -> Variant:
        """A variant as a target takes it: attention rounded where it gains, or where the recipe says so."""
        row, wanted = TARGETS[target], self.recipe.attention
        return variant.under(row.scheme, float_attention=wanted is None and not row.integer_attention)

    def exported(self, variant: Variant, target: str) -> Artifact:
        """The variant as a target's artifact."""
        folder, options = variant.folder / target, self.recipe.options

        def work(_: Advance) -> dict[str, Any]:
            row, backbone = TARGETS[target], variant.backbone
            made = row.write(backbone, folder, options)
            notes = (made.note, storage.note(backbone, row.fewer), one_bit.note(backbone, row.one_bit))
            return self._kept(replace(made, name=name, note="; ".join(filter(None, notes))))

        name = f"{variant.backbone.label}/{target}"
        inputs = {"backbone": variant.key, "options": asdict(options)}
        return self._artifact(self.stages.do(f"export {name}", inputs, [folder], work))

    def rivals(self, backbone: Backbone, target: str, samples: Pixels | None) -> list[Artifact]:
        """What other tools make of the float backbone for the target, from the same calibration images."""
        make = TARGETS[target].rivals
        if make is None or samples is None:
            return []
        folder, options = self.out / RIVALS / target, self.recipe.options

        def work(_: Advance) -> dict[str, Any]:
            try:
                made = make(backbone, folder, options, samples.batches(CALIBRATION_BATCH))
            except NotAvailable as missing:
                return {"made": [], "missing": str(missing)}
            return {"made": [self._kept(artifact) for artifact in made], "missing": ""}

        inputs = {"backbone": backbone.fingerprint(), "options": asdict(options), "images": samples.digest()}
        found = self.stages.do(f"rivals {target}", inputs, [folder], work)
        if found["missing"]:
            self.progress.note(f"no rivals on {target}: {found['missing']}")
        return [self._artifact(one) for one in found["made"]]

    def _kept(self, artifact: Artifact) -> dict[str, Any]:
        """An artifact as the journal keeps it: the run folder may move."""
        return {**asdict(artifact), "path": artifact.path.relative_to(self.out).as_posix()}

    def _artifact(self, kept: dict[str, Any]) -> Artifact:
        """The artifact that the journal kept."""
        fields = {field: kept[field] for field in ("name", "format", "precision", "bytes", "sha256", "note")}
        if kept["note"]:
            self.progress.note(f"{kept['name']}: {kept['note']}")
        return Artifact(path=self.out / kept["path"], **fields)
