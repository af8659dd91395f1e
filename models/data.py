"""What an image set is and where it comes from: the demo, or a folder (with a manifest, per class, or any)."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ..errors import UserError
from . import demo_images

Batches = Iterable[Tensor]
"""Normalized images [N, C, H, W]; can be iterated again and again."""

DEMO_IMAGES = 2000
"""Images of the source `demo`, where it does not say how many."""

DEMO_SEED, DEMO_CALIB_SEED, DEMO_RECOVERY_SEED = 2, 3, 4
"""Seeds of the demo's scored, calibration and recovery images; its backbone was trained on and watched with others."""

NONE = "none"
"""The source of no images: nothing is scored."""

DISJOINT = {
    "calib": ("calibration", ", or leave it out to have a part of --data set aside"),
    "recover-data": ("recovery", ""),
}
"""Words that name images which are never scored: what these are for, and what else would do."""

MANIFEST = "manifest.csv"
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
CALIBRATION_SHARE = 5
"""At most one image in this many is split off for calibration."""


@dataclass(frozen=True)
class Classes:
    """What the backbone answers: how many classes, and their names in order (empty where nobody said)."""

    outputs: int
    names: tuple[str, ...] = ()

    def index(self, text: str) -> int:
        """The class that a label means: an index, or a name; a ValueError says what is wrong with it."""
        known = self.by_name()
        if text in known and not text.lstrip("-").isdecimal():
            return known[text]
        try:
            index = int(text)
        except ValueError:
            allowed = "a class name or index" if known else "a class index"
            raise ValueError(f"label {text!r} is not {allowed} of the model") from None
        if not 0 <= index < self.outputs:
            raise ValueError(f"label {index} is out of range, the model answers 0 to {self.outputs - 1}")
        return index

    def by_name(self) -> dict[str, int]:
        """The index of every name that only one class has."""
        copies = Counter(self.names)
        return {name: index for index, name in enumerate(self.names) if copies[name] == 1}


@dataclass(frozen=True)
class Image:
    """One image of a set."""

    name: str
    """Path relative to the set's folder, or `demo/<seed>/<index>`."""
    path: Path | None
    """None: drawn by the demo."""
    label: int | None

    @cached_property
    def sha256(self) -> str | None:
        """Hash of the file's bytes, of the name if the demo draws it; None if the file cannot be read."""
        if self.path is None:
            return hashlib.sha256(self.name.encode()).hexdigest()
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError):
            return None


@dataclass(frozen=True)
class ImageSet:
    """Images in a stable order, and where they come from."""

    source: str
    """As the user named it."""
    images: tuple[Image, ...]

    def __len__(self) -> int:
        return len(self.images)

    def hashes(self) -> tuple[str | None, ...]:
        """The content hash of each image; every file is read once, also for sets made out of this one."""
        return tuple(image.sha256 for image in self.images)

    @cached_property
    def sha256(self) -> str:
        """Hash of what is in the set, contents and labels, whatever the files are called."""
        content = sorted((image.sha256 or "", -1 if image.label is None else image.label) for image in self.images)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def find(source: str, classes: Classes, *, labelled: bool, demo_seed: int = DEMO_SEED) -> ImageSet:
    """The images that `source` names: `demo`, `demo:5000` or a folder; labels are read only when `labelled`."""
    if source == "demo" or source.startswith("demo:"):
        return ImageSet(source, _demo(source, classes if labelled else None, demo_seed))
    folder = Path(source)
    if not folder.is_dir():
        raise UserError(f"there is no folder {source}: give `demo`, a folder per class, or a folder with {MANIFEST}")
    try:
        if (folder / MANIFEST).exists():
            images = _listed(folder, classes if labelled else None)
        elif labelled:
            images = _folder_per_class(folder, classes)
        else:
            images = tuple(Image(name, folder / name, None) for name in _names_below(folder))
    except OSError as failure:
        raise UserError(f"{source} cannot be read: {failure.strerror}; check its permissions") from failure
    if not images:
        raise UserError(
            f"no images in {source}: add a {MANIFEST} with a row per image, or files ending in {' '.join(SUFFIXES)}"
        )
    return ImageSet(source, images)


def is_labelled(source: str, classes: Classes) -> bool:
    """Whether a folder says what its images show: in its manifest, or by a folder for each of the model's classes."""
    folder = Path(source)
    manifest = folder / MANIFEST
    if not folder.is_dir():
        return False
    try:
        if manifest.exists():
            with manifest.open(encoding="utf-8-sig", newline="") as file:
                return "label" in (csv.DictReader(file, skipinitialspace=True).fieldnames or ())
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except (OSError, UnicodeDecodeError, csv.Error):
        return False  # whoever reads it next says what is wrong with it
    groups = {entry.name for entry in entries if entry.is_dir()}
    loose = any(entry.suffix.lower() in SUFFIXES for entry in entries)
    return bool(groups) and not loose and (classes.by_name().keys() >= groups or len(groups) == classes.outputs)


def take(images: ImageSet, count: int, seed: int) -> ImageSet:
    """At most `count` of the images, drawn by `seed` and what is in them, in the set's order."""
    if count < 1:
        raise UserError(f"{count} images of {images.source} were asked for: at least 1 is needed")
    return _drawn(images, count, [_rank(image.sha256 or image.name, seed) for image in images.images])


def at_most(images: ImageSet, count: int, seed: int) -> ImageSet:
    """All images, or `count` of them, drawn by `seed` and their names: nothing is read of the many that are left."""
    if len(images) <= count:
        return images
    return _drawn(images, count, [_rank(image.name, seed) for image in images.images])


def first(batches: Batches, count: int) -> list[Tensor]:
    """The first `count` images of some batches, or as many as there are, batched as they were."""
    taken: list[Tensor] = []
    for batch in batches:
        taken.append(batch[:count])
        count -= len(batch)
        if count <= 0:
            break
    return taken


def split(images: ImageSet, count: int, seed: int) -> tuple[ImageSet, ImageSet]:
    """A part for calibration (at most `count` images and a fifth of the set) and the rest, for scoring.

    Copies of an image stay on one side. Files that are not there stay in the rest, where they are counted.
    """
    room = min(count, len(images) // CALIBRATION_SHARE)
    copies = Counter(content for content in images.hashes() if content is not None)
    chosen: set[str | None] = set()
    for content in sorted(copies, key=lambda content: _rank(content, seed)):
        if copies[content] <= room:
            chosen.add(content)
            room -= copies[content]
    calibration = tuple(image for image in images.images if image.sha256 in chosen)
    rest = tuple(image for image in images.images if image.sha256 not in chosen)
    if not calibration or not rest:
        raise UserError(
            f"{len(images)} images of {images.source} leave none to calibrate with ({count} asked for, at most 1 in "
            f"{CALIBRATION_SHARE}, copies kept together): add images, ask for at least 1, or name others with --calib"
        )
    return ImageSet(images.source, calibration), ImageSet(images.source, rest)


def check_disjoint(scored: ImageSet, others: ImageSet, word: str = "calib") -> None:
    """Refuse calibration images, or those of another word, that are scored too: the score would flatter."""
    contents = set(scored.hashes()) - {None}
    shared = [image.name for image in others.images if image.sha256 in contents]
    if shared:
        what, mend = DISJOINT[word]
        raise UserError(
            f"{len(shared)} of {len(others)} {what} images are scored too (first: {shared[0]}): "
            f"give --{word} other images{mend}"
        )


def _drawn(images: ImageSet, count: int, ranks: Sequence[str]) -> ImageSet:
    """The images that come first by their ranks, in the set's order."""
    first = sorted(range(len(images)), key=lambda place: ranks[place])[:count]
    return ImageSet(images.source, tuple(images.images[place] for place in sorted(first)))


def _rank(content: str, seed: int) -> str:
    """Where an image stands in the draw of `seed`."""
    return hashlib.sha256(f"{seed}:{content}".encode()).hexdigest()


def _demo(source: str, classes: Classes | None, seed: int) -> tuple[Image, ...]:
    count = source.partition(":")[2] if ":" in source else str(DEMO_IMAGES)
    if not (count.isascii() and count.isdecimal()) or int(count) < 1:
        raise UserError(f"{source} does not say how many images: write demo, or demo:N with N at least 1")
    labels = _labels(source, demo_images.CLASSES, classes) if classes else {}
    return tuple(
        Image(f"demo/{seed}/{index}", None, labels.get(demo_images.CLASSES[demo_images.label(index)]))
        for index in range(int(count))
    )


def _listed(folder: Path, classes: Classes | None) -> tuple[Image, ...]:
    """The images of a manifest, as it lists them; none of them need be there."""
    manifest = folder / MANIFEST
    needed = ("path", "label") if classes else ("path",)
    images = []
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            if not set(needed) <= set(rows.fieldnames or ()):
                found = ",".join(rows.fieldnames or ()) or "none"
                raise UserError(f"{manifest} has the columns {found}: it needs {','.join(needed)} in its first line")
            for row in rows:
                try:
                    images.append(_of_row(row, folder, classes))
                except ValueError as failure:
                    raise UserError(f"{manifest} line {rows.line_num}: {failure}; correct that line") from failure
    except (UnicodeDecodeError, csv.Error) as failure:
        raise UserError(f"{manifest} is not a CSV file in UTF-8 ({failure}): save it as one") from failure
    return tuple(images)


def _of_row(row: dict[str, str | None], folder: Path, classes: Classes | None) -> Image:
    path = row["path"]
    if not path:
        raise ValueError("the path is empty")
    return Image(path, folder / path, classes.index((row["label"] or "").strip()) if classes else None)


def _folder_per_class(folder: Path, classes: Classes) -> tuple[Image, ...]:
    folders = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise UserError(
            f"{folder} holds no labels: put its images in a folder per class, or add {MANIFEST} (path,label)"
        )
    labels = _labels(str(folder), folders, classes)
    return tuple(
        Image(f"{name}/{below}", folder / name / below, labels[name])
        for name in folders
        for below in _names_below(folder / name)
    )


def _labels(source: str, groups: Sequence[str], classes: Classes) -> dict[str, int]:
    """The class of each group of images: by name if the model knows all the names, else by the groups' order."""
    known = classes.by_name()
    if known.keys() >= set(groups):
        return {name: known[name] for name in groups}
    if len(groups) != classes.outputs:
        raise UserError(
            f"{source} has {len(groups)} classes and the model answers {classes.outputs}: "
            f"give images of the model's classes, or a {MANIFEST} with their indices"
        )
    return {name: index for index, name in enumerate(groups)}


def _names_below(folder: Path) -> list[str]:
    """The image files in a folder and its subfolders, sorted; what is hidden is left out."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    shown = (file for file in files if not any(part.startswith(".") for part in file.parts))
    return sorted(file.as_posix() for file in shown if (folder / file).is_file())
