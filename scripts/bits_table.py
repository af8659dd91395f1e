"""Compress one backbone in many ways, and print what each costs in accuracy, in torch and on onnxruntime.

    python scripts/bits_table.py MODEL [--weights FILE] [--data SRC] [--calib SRC] [--out FILE.md] -- WAY [WAY …]

A way is what a recipe would say, in one word: `int8`, `w4a4,effort=fast`, `off,merge=8`, `int8,prune=neurons=0.1`;
`seed` draws other calibration images. `nncf` in place of a precision is nncf's `quantize` of the same float ONNX file,
with its defaults and the same images. Everything is scored on all images of `--data`; rows are appended to FILE.md.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from vitc import libraries
from vitc.bench import Bench, Subject
from vitc.compress.aids import Aids
from vitc.export import to_onnx, to_onnxruntime
from vitc.exports import CALIBRATION_BATCH
from vitc.images import choose
from vitc.loading import load
from vitc.models import decode
from vitc.models.backbone import Backbone
from vitc.models.decode import Pixels
from vitc.progress import Progress
from vitc.recipe import Recipe
from vitc.recipe_file import resolve
from vitc.runtimes import RUNTIMES, accuracy, eager, machine, memory
from vitc.runtimes.batching import answers
from vitc.scoring import Run
from vitc.versions import PACKAGES

HEAD = ("model", "way", "images", "seconds", "peak MB", "torch", "drop", "onnxruntime", "drop")
SCORED = 32
"""Images a batch."""


class Trials:
    """A backbone and its images, decoded once."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        weights = Path(recipe.weights) if recipe.weights else None
        self.backbone = load(recipe.model, weights, recipe.preprocessing)
        scored, _ = choose(recipe, self.backbone)
        assert scored
        self.scored = decode.decode(
            scored, self.backbone.preprocessing, folder / "scored", recipe.workers, lambda _: None
        )
        self.file = to_onnx.write(self.backbone, folder / "float").path
        self.files = {"float": self.file}
        self.exact = self.top1(self.backbone), self.on_device(self.file)

    def images(self, recipe: Recipe) -> Pixels:
        """Calibration images, as the recipe draws them."""
        _, calibration = choose(recipe, self.backbone)
        assert calibration
        into = self.folder / f"calib-{recipe.calib_images}-{recipe.seed}"
        if not into.exists():
            decode.decode(calibration, self.backbone.preprocessing, into, recipe.workers, lambda _: None)
        return decode.opened(into)

    def top1(self, backbone: Backbone) -> float:
        """Of the program in torch."""
        return self._score(partial(eager.run, backbone.module))

    def on_device(self, path: Path) -> float:
        """Of a file on onnxruntime."""
        with RUNTIMES["onnxruntime"].open(path, None) as session:
            return self._score(partial(answers, session))

    def _score(self, run: Run) -> float:
        assert self.scored.labels is not None
        found = accuracy.predict(run, (batch.numpy() for batch in self.scored.batches(SCORED)))
        return accuracy.top_k(found, self.scored.labels, 1)

    def row(self, way: str) -> tuple[str, ...]:
        """What a way comes to."""
        spec, *words = way.split(",")
        given: dict[str, Any] = dict(word.split("=", 1) for word in words)
        given |= {name: int(given[name]) for name in ("seed", "calib_images") if name in given}
        given |= {name: tuple(given[name].split("+")) for name in ("equalize", "exclude") if name in given}
        given |= {} if spec == "nncf" else {"ptq": spec}
        given |= {"calib": None} if spec == "off" and "prune" not in given else {}
        recipe = dataclasses.replace(self.recipe, **given)
        samples = self.images(recipe if recipe.calibrated else self.recipe)
        since, start = memory.reset(), time.monotonic()
        made = None if spec == "nncf" else compressed(self.backbone, recipe, samples)
        into = self.folder / str(len(self.files))
        path = rival(self.file, samples, into) if made is None else None
        seconds, peak = time.monotonic() - start, memory.own_peak_mb(since)
        if made is not None:
            path = to_onnxruntime.write(made, into).path
        assert path
        self.files[way] = path
        in_torch = self.top1(made) if made else None
        device = self.on_device(path)
        cells = (
            ("", "") if in_torch is None else (f"{in_torch:.2f}", f"{self.exact[0] - in_torch:.2f}"),
            (f"{device:.2f}", f"{self.exact[1] - device:.2f}"),
        )
        rest = (str(len(samples)), f"{seconds:.0f}", "" if peak is None else f"{peak:.0f}")
        return (self.backbone.name, way.replace(",", " "), *rest, *cells[0], *cells[1])


def compressed(backbone: Backbone, recipe: Recipe, samples: Pixels) -> Backbone:
    """What the recipe's steps make of the backbone."""
    aids = Aids(teacher=backbone)
    for _, technique in recipe.steps:
        backbone = technique.apply(backbone, samples.batches(CALIBRATION_BATCH), aids)
    return backbone


def rival(path: Path, samples: Pixels, into: Path) -> Path:
    """The int8 that nncf makes of an ONNX file, by its defaults."""
    import onnx

    nncf = libraries.nncf()
    model = onnx.load(path)
    name = model.graph.input[0].name
    images = [{name: image.numpy()} for image in samples.batches(1)]
    into.mkdir()
    onnx.save(nncf.quantize(model, nncf.Dataset(images), subset_size=len(images)), into / "model.onnx")
    return into / "model.onnx"


def lines(trials: Trials, ways: list[str]) -> Iterator[str]:
    """The rows of the table."""
    exact = [f"{value:.2f}" for value in trials.exact]
    yield f"| {' | '.join((trials.backbone.name, 'float', '', '', '', exact[0], '', exact[1], ''))} |"
    for way in ways:
        yield f"| {' | '.join(trials.row(way))} |"


def timed(trials: Trials) -> Iterator[str]:
    """How fast each file is on onnxruntime with one thread, all of them interleaved."""
    subjects = [Subject(way, path, "onnxruntime", "float") for way, path in trials.files.items()]
    for row in Bench(threads=1).measure(subjects, Progress()):
        speedup = row["speedup"]
        ratio = (
            f"{speedup['ratio']:.2f}x [{speedup['ci95'][0]:.2f}, {speedup['ci95'][1]:.2f}]" if speedup else "baseline"
        )
        yield f"| {row['artifact'].replace(',', ' ')} | {row['latency_ms']['p50']:.2f} ms | {ratio} |"


def main() -> None:
    """Score the ways; print each row as it comes, and append it to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    for flag in ("weights", "data", "calib"):
        parser.add_argument(f"--{flag}")
    parser.add_argument("--calib-images", type=int)
    parser.add_argument("--recipe", type=Path, help="a TOML file, for the preprocessing of a backbone that needs it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--time", action="store_true", help="time the files against each other in the end")
    parser.add_argument("ways", nargs="+")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    words = {name: getattr(args, name) for name in ("model", "weights", "data", "calib", "calib_images")}
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(resolve(args.recipe, words), Path(folder))
        head = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
        if args.out and not args.out.exists():
            here = machine.describe(PACKAGES)
            versions = ", ".join(f"{name} {version}" for name, version in here.packages.items())
            where = f"{here.cpu}, {here.cores} cores, {' '.join(here.isa)}; {versions}"
            args.out.write_text("\n".join([where, "", *head]) + "\n", encoding="utf-8")
        speeds = [timed(trials)] if args.time else []
        for line in chain(lines(trials, args.ways), *speeds):
            print(line, flush=True)
            if args.out:
                with args.out.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
